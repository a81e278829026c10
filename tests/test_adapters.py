"""LoRA adapters: the experts that they stand for, made by hand, and kinds that are refused by name."""

import json
import math
from contextlib import chdir

import pytest
import torch
from conftest import check, random_checkpoints
from safetensors.torch import load_file, save_file
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


def test_an_adapter_and_a_whole_checkpoint_merge_together(tmp_path, base):
    adapter = write_adapter(tmp_path / "a", matrices(base, 0))
    whole = {name: tensor + 0.01 if tensor.is_floating_point() else tensor for name, tensor in base.items()}
    merged, alone = merge("weight-average", base, [adapter, whole]), merge("weight-average", base, [adapter])
    for name in NAMES:
        torch.testing.assert_close(merged[name], (alone[name] + whole[name]) / 2)


def test_an_adapter_trained_on_a_quantised_base_is_an_expert_of_the_dense_one(tmp_path, base):
    folder = write_adapter(tmp_path / "a", matrices(base, 0))
    wanted = merge("weight-average", base, [folder])
    (folder / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "bitsandbytes"}}))
    assert identical(merge("weight-average", base, [folder]), wanted)


def test_the_file_of_an_adapter_stands_for_its_folder(tmp_path, base):
    folder = write_adapter(tmp_path / "a", matrices(base, 0))
    assert identical(merge("ties", base, [folder / "adapter_model.safetensors"]), merge("ties", base, [folder]))


def test_an_adapter_without_its_matrices_is_refused(tmp_path, base):
    folder = write_adapter(tmp_path / "a", matrices(base, 0))
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="expert expert-1: .*a holds adapter_config.json and no adapter_model"):
        merge("ties", base, [folder])


def test_a_preview_judges_the_time_by_a_tensor_that_every_adapter_changes(tmp_path, base):
    paths = {f"task-{i}": write_adapter(tmp_path / f"task-{i}", matrices(base, i, NAMES[i:])) for i in range(2)}
    write_state(tmp_path / "base" / "model.safetensors", base)
    text = preview("ties", tmp_path / "base", paths)
    assert f"with one worker, judged by {NAMES[1]}" in text and "LoRA adapter: r 4, alpha 6" in inspect(paths["task-0"])


@pytest.mark.parametrize("config, named", [
    ({"peft_type": "IA3"}, "peft_type='IA3'"), ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'.*changed base"),
    ({"bias": "some"}, "bias='some'"), ({"use_qalora": True, "qalora_group_size": 8}, "use_qalora=True,.*merge_and_unload"),
    ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens=.*depends on the input"),
    ({"trainable_token_indices": [1], "target_parameters": ["x"]}, "trainable_token_indices=.*, target_parameters="),
    ({"layer_replication": [[0, 2]]}, "layer_replication"), ({"invented_later": 3}, "invented_later=3")])
def test_other_kinds_of_adapter_are_refused_by_name(tmp_path, base, config, named):
    with pytest.raises(CheckpointError, match=f"a is an adapter with .*{named}.*give the whole"):
        open_state(write_adapter(tmp_path / "a", matrices(base, 0), **config), base)


def test_every_field_that_peft_writes_is_known(tmp_path, base):
    from peft import LoraConfig
    written = LoraConfig(r=4, lora_alpha=6).to_dict()
    written |= {name: list(value) for name, value in written.items() if isinstance(value, set)}
    later = {"invented_later": None, "also_later": False, "more": []}
    open_state(write_adapter(tmp_path / "a", matrices(base, 0), **{**written, **later}), base)


@pytest.mark.parametrize("config, named", [
    ({"r": 0}, "r is 0, not a positive"), ({"r": "4"}, "r is '4'"), ({"r": True}, "r is True"), ({"r": None}, "r is None"),
    ({"lora_alpha": math.nan}, "lora_alpha is nan, not a finite"), ({"lora_alpha": "6"}, "lora_alpha is '6'"),
    ({"rank_pattern": {"x": 2.5}}, r"rank_pattern\['x'\] is 2.5"),
    ({"alpha_pattern": {"x": None}}, r"alpha_pattern\['x'\] is None"),
    ({"alpha_pattern": {"(": 1}}, "'\\(' is no pattern"), ({"use_rslora": "no"}, "use_rslora='no'"),
    ({"rank_pattern": [1]}, r"rank_pattern=\[1\]"), ({"modules_to_save": "head"}, "modules_to_save='head'")])
def test_settings_that_are_none_are_named(tmp_path, base, config, named):
    with pytest.raises(CheckpointError, match=named):
        open_state(write_adapter(tmp_path / "a", matrices(base, 0), **config), base)


def test_ranks_other_than_the_configuration_says_are_named(tmp_path, base):
    folder = write_adapter(tmp_path / "a", matrices(base, 0), rank_pattern={"c_fc": 2})
    with pytest.raises(CheckpointError, match=r"(?s)a/adapter_model.* .*c_fc.lora_A.weight has rank 4, .* say 2.*lora_B"):
        open_state(folder, base)


def test_a_pickled_adapter_is_told_how_to_convert(tmp_path, base):
    folder = write_adapter(tmp_path / "a", matrices(base, 0))
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"\.bin\) can run code.*: from safetensors") as refusal:
        open_state(folder, base)
    with chdir(folder):
        exec("import torch; " + str(refusal.value).partition("call again: ")[2])
    open_state(folder, base)


def test_adapters_of_another_model_are_refused_by_name(tmp_path, base):
    pairs = {**matrices(base, 0, NAMES[:1]), "decoder.0.weight": (torch.ones(4, 2), torch.ones(2, 4)),
             NAMES[1]: (torch.ones(4, 3), torch.ones(16, 4))}
    with pytest.raises(CheckpointError) as refusal:
        open_state(write_adapter(tmp_path / "a", pairs), base)
    first, *lines = str(refusal.value).splitlines()
    assert "does not fit this base (whose names look like conv1.weight)" in first
    assert [line.strip().partition(": if")[0] for line in lines] == [
        "the base has no tensor decoder.0.weight", f"{NAMES[1]}: B A has shape (16, 3), the base has (16, 64)"]


def test_keys_that_are_no_pairs_are_named(tmp_path, base):
    folder = write_adapter(tmp_path / "a", matrices(base, 0, NAMES[:1]))
    save_file({"base_model.model.x.lora_A.weight": torch.ones(4, 2), "base_model.model.x.lora_embedding_B": torch.ones(2, 4)},
              folder / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"no pairs .*model.x.lora_A.weight, base_model.model.x.lora_embedding_B"):
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
    with pytest.raises(CheckpointError, match="holds a list, not an object"):
        open_state(folder, base)
