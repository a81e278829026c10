"""Checkpoints: unsafe, damaged and unfit ones are refused in words, and a file is written whole or not at all."""

import os
import pickle
import signal
import subprocess
import sys

import pytest
import torch
from conftest import BUFFER, check

from mergelib import CheckpointError, merge
from mergelib.checkpoints import states
from mergelib.checkpoints.states import read_state, write_state


@pytest.fixture
def file(tmp_path, base):
    """The base, written."""
    write_state(tmp_path / "base.safetensors", base)
    return tmp_path / "base.safetensors"


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def complaints(base, experts):
    """The lines of the message with which checkpoints are refused."""
    with pytest.raises(CheckpointError) as refusal:
        check(base, experts)
    return [line.strip() for line in str(refusal.value).splitlines()[1:]]


# --- reading

@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_is_written_is_read_back_bit_for_bit(tmp_path, base, dtype):
    state = {name: tensor if name == BUFFER else tensor.to(dtype) for name, tensor in base.items()}
    state["transposed"] = torch.arange(6, dtype=dtype).reshape(2, 3).T      # not contiguous
    write_state(tmp_path / "new" / "x.safetensors", state)
    back = read_state(str(tmp_path / "new" / "x.safetensors"))
    assert same(back, state) and {name: t.dtype for name, t in back.items()} == {n: t.dtype for n, t in state.items()}


def test_a_state_dict_is_handed_back_as_it_is(base):
    assert read_state(base) is base


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere.safetensors does not exist"):
        read_state(tmp_path / "nowhere.safetensors")


class Bomb:
    """Leaves a trace when unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


@pytest.mark.parametrize("name, message", [
    ("model.pt", "Pickled checkpoints .* can run code"), ("model.bin", "Pickled checkpoints .* can run code"),
    ("model", "not a .safetensors file"), ("model.safetensors", "damaged or cut short")])
def test_a_pickled_file_is_refused_and_never_run(tmp_path, name, message):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    with pytest.raises(CheckpointError, match=message):
        read_state(tmp_path / name)
    assert not (tmp_path / "trace").exists()
    pickle.loads((tmp_path / name).read_bytes())
    assert (tmp_path / "trace").exists(), "the bomb is a dud, so this test shows nothing"


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_file_cut_short_is_refused(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="base.safetensors is damaged or cut short"):
        read_state(file)


@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_no_flipped_byte_of_the_header_gets_into_a_merge(tmp_path, base, experts, flip):
    file, names = tmp_path / "two.safetensors", ("conv1.weight", "class_embedding")
    write_state(file, {name: base[name] for name in names})
    whole, expert = file.read_bytes(), {name: experts["task-0"][name] for name in names}
    for position in range(8 + int.from_bytes(whole[:8], "little")):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1:])
        with pytest.raises(CheckpointError):
            check(read_state(file), {"task-0": expert})


# --- what does not fit together

def test_fitting_checkpoints_pass(base, experts):
    assert check(base, experts) == []


@pytest.mark.parametrize("bad, count", [([float("nan")], 1), ([float("inf"), -float("inf"), float("nan")], 3)])
def test_tensors_that_are_not_finite_are_named_and_counted(base, experts, bad, count):
    experts["task-1"]["conv1.weight"].view(-1)[:len(bad)] = torch.tensor(bad)
    base["class_embedding"][3] = float("nan")
    assert complaints(base, experts) == [
        "base: class_embedding holds 1 values that are NaN or infinite",
        f"expert task-1: conv1.weight holds {count} values that are NaN or infinite"]


def test_everything_wrong_is_listed_at_once(base, experts):
    first, second, third = experts.values()
    del first["class_embedding"]
    first["head.weight"] = torch.ones(2)
    first["conv1.weight"] = torch.ones(8, 3, 4, 4)
    first["positional_embedding"][0] = float("nan")
    second["conv1.weight"] = second["conv1.weight"].long()
    third.update(base)
    assert complaints(base, experts) == [
        "expert task-0: has no tensor class_embedding",
        "expert task-0: conv1.weight has shape (8, 3, 4, 4), the base has (8, 3, 2, 2)",
        "expert task-0: has a tensor that the base lacks: head.weight",
        "expert task-0: positional_embedding holds 16 values that are NaN or infinite",
        "expert task-1: conv1.weight is torch.int64, the base is torch.float32",
        "expert task-2: is equal to the base, so there is nothing to merge. Was it fine-tuned and saved?"]


def test_no_experts_at_all_are_refused(base):
    with pytest.raises(CheckpointError, match="no expert"):
        check(base, {})


def test_a_merge_refuses_what_does_not_fit(base, experts):
    del experts["task-1"]["conv1.weight"]
    with pytest.raises(CheckpointError, match="expert task-1: has no tensor conv1.weight"):
        merge("weight-average", base, experts)


# --- writing

def half(state, part, metadata):
    """Stands in for safetensors' writer: half a file and then a full disk."""
    part.write_bytes(b"half")
    raise OSError("No space left on device")


def test_an_exception_while_writing_leaves_the_old_file_alone(file, base, experts, monkeypatch):
    monkeypatch.setattr(states, "save_file", half)
    with pytest.raises(OSError, match="No space left"):
        write_state(file, experts["task-0"])
    assert same(read_state(file), base)
    assert os.listdir(file.parent) == [file.name]


def test_a_first_write_that_fails_leaves_nothing(tmp_path, base, monkeypatch):
    monkeypatch.setattr(states, "save_file", half)
    with pytest.raises(OSError, match="No space left"):
        write_state(tmp_path / "new.safetensors", base)
    assert os.listdir(tmp_path) == []


KILLED = """
import os, signal, sys, torch
from mergelib.checkpoints import states

def half(state, part, metadata):
    part.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

states.save_file = half
states.write_state(sys.argv[1], {"new": torch.ones(1)})
"""


def test_a_kill_while_writing_leaves_the_old_file_and_the_next_write_works(file, base, experts):
    child = subprocess.run([sys.executable, "-c", KILLED, file], capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert same(read_state(file), base)
    write_state(file, experts["task-0"])
    assert same(read_state(file), experts["task-0"])
