"""LoRA adapters: the experts that they stand for, made by hand, and kinds that are refused by name."""

import json
import math

import pytest
import torch
from conftest import check, random_checkpoints
from safetensors.torch import save_file
from test_merge import FAST, identical, rounded

from mergelib import CheckpointError, merge
from mergelib.checkpoints.states import open_state, read_state, write_state
from mergelib.merging.preview import inspect, preview
from mergelib.merging.work import read_tensor

NAMES = ("transformer.resblocks.0.mlp.c_fc.weight", "transformer.resblocks.0.mlp.c_proj.weight")
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "bias": "none", "use_dora": False, "fan_in_fan_out": False}


@pytest.fixture
def base():
    """The base with another linear layer."""
    return {**random_checkpoints()[0], NAMES[1]: 0.1 * torch.randn(16, 64, generator=torch.Generator().manual_seed(1))}


def matrices(base, seed, names=NAMES, rank=4, transposed=False):
    """Name of a base tensor -> (A, B), random."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {name: tuple(reversed(base[name].shape)) if transposed else tuple(base[name].shape) for name in names}
    return {name: (torch.randn(rank, columns, generator=draw), 0.02 * torch.randn(rows, rank, generator=draw))
            for name, (rows, columns) in shapes.items()}


def write_adapter(folder, pairs, **config):
    """A PEFT folder."""
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    keys = {name: "base_model.model." + name.removesuffix("weight") for name in pairs}
    save_file({f"{keys[name]}lora_{letter}.weight": matrix for name, pair in pairs.items()
               for letter, matrix in zip("AB", pair)}, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize("config, scale", [({}, 1.5), ({"use_rslora": True}, 6 / math.sqrt(4)), ({"lora_alpha": 8}, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_task_vectors_are_scale_b_a_in_fp32_whatever_the_base_s_dtype(tmp_path, base, config, scale, dtype):
    base, pairs = rounded(base, dtype), matrices(base, 0, NAMES[:1])
    expert = open_state(write_adapter(tmp_path / "a", pairs, **config), base)
    for name in base:
        _, (tau,) = read_tensor(base, {"a": expert}, name)
        by_hand = scale * pairs[name][1] @ pairs[name][0] if name in pairs else torch.zeros(base[name].shape)
        torch.testing.assert_close(tau, by_hand, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(expert[name], (base[name].float() + by_hand).to(base[name].dtype))


def test_weights_that_lie_transposed(tmp_path, base):
    pairs = matrices(base, 0, transposed=True)
    expert = open_state(write_adapter(tmp_path / "a", pairs, fan_in_fan_out=True), base)
    for name, (a, b) in pairs.items():
        torch.testing.assert_close(expert.delta(name), 1.5 * (b @ a).T)


@pytest.mark.parametrize("method", ["weight-average", "task-arithmetic", "norm-lambda", "ties", "dare", "consensus-ta", "emr"])
def test_adapters_merge_like_the_dense_experts_made_by_hand(tmp_path, base, method):
    pairs = {f"task-{i}": matrices(base, i, NAMES[:1 + i]) for i in range(2)}
    dense = {task: {**base, **{name: base[name] + 1.5 * b @ a for name, (a, b) in pair.items()}}
             for task, pair in pairs.items()}
    paths = {task: write_adapter(tmp_path / task, pair) for task, pair in pairs.items()}
    ours, theirs = (merge(method, base, experts) for experts in (paths, dense))
    if method == "emr":
        ours, theirs = ours["task-1"], theirs["task-1"]
    for name in base:       # base + tau - base rounds: 1e-8 at these numbers
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["ties", "doge-ta", "tsv-m", "knots"])
def test_adapters_stream_to_the_same_bits_as_in_memory(tmp_path, base, method):
    paths = {f"task-{i}": write_adapter(tmp_path / f"task-{i}", matrices(base, i)) for i in range(3)}
    write_state(tmp_path / "base" / "model.safetensors", base)
    streamed = merge(method, tmp_path / "base", paths, out=tmp_path / "out", **FAST.get(method, {}))
    assert identical(read_state(streamed), merge(method, base, paths, **FAST.get(method, {})))


def test_a_preview_judges_the_time_by_a_tensor_that_every_adapter_changes(tmp_path, base):
    paths = {f"task-{i}": write_adapter(tmp_path / f"task-{i}", matrices(base, i, NAMES[i:])) for i in range(2)}
    write_state(tmp_path / "base" / "model.safetensors", base)
    text = preview("ties", tmp_path / "base", paths)
    assert f"with one worker, judged by {NAMES[1]}" in text and "LoRA adapter: r 4, alpha 6" in inspect(paths["task-0"])


@pytest.mark.parametrize("config, named", [
    ({"use_dora": True}, "use_dora=True"), ({"bias": "all"}, "bias='all'"), ({"modules_to_save": ["head"]}, "modules_to_save"),
    ({"rank_pattern": {"x": 2}, "alpha_pattern": {"x": 2}}, "rank_pattern=.*, alpha_pattern="), ({"peft_type": "IA3"}, "IA3"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'")])
def test_other_kinds_of_adapter_are_refused_by_name(tmp_path, base, config, named):
    with pytest.raises(CheckpointError, match=f"is an adapter with .*{named}.*only plain LoRA"):
        open_state(write_adapter(tmp_path / "a", matrices(base, 0), **config), base)


def test_adapters_of_another_model_are_refused_by_name(tmp_path, base):
    pairs = {**matrices(base, 0, NAMES[:1]), "decoder.0.weight": (torch.ones(4, 2), torch.ones(2, 4)),
             NAMES[1]: (torch.ones(4, 3), torch.ones(16, 4))}
    with pytest.raises(CheckpointError) as refusal:
        open_state(write_adapter(tmp_path / "a", pairs), base)
    assert "a is no adapter of this base (whose names look like conv1.weight)" in str(refusal.value)
    assert sorted(line.strip() for line in str(refusal.value).splitlines()[1:]) == [
        "the base has no tensor decoder.0.weight",
        f"{NAMES[1]}: B A has shape (16, 3) through ranks 4 and 4, the base has (16, 64)"]


def test_keys_that_are_no_pairs_are_named(tmp_path, base):
    folder = write_adapter(tmp_path / "a", matrices(base, 0, NAMES[:1]))
    save_file({"base_model.model.x.lora_A.weight": torch.ones(4, 2), "base_model.model.x.lora_embedding_B": torch.ones(2, 4)},
              folder / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"no pairs .*x.lora_B.weight, base_model.model.x.lora_embedding_B"):
        open_state(folder, base)


def test_an_adapter_is_no_base_and_one_that_changes_nothing_no_expert(tmp_path, base):
    pairs = {name: (a, torch.zeros_like(b)) for name, (a, b) in matrices(base, 0).items()}
    folder = write_adapter(tmp_path / "a", pairs)
    with pytest.raises(CheckpointError, match="is a LoRA adapter. It can be an expert"):
        open_state(folder)
    with pytest.raises(CheckpointError, match="expert a: is equal to the base"):
        check(base, {"a": open_state(folder, base)})


def test_a_damaged_configuration_is_named(tmp_path, base):
    folder = write_adapter(tmp_path / "a", matrices(base, 0))
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="adapter_config.json is damaged"):
        open_state(folder, base)
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="no r and lora_alpha"):
        open_state(folder, base)
