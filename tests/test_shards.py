"""Shards: planned within their size, readable by safetensors, and in their folder only when they are whole."""

import errno
import json
import os

import pytest
import torch
from safetensors import safe_open

from mergelib import CheckpointError
from mergelib.checkpoints.content import described
from mergelib.checkpoints.output import Folder
from mergelib.checkpoints.shards import plan_shards, write_at

STATE = {"b": torch.arange(6.).reshape(2, 3), "a": torch.tensor([1.5, -2, 3], dtype=torch.bfloat16), "n": torch.tensor(7),
         "empty": torch.zeros(0, 4), "flag": torch.tensor([True, False, True]),
         "half": -torch.ones(5, dtype=torch.float16)}
FACTS = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in STATE.items()}
RECIPE = {"method": "ties", "settings": {"lam": 0.3}}


def folder(path, limit=1e9, recipe=RECIPE, beside=None):
    return Folder(path, recipe, FACTS, limit, beside)


def fill(target, names=STATE):
    """Write tensors in the order of their names backwards."""
    for name in sorted(names, reverse=True):
        write_at(*target.place(name), STATE[name])
        target.take(name)


def read(path):
    found = {}
    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, framework="pt") as handle:
            found |= {name: handle.get_tensor(name) for name in handle.keys()}
    return found


def check(found):
    assert found.keys() == STATE.keys()
    assert all(found[name].dtype == STATE[name].dtype and torch.equal(found[name], STATE[name]) for name in STATE)


# --- the plan

@pytest.mark.parametrize("limit", [1, 8, 10, 24, 30, 1000])
def test_shards_hold_every_tensor_once_and_no_more_than_the_limit(limit):
    shards = plan_shards(FACTS, limit)
    assert sorted(name for shard in shards for name in shard.offsets) == sorted(STATE)
    for shard in shards:
        assert shard.size - len(shard.header) <= limit or len(shard.offsets) == 1 or limit == 1
    names = [shard.file for shard in shards]
    assert names == (["model.safetensors"] if len(shards) == 1 else
                     [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)])


def test_the_plan_does_not_depend_on_the_order_and_numbers_are_aligned():
    (shard,) = plan_shards(FACTS, 1000)
    assert plan_shards(dict(reversed(FACTS.items())), 1000) == [shard]
    assert all(offset % FACTS[name][1].itemsize == 0 for name, offset in shard.offsets.items())


# --- files

@pytest.mark.parametrize("limit, files", [(1000, 1), (24, 3), (1, 5)])
def test_what_is_written_is_read_by_safetensors_bit_for_bit(tmp_path, limit, files):
    with folder(tmp_path / "out", limit) as target:
        fill(target)
    check(read(tmp_path / "out"))
    index = tmp_path / "out" / "model.safetensors.index.json"
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    if files == 1:
        assert names == ["merge.json", "model.safetensors"]
        return
    found = json.loads(index.read_text())
    assert found["weight_map"].keys() == STATE.keys() and found["metadata"]["total_size"] == 24 + 6 + 8 + 3 + 10
    assert names == sorted({*found["weight_map"].values(), "merge.json", index.name})


def test_a_shard_appears_with_its_last_tensor_and_the_index_with_the_last_shard(tmp_path):
    target, out = folder(tmp_path, 24), tmp_path
    with target:
        seen = {}
        for name in sorted(STATE):
            fill(target, [name])
            seen[name] = len(list(out.glob("model-*.safetensors")))
            assert not list(out.glob("*.index.json"))
        assert list(seen.values()) == sorted(seen.values()) and seen[max(STATE)] == len(target.shards)
    assert list(out.glob("*.index.json"))


def test_what_is_not_whole_is_taken_away_and_the_rest_is_not_redone(tmp_path):
    with pytest.raises(RuntimeError), folder(tmp_path, 24) as target:
        first, *rest = target.shards
        fill(target, first.offsets)
        write_at(*target.place(min(rest[0].offsets)), STATE[min(rest[0].offsets)])
        raise RuntimeError
    assert sorted(file.name for file in tmp_path.iterdir()) == ["merge.json", first.file]
    before = (tmp_path / first.file).stat()
    with folder(tmp_path, 24) as target:
        assert target.pending() == set(STATE) - set(first.offsets)
        fill(target, target.pending())
    after = (tmp_path / first.file).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    check(read(tmp_path))
    with folder(tmp_path, 24) as target:
        assert not target.pending()


def test_nothing_stays_of_a_merge_that_finished_no_shard(tmp_path):
    with pytest.raises(RuntimeError), folder(tmp_path) as target:
        fill(target, ["a"])
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_found_before_anything_is_merged(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"), folder(tmp_path):
        pytest.fail("merged all the same")
    assert os.listdir(tmp_path) == []


# --- whose folder is it?

def test_another_merge_s_folder_is_refused(tmp_path):
    with folder(tmp_path) as target:
        fill(target)
    refused(folder(tmp_path, recipe={**RECIPE, "settings": {"lam": 0.4}}), r"holds another merge .*differs: settings\)")
    refused(folder(tmp_path, limit=10), r"differs: shards\)")
    (tmp_path / "merge.json").write_text("{")
    refused(folder(tmp_path), "damaged")
    (tmp_path / "merge.json").unlink()
    refused(folder(tmp_path), "already holds model.safetensors, which no merge wrote")


def refused(target, message):
    with pytest.raises(CheckpointError, match=message), target:
        pytest.fail("merged all the same")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").touch()
    refused(folder(tmp_path / "out"), "out is a file")


def test_configuration_and_tokenizer_are_copied_and_weights_are_not(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "merges.txt", "spiece.model",
                 "model.safetensors", "pytorch_model.bin", "README.md", "model.safetensors.index.json"):
        (base / name).write_text(name)
    with folder(tmp_path / "out", beside=base) as target:
        fill(target)
    assert sorted(os.listdir(tmp_path / "out")) == ["config.json", "merge.json", "merges.txt", "model.safetensors",
                                                    "spiece.model", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]


def test_a_state_dict_in_memory_is_described_by_its_numbers():
    changed = {**STATE, "b": STATE["b"] + 1}
    assert described(STATE) == described(dict(reversed(STATE.items()))) != described(changed)
