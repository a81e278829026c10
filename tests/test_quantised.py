"""Are codes told from numbers? In files and in memory, by the configuration, by names and by kinds of tensors."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mergelib import CheckpointError, merge
from mergelib.__main__ import main
from mergelib.checkpoints.lazy import LazyState, lazy_state
from mergelib.checkpoints.states import open_state

FP8 = torch.float8_e4m3fn
NUMBERS = {"layers.0.norm.weight": torch.ones(8)}


def of(*shape, dtype=torch.float16):
    return torch.ones(shape).to(dtype)


FORMATS = {     # tensors of one layer as each format stores it
    "GPTQ": {"qweight": of(1, 8, dtype=torch.int32), "qzeros": of(1, 1, dtype=torch.int32), "scales": of(1, 8),
             "g_idx": of(8, dtype=torch.int32)},
    "bitsandbytes, 8": {"weight": of(8, 8, dtype=torch.int8), "SCB": of(8), "weight_format": of(dtype=torch.uint8)},
    "bitsandbytes, 4": {"weight": of(32, 1, dtype=torch.uint8), "weight.absmax": of(4, dtype=torch.uint8),
                        "weight.quant_map": of(16), "weight.quant_state.bitsandbytes__nf4": of(9, dtype=torch.uint8)},
    "fp8": {"weight": of(8, 8, dtype=FP8), "weight_scale_inv": of(1, 1)},
    "fp8 or few": {"weight": of(8, 8), "weight_scale": of(1)},                  # codes that were cast to floats
    "compressed-tensors": {"weight_packed": of(8, 1, dtype=torch.int32), "weight_scale": of(8, 1)},
    "HQQ": {"W_q": of(4, 8, dtype=torch.uint8), "scale": of(8, 1), "zero": of(8, 1)},
    "EETQ": {"weight": of(8, 8, dtype=torch.int8), "weight_scales": of(8)},
    "AQLM": {"codes": of(8, 1, 1, dtype=torch.int16), "codebooks": of(1, 256, 1, 8), "scales": of(8, 1, 1, 1)},
    "QuIP": {"Qidxs": of(8, 1, dtype=torch.int64), "SU": of(8), "SV": of(8)},
    "mxfp4": {"proj_blocks": of(8, 4, 16, dtype=torch.uint8), "proj_scales": of(8, 4, dtype=torch.uint8)},
    "torchao": {"weight_qdata": of(8, 8, dtype=torch.int8), "weight_scale_": of(8)},
    "uint32": {"weight": of(8, 1, dtype=torch.uint32), "scales": of(8, 1), "biases": of(8, 1)},      # MLX
    "int8": {"weight": of(8, 8, dtype=torch.int8)},
    "int16": {"indices_of": of(8, 8, dtype=torch.int16), "centroids": of(4, 8)}}


def layer(form):
    return NUMBERS | {f"layers.0.q_proj.{name}": tensor for name, tensor in FORMATS[form].items()}


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_refused_by_name_in_memory_and_on_disk(tmp_path, monkeypatch, form):
    save_file(layer(form), tmp_path / "model.safetensors")
    monkeypatch.setattr(LazyState, "__getitem__", lambda *_: pytest.fail("read numbers"))
    for source in (layer(form), tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(CheckpointError, match=rf"quantised \({form}.*was quantised from.*dequantise"):
            open_state(source)


def test_a_merge_refuses_a_quantised_expert_whatever_the_base_is():
    with pytest.raises(CheckpointError, match="expert a: .*quantised .GPTQ"):
        merge("weight-average", NUMBERS, {"a": layer("GPTQ")})


@pytest.mark.parametrize("name, config, said", [
    ("config.json", {"quantization_config": {"quant_method": "awq"}}, "awq"),
    ("config.json", {"text_config": {"quantization_config": {"quant_method": "mxfp4"}}}, "mxfp4"),
    ("config.json", {"quantization": {"group_size": 64, "bits": 4}}, "4 bit"),
    ("config.json", {"quantization_config": {"load_in_4bit": True}}, "of some kind"),
    ("quantize_config.json", {"bits": 4, "group_size": 128}, "4 bit"), ("quant_config.json", {"w_bit": 4}, "4 bit"),
    ("hf_quant_config.json", {"quantization": {"quant_algo": "NVFP4"}}, "NVFP4")])
def test_a_configuration_is_believed_beside_a_file_as_in_a_folder(tmp_path, name, config, said):
    save_file(NUMBERS, tmp_path / "model.safetensors")
    torch.save(NUMBERS, tmp_path / "x.bin")
    (tmp_path / name).write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / "model.safetensors", tmp_path / "x.bin"):
        with pytest.raises(CheckpointError, match=rf"quantised \({said} by its {name}"):
            open_state(path)


@pytest.mark.parametrize("name, config", [
    ("config.json", {"quantization_config": None}), ("config.json", {"quantization_config": {}}),
    ("config.json", {"quantization_config": {"load_in_4bit": False, "load_in_8bit": False}}),
    ("hf_quant_config.json", {"quantization": {"quant_algo": None, "kv_cache_quant_algo": "FP8"}}), ("config.json", []),
    ("other.json", {"bits": 4})])
def test_a_configuration_without_codes_does_no_harm(tmp_path, name, config):
    save_file(NUMBERS, tmp_path / "model.safetensors")
    (tmp_path / name).write_text(json.dumps(config))
    assert open_state(tmp_path).keys() == NUMBERS.keys()


def test_an_adapter_of_a_quantised_model_is_not_quantised(tmp_path):
    save_file(NUMBERS, tmp_path / "adapter_model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "bitsandbytes"}}))
    assert len(lazy_state(tmp_path / "adapter_model.safetensors")) == 1


@pytest.mark.parametrize("name, tensor", [
    ("position_ids", torch.arange(8)[None]), ("attn.relative_position_index", torch.zeros(9, 9, dtype=torch.int64)),
    ("attn.relative_position_index", torch.zeros(9, 9, dtype=torch.int32)), ("bn.num_batches_tracked", torch.tensor(3)),
    ("attn.mask", torch.ones(4, 4, dtype=torch.bool)), ("attention.bias", torch.ones(1, 1, 4, 4, dtype=torch.uint8)),
    ("attn.logit_scale", torch.ones(3, 1, 1)), ("text.position_ids", torch.zeros(1, 4, dtype=torch.int32)),
    ("quantizer.codebook", torch.ones(4, 4)), ("step", torch.tensor(1, dtype=torch.int32)), ("W_q", torch.ones(4, 4))])
def test_counts_masks_and_scales_of_numbers_are_no_codes(tmp_path, name, tensor):
    state = {**NUMBERS, name: tensor, "logit_scale": torch.ones(()), "attn.scale": torch.ones(1)}
    save_file(state, tmp_path / "x.safetensors")
    assert open_state(state) is state and open_state(tmp_path / "x.safetensors").keys() == state.keys()


@pytest.mark.parametrize("dtype", [FP8, torch.float8_e5m2, torch.uint16, torch.complex64])
def test_kinds_of_numbers_that_cannot_be_merged_are_named_alike_in_memory_and_on_disk(tmp_path, dtype):
    state = {"a.weight": torch.ones(2).to(dtype)}
    save_file(state, tmp_path / "x.safetensors")
    for source in (state, tmp_path / "x.safetensors"):
        with pytest.raises(CheckpointError, match="a.weight is (stored as .*cannot be merged|complex)"):
            open_state(source)


def test_inspect_shows_what_is_there_and_says_that_it_would_be_refused(tmp_path, capsys):
    save_file(layer("GPTQ"), tmp_path / "model.safetensors")
    assert main(["inspect", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "5 tensors" in out and "would be refused: it is quantised (GPTQ" in out
    assert main(["merge", "--base", str(tmp_path), "--expert", str(tmp_path), "--method", "ties", "--dry-run"]) == 2
    assert "quantised (GPTQ" in capsys.readouterr().err
