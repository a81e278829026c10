"""Whose folder is it, and what is it made of? One merge at a time, of the numbers that are there, and nothing left behind."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergelib import CheckpointError, merge
from mergelib.checkpoints.output import HOLDER, LOCK, Folder

NAMES = [f"layers.{i}.mlp.weight" for i in range(6)]


@pytest.fixture
def paths(tmp_path):
    """(base, experts) on disk."""
    draw = torch.Generator().manual_seed(0)
    for path in ("base", "a", "b"):
        (tmp_path / path).mkdir()
        save_file({name: torch.randn(6, 6, generator=draw) for name in NAMES}, tmp_path / path / "model.safetensors")
    return tmp_path / "base", [tmp_path / "a", tmp_path / "b"]


def rewrite(path, seed):
    """Other numbers in a checkpoint of the same size, and the same times."""
    file, draw = path / "model.safetensors", torch.Generator().manual_seed(seed)
    before = file.stat()
    save_file({name: torch.randn(6, 6, generator=draw) for name in NAMES}, file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size and file.stat().st_mtime_ns == before.st_mtime_ns


def hidden(out):
    return sorted(file.name for file in out.iterdir() if file.name.startswith("."))


# --- one at a time

WAITING = """
import sys, time
from mergelib.checkpoints.output import Folder
with Folder(sys.argv[1], {}, {}, 1e9):
    print("in", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that merges into a folder."""
    child = subprocess.Popen([sys.executable, "-c", WAITING, tmp_path / "out"], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "in\n"
    yield child
    child.kill()
    child.wait()


def test_a_second_merge_into_a_folder_is_refused_with_who_is_at_it(tmp_path, paths, other):
    with pytest.raises(CheckpointError, match=rf"Another process is merging into .*out \(process {other.pid} on .*another"):
        merge("weight-average", *paths, out=tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_the_lock_of_a_killed_process_is_none(tmp_path, paths, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert hidden(tmp_path / "out") == [HOLDER, LOCK]
    merge("weight-average", *paths, out=tmp_path / "out")
    assert not hidden(tmp_path / "out")


# --- of these numbers

@pytest.mark.parametrize("changed", ["base", "a"])
def test_a_finished_merge_of_other_numbers_is_refused(tmp_path, paths, changed):
    out = merge("ties", *paths, out=tmp_path / "out")
    before = (out / "model.safetensors").read_bytes()
    rewrite(tmp_path / changed, seed=5)
    with pytest.raises(CheckpointError, match=r"holds the merge of other numbers: layers.0.mlp.weight, .*changed in the base"):
        merge("ties", *paths, out=out)
    assert (out / "model.safetensors").read_bytes() == before


def test_the_same_numbers_in_other_files_are_the_same_merge(tmp_path, paths, monkeypatch):
    out = merge("ties", *paths, out=tmp_path / "out")
    inode = (out / "model.safetensors").stat().st_ino
    shutil.move(tmp_path / "a", tmp_path / "elsewhere")
    base, (_, second) = paths
    merge("ties", base, {"expert-1": tmp_path / "elsewhere", "expert-2": second}, out=out)
    assert (out / "model.safetensors").stat().st_ino == inode


def test_a_merge_that_was_interrupted_is_begun_anew_if_the_numbers_may_have_changed(tmp_path, paths):
    base, experts = paths
    out = tmp_path / "out"
    killed = KILLED.format(base=base, experts=[str(path) for path in experts], out=out)
    assert subprocess.run([sys.executable, "-c", killed]).returncode == -signal.SIGKILL
    assert len(list(out.glob("model-*.safetensors"))) == 2 and list(out.glob(".*.part"))
    rewrite(tmp_path / "b", seed=7)
    merge("ties", base, experts, out=out, shard_size=150)
    state = {name: tensor for file in out.glob("*.safetensors") for name, tensor in load_file(file).items()}
    fresh = merge("ties", base, experts)
    assert all(torch.equal(state[name], fresh[name]) for name in NAMES) and not hidden(out)


KILLED = """
import os, signal
from mergelib import merge
from mergelib.checkpoints import output

def replace(part, file, whole=os.replace):
    whole(part, file)
    if file.name.startswith("model-00002"):
        os.kill(os.getpid(), signal.SIGKILL)

output.os.replace = replace
merge("ties", "{base}", {experts}, out="{out}", shard_size=150)
"""


def test_a_file_that_is_replaced_while_it_is_merged_is_noticed(tmp_path, paths, monkeypatch):
    def take(self, name, digest):
        real(self, name, digest)
        if len(self.read) == 1:
            rewrite(tmp_path / "b", seed=3)

    real = Folder.take
    monkeypatch.setattr(Folder, "take", take)
    with pytest.raises(CheckpointError, match="b/model.safetensors was replaced or written over while it was being merged"):
        merge("ties", *paths, out=tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("change", [{"lora_alpha": 20}, {"use_rslora": True}])
def test_another_configuration_of_an_adapter_is_another_merge(tmp_path, paths, change):
    base, _ = paths
    folder, draw = tmp_path / "adapter", torch.Generator().manual_seed(0)
    folder.mkdir()
    module = f"base_model.model.{NAMES[0].removesuffix('.weight')}.lora_"
    save_file({f"{module}A.weight": torch.randn(4, 6, generator=draw), f"{module}B.weight": torch.randn(6, 4, generator=draw)},
              folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 2, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    out = merge("weight-average", base, [folder], out=tmp_path / "out")
    (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(CheckpointError, match="holds another merge .*differs: experts"):
        merge("weight-average", base, [folder], out=out)


def test_a_shard_that_somebody_changed_is_made_again(tmp_path, paths):
    out = merge("ties", *paths, out=tmp_path / "out", shard_size=150)
    file = out / "model-00002-of-00006.safetensors"
    whole, others = file.read_bytes(), {other: other.stat().st_ino for other in out.glob("*.safetensors") if other != file}
    file.write_bytes(whole[:-16] + bytes(16))
    merge("ties", *paths, out=out, shard_size=150)
    assert file.read_bytes() == whole and all(other.stat().st_ino == inode for other, inode in others.items())


@pytest.mark.parametrize("place", ["base", "a"])
def test_a_checkpoint_s_own_folder_is_no_place_for_its_merge(tmp_path, paths, place):
    before = (tmp_path / place / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"{place}, which is the folder of the base or of an expert. Give a folder of its own"):
        merge("ties", *paths, out=tmp_path / place)
    assert (tmp_path / place / "model.safetensors").read_bytes() == before and not hidden(tmp_path / place)


@pytest.mark.parametrize("there", ["pytorch_model.bin", "model.gguf", "adapter_config.json"])
def test_a_folder_with_other_weights_is_no_place_for_a_merge(tmp_path, paths, there):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / there).write_text("{}")
    with pytest.raises(CheckpointError, match=f"out already holds {there}, which no merge wrote"):
        merge("ties", *paths, out=tmp_path / "out")


# --- nothing is left behind

@pytest.mark.parametrize("again", [{"shard_size": 1e9}, {"shard_size": 150, "method": "weight-average"}])
def test_parts_of_a_killed_merge_go_with_the_next_one(tmp_path, paths, again):
    base, experts = paths
    out = tmp_path / "out"
    early = KILLED.format(base=base, experts=[str(path) for path in experts], out=out).replace("whole(part, file)", "pass") \
        .replace("model-00002", "model-00001")
    assert subprocess.run([sys.executable, "-c", early]).returncode == -signal.SIGKILL
    assert list(out.glob(".*.part")) and not list(out.glob("*.safetensors"))
    merge(again.pop("method", "ties"), base, experts, out=out, **again)
    assert not hidden(out)


def test_what_was_made_before_an_error_stays_and_nothing_else(tmp_path, paths):
    base, experts = paths
    with pytest.raises(CheckpointError, match="do not fit torch.float16"):
        merge("task-arithmetic", base, experts, lam=1e6, out_dtype=torch.float16, out=tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_experts_that_change_places_are_another_merge(paths, tmp_path):
    base, (a, b) = paths
    merge("dare", base, {"x": a, "y": b}, out=tmp_path / "out")
    with pytest.raises(CheckpointError, match="merge of other numbers"):
        merge("dare", base, {"x": b, "y": a}, out=tmp_path / "out")


@pytest.mark.parametrize("whose", ["base", "expert"])
def test_no_merge_is_written_into_a_folder_that_is_merged(paths, tmp_path, whose):
    base, (a, _) = paths
    base = tmp_path / "pickled"
    base.mkdir()
    torch.save(load_file(a / "model.safetensors"), base / "pytorch_model.bin")
    link = tmp_path / "link"
    link.symlink_to(base if whose == "base" else a)
    before = sorted(link.iterdir())
    with pytest.raises(ValueError, match="folder of the base or of an expert"):
        merge("weight-average", base, [a, paths[0]], out=link)
    assert sorted(link.iterdir()) == before


def test_places_that_can_be_no_folder_are_refused(paths, tmp_path):
    base, experts = paths
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for out in (tmp_path / "nowhere", base / "model.safetensors" / "out", tmp_path / ("x" * 300)):
        with pytest.raises(CheckpointError, match="can be no folder.*Give another path as out"):
            merge("weight-average", base, experts, out=out)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_disks_that_cannot_set_bytes_aside_are_written_to(paths, tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    out = merge("weight-average", paths[0], paths[1], out=tmp_path / "out")
    assert load_file(out / "model.safetensors").keys() == set(NAMES)
