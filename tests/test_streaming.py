"""Streaming: the same bits as in memory, one tensor at a time, resumed after a kill; folders and adapters as sources."""

import json
import os
import signal
import subprocess
import sys
import weakref

import pytest
import torch
from conftest import BUFFER, check, random_checkpoints
from safetensors.torch import save_file
from test_merge import DATA_FREE, FAST, RUNS, identical, rounded

from mergelib import CheckpointError, merge
from mergelib.checkpoints import compare
from mergelib.checkpoints.content import described
from mergelib.checkpoints.lazy import LazyState
from mergelib.checkpoints.output import Folder
from mergelib.checkpoints.shards import plan_shards, write_at
from mergelib.checkpoints.states import open_state, read_state, write_state
from mergelib.merging import work

ONE_MODEL = [(method, preset) for method, preset in RUNS if not DATA_FREE[method].per_task]
PER_TASK = [method for method, spec in DATA_FREE.items() if spec.per_task]


def write_sharded(path, state, limit=3000):
    """A checkpoint in several files with their index."""
    facts = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}
    with Folder(path, {}, facts, limit) as target:
        for name, tensor in state.items():
            write_at(*target.place(name), tensor)
            target.take(name)
    (path / "merge.json").unlink()
    return path


@pytest.fixture
def on_disk(tmp_path, base, experts):
    """(base, experts): paths; the base in shards, the first expert as a folder, the others as files."""
    write_state(tmp_path / "task-0" / "model.safetensors", experts["task-0"])
    for task in ("task-1", "task-2"):
        write_state(tmp_path / f"{task}.safetensors", experts[task])
    return write_sharded(tmp_path / "base", base), {"task-0": tmp_path / "task-0", "task-1": tmp_path / "task-1.safetensors",
                                                    "task-2": str(tmp_path / "task-2.safetensors")}


# --- the same bits

@pytest.mark.parametrize("method, preset", ONE_MODEL)
def test_streamed_is_what_is_merged_in_memory(tmp_path, on_disk, base, experts, method, preset):
    out = merge(method, *on_disk, preset=preset, out=tmp_path / "out", shard_size=2000, **FAST.get(method, {}))
    assert out == tmp_path / "out" and len(list(out.glob("*.safetensors"))) > 2
    assert identical(read_state(out), merge(method, base, experts, preset=preset, **FAST.get(method, {})))


@pytest.mark.parametrize("method", [method for method, spec in DATA_FREE.items() if spec.elementwise])
def test_tensors_in_pieces_become_the_same_bits(tmp_path, monkeypatch, on_disk, base, experts, method):
    whole = merge(method, base, experts)
    monkeypatch.setattr(compare, "PIECE", 37)
    assert identical(merge(method, base, experts), whole)
    assert identical(read_state(merge(method, *on_disk, out=tmp_path / "out")), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", [method for method in DATA_FREE if method not in PER_TASK])
def test_half_precision_streams_to_the_same_bits(tmp_path, base, experts, method, dtype):
    base, experts = rounded(base, dtype), {task: rounded(expert, dtype) for task, expert in experts.items()}
    paths = {task: write_sharded(tmp_path / task, expert) for task, expert in experts.items()}
    out = merge(method, write_sharded(tmp_path / "base", base), paths, out=tmp_path / "out", **FAST.get(method, {}))
    assert identical(read_state(out), merge(method, base, experts, **FAST.get(method, {})))


@pytest.mark.parametrize("options", [{"keys": r"mlp\.c_fc", "others": "mean"}, {"keys": "resblocks"},
                                     {"out_dtype": torch.bfloat16}])
def test_what_is_not_merged_and_other_dtypes_stream_alike(tmp_path, on_disk, base, experts, options):
    out = merge("ties", *on_disk, out=tmp_path / "out", **options)
    assert identical(read_state(out), merge("ties", base, experts, **options))


def test_state_dicts_can_be_written_too_and_folders_merged_in_memory(tmp_path, on_disk, base, experts):
    in_memory = merge("doge-ta", base, experts)
    assert identical(read_state(merge("doge-ta", base, experts, out=tmp_path / "out")), in_memory)
    assert identical(merge("doge-ta", *on_disk), in_memory)


@pytest.mark.parametrize("method, options", [("regmean", {"examples": 8}), ("fisher", {"examples": 4})])
def test_methods_that_need_data_merge_in_memory_and_write(tmp_path, labelled, method, options):
    paths = {task: write_sharded(tmp_path / task, expert) for task, expert in labelled.experts.items()}
    base = write_sharded(tmp_path / "base", labelled.base)
    out = merge(method, base, paths, suite=labelled, out=tmp_path / "out", **options)
    assert identical(read_state(out), merge(method, labelled.base, labelled.experts, suite=labelled, **options))
    assert json.loads((out / "merge.json").read_text())["settings"]["suite"] == labelled.digest


@pytest.mark.parametrize("method", [*PER_TASK, "surgery"])
def test_more_than_one_model_has_no_place_in_a_folder(tmp_path, base, experts, method):
    with pytest.raises(ValueError, match="more than one model, and out is a place for one"):
        merge(method, base, experts, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_wrong_option_leaves_a_folder_that_serves_the_next_merge(tmp_path, on_disk):
    with pytest.raises(ValueError, match="density is 2"):
        merge("ties", *on_disk, out=tmp_path / "out", density=2)
    merge("ties", *on_disk, out=tmp_path / "out")


# --- memory

@pytest.mark.parametrize("method, options", [
    ("task-arithmetic", {}), ("norm-lambda", {"scope": "task"}), ("ties", {}), ("knots", {}), ("dare-ties", {}),
    ("doge-ta", {"mask": "tau"}), ("doge-ties", {"preset": "code"}), ("consensus-ties", {}), ("tsv-m", {}), ("swudi", {}),
    ("early-cg", {}), ("ta-svc", {})])
def test_no_tensor_is_held_while_the_next_is_read(tmp_path, on_disk, monkeypatch, method, options):
    held = watch(monkeypatch)
    merge(method, *on_disk, out=tmp_path / "out", **{**FAST.get(method, {}), **options})
    assert max(held["stacks"]) == 0 and max(held["sources"], default=0) <= 1        # that one is the base's, beside an expert's


def test_the_watch_sees_what_is_held(tmp_path, on_disk, monkeypatch):
    held = watch(monkeypatch)
    merge("pcb", *on_disk, out=tmp_path / "out")
    assert max(held["stacks"]) == 5


def watch(monkeypatch):
    """How many stacks of task vectors, and tensors read from disk, are alive whenever the next one is read."""
    held, alive = {"stacks": [], "sources": []}, {"stacks": [], "sources": []}
    read_tensor, getitem = work.read_tensor, LazyState.__getitem__

    def note(kind, make, pick):
        held[kind].append(sum(reference() is not None for reference in alive[kind]))
        made = make()
        alive[kind].append(weakref.ref(pick(made)))
        return made

    monkeypatch.setattr(work, "read_tensor", lambda *where: note("stacks", lambda: read_tensor(*where), lambda made: made[1]))
    monkeypatch.setattr(LazyState, "__getitem__",
                        lambda self, name: note("sources", lambda: getitem(self, name), lambda made: made))
    return held


# --- interruptions

KILLED = """
import os, signal, sys
from mergelib import merge
from mergelib.checkpoints import output

def replace(part, file, whole=os.replace):
    whole(part, file)
    if file.name.startswith("model-00002"):
        os.kill(os.getpid(), signal.SIGKILL)

output.os.replace = replace
merge("ties", sys.argv[1], sys.argv[3:], out=sys.argv[2], shard_size=1000)
"""


def test_a_killed_merge_goes_on_where_it_was(tmp_path, on_disk, base, experts, monkeypatch):
    paths, out = [str(path) for path in on_disk[1].values()], tmp_path / "out"
    child = subprocess.run([sys.executable, "-c", KILLED, on_disk[0], out, *paths], capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    finished = {file.name: file.stat().st_ino for file in out.glob("model-*.safetensors")}
    assert len(finished) == 2 and list(out.glob(".*.part")) and not list(out.glob("*.index.json"))
    again, run = [], work.Work.run
    monkeypatch.setattr(work.Work, "run", lambda self: (again.append(self.name), run(self))[1])
    merge("ties", on_disk[0], paths, out=out, shard_size=1000)
    assert {name: (out / name).stat().st_ino for name in finished} == finished and not list(out.glob(".*"))
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in base.items()}
    assert sorted(again) == sorted(name for shard in plan_shards(shapes, 1000)[2:] for name in shard.offsets)
    assert identical(read_state(out), merge("ties", base, list(experts.values())))
    again.clear()
    merge("ties", on_disk[0], paths, out=out, shard_size=1000)
    assert again == []


def test_other_sources_are_another_merge(tmp_path, on_disk):
    merge("ties", *on_disk, out=tmp_path / "out")
    file = on_disk[1]["task-1"]
    times, whole = file.stat(), file.read_bytes()
    os.utime(file, (0, 0))                              # the same numbers, which time it ever was
    merge("ties", *on_disk, out=tmp_path / "out")
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))         # one bit, in a file of the same size and time
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(CheckpointError, match="holds the merge of other numbers: .* changed in the base or an expert"):
        merge("ties", *on_disk, out=tmp_path / "out")


# --- sources

def test_a_lazy_state_reads_headers_until_asked(on_disk, base, monkeypatch):
    state = open_state(on_disk[0])
    monkeypatch.setattr(LazyState, "__getitem__", lambda *_: pytest.fail("read a tensor"))
    assert state.keys() == base.keys() and len(state) == len(base) and "nowhere" not in state and BUFFER in state
    assert state.facts(BUFFER) == ((5,), torch.int64) and state.facts("conv1.weight") == ((8, 3, 2, 2), torch.float32)
    assert len(described(state)) == 32


def test_a_missing_shard_is_named(tmp_path, on_disk):
    next(on_disk[0].glob("model-00002*")).unlink()
    with pytest.raises(CheckpointError, match="base lacks model-00002-of-00004.safetensors, which its index names"):
        merge("ties", *on_disk, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_without_one_checkpoint_are_refused(tmp_path, base):
    with pytest.raises(CheckpointError, match="is empty"):
        open_state(tmp_path)
    for name in ("a", "b"):
        write_state(tmp_path / f"{name}.safetensors", base)
    with pytest.raises(CheckpointError, match="several checkpoints, .*: a.safetensors, b.safetensors"):
        open_state(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="index.json is damaged: it has no weight_map"):
        open_state(tmp_path)


def test_dtypes_that_cannot_be_merged_are_named(tmp_path):
    save_file({"w": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="w is stored as F8_E4M3, which cannot be merged"):
        open_state(tmp_path / "x.safetensors")


def test_numbers_that_are_not_finite_are_found_when_read(tmp_path, base, experts):
    experts["task-1"]["conv1.weight"][0] = float("nan")
    paths = [write_sharded(tmp_path / task, expert) for task, expert in experts.items()]
    with pytest.raises(CheckpointError, match=r"task-1/model.*: conv1.weight holds 12 values that are NaN or infinite"):
        merge("ties", write_sharded(tmp_path / "base", base), paths, out=tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_an_expert_equal_to_the_base_and_mismatches_are_found_before(tmp_path, base, experts):
    del experts["task-0"]["class_embedding"]
    experts["task-1"] = {**experts["task-1"], "conv1.weight": torch.ones(2).half()}
    experts["task-2"] = base
    paths = {task: write_sharded(tmp_path / task, expert) for task, expert in experts.items()}
    opened = open_state(write_sharded(tmp_path / "base", base))
    with pytest.raises(CheckpointError) as refusal:
        check(opened, {task: open_state(path) for task, path in paths.items()})
    assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
        "expert task-0: has no tensor class_embedding",
        "expert task-1: conv1.weight has shape (2,), the base has (8, 3, 2, 2)",
        "expert task-2: is equal to the base, so there is nothing to merge. Was it fine-tuned and saved?"]


def test_other_vocabularies_are_explained():
    base, experts = {"model.embed_tokens.weight": torch.ones(8, 4)}, {"a": {"model.embed_tokens.weight": torch.ones(10, 4)}}
    with pytest.raises(CheckpointError, match=r"vocabularies differ.*first 8 tokens.*resize_token_embeddings\(8\)"):
        check(base, experts)


def test_experts_of_one_task_stream_too(tmp_path):
    base, experts = random_checkpoints(tasks=1)
    out = merge("wudi", base, experts, preset="exact", out=tmp_path / "out")
    assert identical(read_state(out), merge("wudi", base, experts, preset="exact"))
    assert json.loads((out / "merge.json").read_text())["method"] == "wudi"
