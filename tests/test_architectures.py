"""Is the merged folder a model again? Eight architectures, tiny and random, by every method that needs weights alone."""

from inspect import signature

import pytest
import torch

from mergelib import METHODS, merge

transformers = pytest.importorskip("transformers", reason="the extra `paper` is not installed")

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = {"vocab_size": 40, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
PICTURES = {**SMALL, "image_size": 8, "patch_size": 4}
SIDES = {f"{side}_{name}": count for side in ("encoder", "decoder")
         for name, count in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 24))}
MODELS = {       # name of the class -> that of its configuration, and how small it is
    "GPT2LMHeadModel": ("GPT2Config", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, **WORDS}),
    "LlamaForCausalLM": ("LlamaConfig", {**SMALL, **WORDS}),
    "Qwen2ForCausalLM": ("Qwen2Config", {**SMALL, **WORDS, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "BertForSequenceClassification": ("BertConfig", {**SMALL, **WORDS}),
    "T5ForConditionalGeneration": ("T5Config", {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2,
                                                **WORDS}),
    "BartForConditionalGeneration": ("BartConfig", {"d_model": 16, **SIDES, **WORDS}),
    "ViTForImageClassification": ("ViTConfig", PICTURES),
    "CLIPModel": ("CLIPConfig", {"text_config": {**SMALL, **WORDS, "projection_dim": 16}, "projection_dim": 16,
                                 "vision_config": {**PICTURES, "projection_dim": 16}})}
FEW = {"steps": 3}       # of whatever a method solves
ONE_MODEL = [name for name, spec in METHODS.items() if not spec.data and not spec.per_task and not spec.finish]


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    """(class, folder of the base, folders of two experts) as transformers saves them."""
    folder, kind = tmp_path_factory.mktemp(request.param), getattr(transformers, request.param)
    config, small = MODELS[request.param]
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = kind(getattr(transformers, config)(**small))
    for name in ("base", "one", "two"):
        model.save_pretrained(folder / name)
        with torch.no_grad():
            for tensor in model.parameters():
                tensor.add_(0.01 * torch.randn(tensor.shape))
    return kind, folder / "base", [folder / "one", folder / "two"]


def outputs(model):
    """What a model says to a few words, a picture, or both."""
    words, picture = torch.tensor([[1, 5, 9, 2]]), torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    asked = {"input_ids": words, "pixel_values": picture, "decoder_input_ids": words}
    taken = signature(model.forward).parameters
    with torch.inference_mode():
        return model.eval()(**{name: value for name, value in asked.items() if name in taken})[0]


@pytest.mark.parametrize("method", ONE_MODEL)
def test_the_merged_folder_loads_and_runs(saved, method, tmp_path):
    kind, base, experts = saved
    few = {name: steps for name, steps in FEW.items() if name in METHODS[method].declared}
    out = merge(method, base, experts, out=tmp_path / "out", **few)
    model, info = kind.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert outputs(model).isfinite().all()
    before = kind.from_pretrained(base)
    moved = [not torch.equal(ours, theirs) for ours, theirs in zip(model.state_dict().values(), before.state_dict().values())]
    assert sum(moved) > 0.4 * len(moved)
