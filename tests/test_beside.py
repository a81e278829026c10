"""Is the merged folder a model again wherever its base was one? What lies beside weights, and what the files say."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergelib import CheckpointError, merge

STATE = {"layers.0.mlp.weight": torch.eye(4), "layers.1.mlp.weight": torch.eye(4), "norm.weight": torch.ones(4)}


def folder(path, more=0.0, dtype=torch.float32, weights="model.safetensors", **files):
    """A folder with weights and some files; a dict is written as JSON."""
    path.mkdir(parents=True)
    save_file({name: (tensor + more).to(dtype) for name, tensor in STATE.items()}, path / weights, metadata={"format": "pt"})
    for name, content in files.items():
        (path / name).parent.mkdir(exist_ok=True, parents=True)
        (path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def names(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


KEPT = ["config.json", "modeling_own.py", "tokenizer.json", "video_preprocessor_config.json", "bpe.codes", "LICENSE",
        "extra_templates/tool.jinja", "1_Pooling/config.json"]
LEFT = ["README.md", ".gitattributes", "training_args.bin", "optimizer.pt", "trainer_state.json", "events.out.tfevents.1",
        "checkpoint-100/config.json", "onnx/config.json", "pytorch_model.bin", "flax_model.msgpack"]


def test_all_but_weights_and_leftovers_goes_along(tmp_path):
    base = folder(tmp_path / "base", **dict.fromkeys(KEPT + LEFT, "{}"))
    out = merge("weight-average", base, [folder(tmp_path / "a", 1.0)], out=tmp_path / "out")
    assert names(out) == sorted([*KEPT, "merge.json", "model.safetensors"])


def test_modules_that_are_loaded_with_the_model_come_with_their_weights(tmp_path):
    modules = [{"idx": 0, "path": ""}, {"idx": 1, "path": "2_Dense"}]
    base = folder(tmp_path / "base", **{"modules.json": modules, "2_Dense/pytorch_model.bin": "x", "other/model.bin": "x",
                                      "other/config.json": "x"})
    with pytest.warns(UserWarning, match="these weights are the base's, and no merge: 2_Dense/pytorch_model.bin"):
        out = merge("weight-average", base, [folder(tmp_path / "a", 1.0)], out=tmp_path / "out")
    assert names(out) == ["2_Dense/pytorch_model.bin", "merge.json", "model.safetensors", "modules.json"]


def test_of_a_file_s_neighbours_what_surely_belongs_to_it_goes_along_and_the_rest_is_named(tmp_path):
    base = folder(tmp_path / "base", **dict.fromkeys(["config.json", "tokenizer.json", "holiday.txt"], "{}"))
    with pytest.warns(UserWarning, match="given as a file; .* not copied: holiday.txt. Give the folder"):
        out = merge("weight-average", base / "model.safetensors", [folder(tmp_path / "a", 1.0)], out=tmp_path / "out")
    assert names(out) == ["config.json", "merge.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("weights, shard_size, written", [
    ("open_clip_model.safetensors", 1e9, ["open_clip_model.safetensors"]),
    ("diffusion_pytorch_model.safetensors", 64, [f"diffusion_pytorch_model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
     + ["diffusion_pytorch_model.safetensors.index.json"])])
def test_files_are_called_as_the_base_s(tmp_path, weights, shard_size, written):
    base = folder(tmp_path / "base", weights=weights)
    out = merge("weight-average", base, [folder(tmp_path / "a", 1.0)], out=tmp_path / "out", shard_size=shard_size)
    assert names(out) == sorted([*written, "merge.json"])


@pytest.mark.parametrize("says", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_configuration_names_the_dtype_that_is_written(tmp_path, says, dtype):
    config = {"model_type": "own", says: "bfloat16", "text_config": {says: "bfloat16", "size": 4}, "size": 7}
    base = folder(tmp_path / "base", dtype=torch.bfloat16, **{"config.json": config})
    out = merge("weight-average", base, [folder(tmp_path / "a", 1.0)], out=tmp_path / "out", out_dtype=dtype)
    found, name = json.loads((out / "config.json").read_text()), str(dtype).removeprefix("torch.")
    assert found == {**config, says: name, "text_config": {says: name, "size": 4}}
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {dtype}


def test_checkpoints_of_one_model_in_several_dtypes_merge_in_fp32(tmp_path):
    base = folder(tmp_path / "base", dtype=torch.float16)
    experts = [folder(tmp_path / "a", 0.25, torch.bfloat16), folder(tmp_path / "b", 1 + 2 ** -20, torch.float32)]
    merged = merge("weight-average", base, experts, out_dtype=torch.float32)
    assert merged["norm.weight"].tolist() == [(1.25 + 2 + 2 ** -20) / 2] * 4


# --- files that contradict each other

CONFIG = {"model_type": "llama", "num_attention_heads": 4, "rope_theta": 1e4, "hidden_act": "silu", "_name_or_path": "base",
          "text_config": {"num_key_value_heads": 2}, "attention_dropout": 0.0}
VOCABULARY = {"model": {"vocab": {"the": 0, "cat": 1, "sat": 2}}}


@pytest.mark.parametrize("change, said", [
    ({"num_attention_heads": 8}, "num_attention_heads 8, the base's 4"),
    ({"rope_theta": 1e6}, "rope_theta 1000000.0, the base's 10000.0"),
    ({"model_type": "mistral"}, "model_type 'mistral', the base's 'llama'"), ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
    ({"text_config": {"num_key_value_heads": 1}}, "text_config.num_key_value_heads 1, the base's 2"),
    ({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}, "rope_theta 500000.0")])
def test_configurations_that_contradict_each_other_are_refused_by_name(tmp_path, change, said):
    base = folder(tmp_path / "base", **{"config.json": CONFIG})
    expert = folder(tmp_path / "a", 1.0, **{"config.json": {**CONFIG, **change}})
    with pytest.raises(CheckpointError, match=f"not the same model:\n  expert expert-1: config.json says {said}"):
        merge("weight-average", base, [expert])


@pytest.mark.parametrize("change", [{"_name_or_path": "mine", "id2label": {"0": "cat"}}, {"attention_dropout": 0.1},
                                    {"transformers_version": "5.0"}, {"use_cache": False}])
def test_what_may_differ_between_fine_tunings_does_not_matter(tmp_path, change):
    base = folder(tmp_path / "base", **{"config.json": CONFIG})
    merge("weight-average", base, [folder(tmp_path / "a", 1.0, **{"config.json": {**CONFIG, **change}})])


@pytest.mark.parametrize("words", [{"model": {"vocab": {"the": 0, "cat": 2, "sat": 1}}},
                                   {"model": {"vocab": [["the", 0.0], ["sat", -1.0], ["cat", -2.0]]}}, "the\nsat\ncat\n"])
def test_vocabularies_that_number_words_otherwise_are_refused(tmp_path, words):
    base = folder(tmp_path / "base", **{"tokenizer.json": VOCABULARY})
    expert = folder(tmp_path / "a", 1.0, **{"vocab.txt" if isinstance(words, str) else "tokenizer.json": words})
    with pytest.raises(CheckpointError, match="give 2 words other numbers, such as 'cat': 2, the base's 1"):
        merge("weight-average", base, [expert])


def test_words_that_were_added_do_not_matter(tmp_path):
    base = folder(tmp_path / "base", **{"tokenizer.json": VOCABULARY})
    more = {"model": {"vocab": {**VOCABULARY["model"]["vocab"], "mat": 3}}}
    merge("weight-average", base, [folder(tmp_path / "a", 1.0, **{"tokenizer.json": more})])


def test_links_to_nothing_are_told(tmp_path):
    folder(tmp_path / "base"), folder(tmp_path / "expert", 1.0)
    (tmp_path / "base/tokenizer.json").symlink_to(tmp_path / "blobs/gone")
    with pytest.warns(UserWarning, match="links to nothing, and not copied: tokenizer.json"):
        merge("weight-average", tmp_path / "base", [tmp_path / "expert"], out=tmp_path / "out")
