"""Can any input bring the readers to anything but a result or an error in words? Random and mutated bytes, JSON, mappings.

The same examples are drawn in every run.
"""

import io
import json
import os
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import nn

from mergelib import CheckpointError, merge
from mergelib.checkpoints.families import read_tower
from mergelib.checkpoints.folders import INDEX
from mergelib.checkpoints.lazy import LazyState
from mergelib.checkpoints.states import open_state
from mergelib.merging.preview import inspect

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}
ADAPTER = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["a"], "use_rslora": False, "use_dora": False,
           "bias": "none", "fan_in_fan_out": False, "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None,
           "init_lora_weights": True, "layers_to_transform": None, "target_parameters": None}
HEADER = {"__metadata__": {"format": "pt"}, "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
          "b": {"dtype": "I64", "shape": [2], "data_offsets": [24, 40]}}

NUMBERS = st.integers() | st.integers(0, 64) | st.floats() | st.sampled_from([2**31, 2**32 - 1, 2**63, 2**64 - 1, 10**30])
WORDS = st.text(max_size=12) | st.sampled_from(["F32", "F8_E4M3", "BOOL", "U64", "a.weight", "b", "none", "..", "/", "LORA",
                                                "model.safetensors", "\0.safetensors", "../model.safetensors", "\ud800"])
JSON = st.recursive(st.none() | st.booleans() | NUMBERS | WORDS,
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8)
EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4)


def few(count):
    """Settings of a test with some examples, the same ones in every run; FUZZ=12 draws twelve times as many, as CI does."""
    times = int(os.environ.get("FUZZ", 1))
    return settings(max_examples=count * times, derandomize=True, deadline=None, database=None)


@st.composite
def changed(draw, value):
    """A JSON value with a part of it replaced, left out, or added to."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 3)):
        copy = value.copy()
        key = draw(st.sampled_from(sorted(copy))) if isinstance(copy, dict) else draw(st.integers(0, len(copy) - 1))
        if draw(st.integers(0, 4)):
            copy[key] = draw(changed(copy[key]))
        else:
            copy.pop(key)
        return copy
    return draw(JSON)


def as_bytes(values):
    """JSON values as the bytes of a file."""
    return values.map(lambda value: json.dumps(value).encode())


def edited(content, edits):
    """Bytes with other bytes in some places: (where, what, how many go)."""
    for where, what, gone in edits:
        at = int(where * len(content))
        content = content[:at] + what + content[at + gone:]
    return content


def result(read, *arguments):
    """What a reader gives, or None for an error in words; anything else fails the test."""
    with suppress(CheckpointError):
        return read(*arguments)


def read_all(path, base=None):
    """All tensors of a checkpoint."""
    state = open_state(path, base)
    found = {name: state[name] for name in state}
    if isinstance(state, LazyState):
        pieces = {name: list(state.pieces(name, 2)) for name in state}
        assert all(sum(map(torch.numel, pieces[name])) == found[name].numel() for name in found)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


# --- safetensors

@few(150)
@given(st.binary(max_size=40) | st.builds(edited, st.just(save(STATE)), EDITS))
def test_bytes_of_safetensors(folder, content):
    (folder / "x.safetensors").write_bytes(content)
    result(read_all, folder / "x.safetensors")
    result(inspect, folder / "x.safetensors")


@few(250)
@given(changed(HEADER), st.integers(0, 60))
def test_headers_of_safetensors(folder, header, size):
    text = json.dumps(header).encode()
    (folder / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    found = result(read_all, folder / "x.safetensors")
    result(inspect, folder / "x.safetensors")
    assert found is None or sum(tensor.nbytes for tensor in found.values()) <= size


# --- JSON beside the tensors

@few(200)
@given(st.binary(max_size=20) | as_bytes(changed({"weight_map": {"a.weight": "model-1.safetensors",
                                                                  "b": "model-2.safetensors"}}) | JSON))
def test_indexes(folder, content):
    where = folder / "indexed"
    where.mkdir(exist_ok=True)
    for i, name in enumerate(STATE, 1):
        save_file({name: STATE[name]}, where / f"model-{i}.safetensors")
    (where / f"model{INDEX}").write_bytes(content)
    found = result(read_all, where)
    assert found is None or found.keys() <= STATE.keys()


@few(150)
@given(st.sampled_from(["config.json", "quantize_config.json", "params.json"]), changed({"quantization_config": {
    "quant_method": "gptq", "bits": 4}, "text_config": {"quantization": {"quant_algo": None}}}) | JSON)
def test_configurations(folder, name, config):
    where = folder / f"with {name}"
    where.mkdir(exist_ok=True)
    save_file(STATE, where / "model.safetensors")
    (where / name).write_text(json.dumps(config))
    result(open_state, where)


@few(200)
@given(st.binary(max_size=20) | as_bytes(changed(ADAPTER) | JSON))
def test_adapter_configurations(folder, content):
    where = folder / "adapter"
    where.mkdir(exist_ok=True)
    save_file({"base_model.model.a.lora_A.weight": torch.ones(2, 3), "base_model.model.a.lora_B.weight": torch.ones(2, 2)},
              where / "adapter_model.safetensors")
    (where / "adapter_config.json").write_bytes(content)
    result(read_all, where, STATE)
    result(inspect, where)


# --- pickles

def torch_file(thing, zipped=True):
    """The bytes of a torch file."""
    torch.save(thing, stream := io.BytesIO(), _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def with_pickle(content, edits):
    """A torch file with an edited pickle, whose checksums are right."""
    stream, source = io.BytesIO(), zipfile.ZipFile(io.BytesIO(content))
    with zipfile.ZipFile(stream, "w") as target:
        for name in source.namelist():
            target.writestr(name, edited(source.read(name), edits if name.endswith("data.pkl") else []))
    return stream.getvalue()


MODULE = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
PICKLED = [STATE, {"epoch": 1, "state_dict": STATE}, MODULE]


@pytest.mark.filterwarnings("ignore")
@few(400)
@given(st.binary(max_size=60) | st.sampled_from(PICKLED).flatmap(lambda thing: (
    st.builds(edited, st.sampled_from([torch_file(thing), torch_file(thing, False)]), EDITS)
    | st.builds(with_pickle, st.just(torch_file(thing)), EDITS))))
def test_pickles(folder, content):
    (folder / "x.pt").write_bytes(content)
    result(read_all, folder / "x.pt")
    result(read_tower, folder / "x.pt", True)


@pytest.mark.parametrize("content", [
    b"\x80\x04r\xff\xff\xff\xff.", b"\x80\x02Nr\xff\xff\xff\x7f.", b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.",
    b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.", b"\x80\x04\x8d" + b"\xff" * 7 + b"\x0f.", b"\x80\x02\x8b\xff\xff\xff\x7f."])
def test_what_a_pickle_says_of_its_size_takes_no_memory(folder, content):
    (folder / "x.pt").write_bytes(content)
    assert result(read_all, folder / "x.pt") is result(read_tower, folder / "x.pt", True) is None


# --- in memory

KEYS = st.sampled_from(["w", "a", "state_dict", "model", "optimizer", 1, None])
THINGS = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=3) | st.binary(max_size=3)
    | st.sampled_from([torch.ones(2), torch.ones(()), torch.ones(0), np.ones(2), np.float32(1), nn.Linear(1, 1), nn.ReLU,
                       torch.ones(2, device="meta"), torch.ones(2, 2, dtype=torch.int8), np.array(["x"]), MODULE, object()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6)


@few(400)
@given(THINGS, THINGS | st.just({"w": torch.zeros(2)}))
def test_things_in_memory(experts, base):
    result(merge, "weight-average", base, experts)
