"""LoRA as PEFT means it: one adapter at weight 1 gives what PEFT's merge_and_unload gives, for every kind that it can merge."""

import pickle
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mergelib import CheckpointError, merge
from mergelib.checkpoints.states import open_state, write_state

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")


class Layers(nn.Module):
    """Every kind of layer that LoRA knows."""

    def __init__(self):
        super().__init__()
        self.words, self.linear = nn.Embedding(10, 8), nn.Linear(8, 6)
        self.deep = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        self.wide, self.narrow, self.line, self.solid = (nn.Conv2d(4, 8, (3, 2)), nn.Conv2d(4, 8, 1), nn.Conv1d(4, 8, 3),
                                                         nn.Conv3d(4, 8, 2))
        self.attention, self.norm, self.head = nn.MultiheadAttention(8, 2), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.norm(x))


def gpt2(**more):
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**{
        "vocab_size": 40, "n_positions": 8, "n_embd": 16, "n_layer": 2, "n_head": 2, "tie_word_embeddings": False, **more}))


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2))


def bert():
    return transformers.BertForSequenceClassification(transformers.BertConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2))


def trained(make, folder, config, **saving):
    """(the base, the adapter's folder, what PEFT merges): all that is trained is made random."""
    torch.manual_seed(0)
    network = make()
    base = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    adapted = peft.get_peft_model(network, peft.LoraConfig(**{"r": 3, "lora_alpha": 5, "init_lora_weights": False, **config}))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    adapted.save_pretrained(folder, **saving)
    return base, folder, {name: tensor.clone() for name, tensor in adapted.merge_and_unload().state_dict().items()}


ALL = ["words", "linear", "deep.0", "deep.1", "wide", "narrow", "line", "solid"]
PATTERNS = {"rank_pattern": {"deep.1": 1, r"deep\.\d": 4, "linear": 2}, "alpha_pattern": {"^deep.1": 9, "eep.0": 1, "words": 7}}


@pytest.mark.parametrize("make, config", [
    (Layers, {"target_modules": ALL}), (Layers, {"target_modules": [*ALL, "attention"]}),
    (Layers, {"target_modules": ALL, **PATTERNS}), (Layers, {"target_modules": ALL, "use_rslora": True, **PATTERNS}),
    (Layers, {"target_modules": ALL, "use_dora": True}), (Layers, {"target_modules": ALL[1:], "lora_bias": True, **PATTERNS}),
    (Layers, {"target_modules": [*ALL, "attention"], "bias": "all", "modules_to_save": ["norm", "head"]}),
    (Layers, {"target_modules": ALL, "bias": "lora_only"}), (Layers, {"target_modules": ALL[:2], "init_lora_weights": "mica"}),
    *((gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc", "lm_head"], "fan_in_fan_out": lies, **more})
      for lies in (False, True) for more in ({}, {"use_dora": True}, {"bias": "all"})),
    (lambda: gpt2(n_inner=16), {"target_modules": ["mlp.c_fc", "mlp.c_proj"]}),       # square, and so is all in its container
    (lambda: gpt2(vocab_size=16), {"target_modules": ["lm_head", "c_attn", "wte"], "fan_in_fan_out": True}),
    (llama, {"target_modules": ["q_proj", "down_proj", "embed_tokens", "lm_head"], "use_rslora": True}),
    (llama, {"target_modules": "all-linear", "modules_to_save": ["embed_tokens", "lm_head"], "task_type": "CAUSAL_LM"}),
    (bert, {"target_modules": "all-linear", "bias": "all", "task_type": "SEQ_CLS",
            "rank_pattern": {"0.attention.self.query": 1}}),
    (bert, {"target_modules": ["query", "word_embeddings"], "use_dora": True, "task_type": "SEQ_CLS"})])
def test_one_adapter_is_what_peft_merges(tmp_path, make, config):
    base, folder, wanted = trained(make, tmp_path, config)
    merged, expert = merge("weight-average", base, [folder]), open_state(folder, base)
    changed = {name for name in base if not torch.equal(base[name], wanted[name])}
    assert set(merged) == set(wanted) and changed <= set(expert.touched)
    for name in wanted:         # the numbers are near 1, so base + (expert - base) rounds to 1e-7 or two
        torch.testing.assert_close(merged[name], wanted[name], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(expert[name], wanted[name], rtol=1e-6, atol=1e-6)
        lone = pickle.loads(pickle.dumps(expert.only(name)))
        assert torch.equal(lone.delta(name), expert.delta(name)) and len(lone) <= (name in expert.touched)


def test_whole_tensors_and_dora_stream_to_the_same_bits(tmp_path):
    base, folder, _ = trained(llama, tmp_path / "a", {"target_modules": ["q_proj", "lm_head"], "use_dora": True,
                                                      "modules_to_save": ["embed_tokens"]})
    write_state(tmp_path / "base" / "model.safetensors", base)
    streamed = open_state(merge("ties", tmp_path / "base", [folder], out=tmp_path / "out"))
    merged = merge("ties", base, [folder])
    assert all(torch.equal(streamed[name], merged[name]) for name in merged)


def vit():
    return transformers.ViTForImageClassification(transformers.ViTConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4))


def qwen2_vl():
    text = dict(vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                num_key_value_heads=2, rope_scaling={"type": "mrope", "mrope_section": [1, 1, 2]})
    return transformers.Qwen2VLForConditionalGeneration(transformers.Qwen2VLConfig(
        text_config=text, vision_config=dict(depth=1, embed_dim=16, hidden_size=16, num_heads=2, mlp_ratio=2)))


@pytest.mark.parametrize("make, config", [
    (vit, {"target_modules": "all-linear", "modules_to_save": ["classifier"], "bias": "all"}),
    (vit, {"target_modules": ["q_proj", "fc1"], "rank_pattern": {r"layers\.1\.attention\.q_proj": 2}, "lora_bias": True}),
    (qwen2_vl, {"target_modules": ["q_proj", "gate_proj", "qkv"]})])
def test_adapters_with_the_names_of_the_modules_fit_the_names_on_disk(tmp_path, make, config):
    torch.manual_seed(0)
    make().save_pretrained(tmp_path / "base")
    network = type(make()).from_pretrained
    base, folder, wanted = trained(lambda: network(tmp_path / "base"), tmp_path / "a", config)
    merged = merge("weight-average", tmp_path / "base", [folder])
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "config.json").write_text((tmp_path / "base" / "config.json").read_text())
    save_file(merged, tmp_path / "merged" / "model.safetensors", metadata={"format": "pt"})
    loaded = network(tmp_path / "merged").state_dict()
    assert any(not torch.equal(loaded[name], base[name]) for name in loaded)
    for name in wanted:
        torch.testing.assert_close(loaded[name], wanted[name], rtol=1e-6, atol=1e-6)
    if make is vit:             # of a base in memory nobody knows the names on disk
        with pytest.raises(CheckpointError, match="has no tensor vit.layers.0.*with config.json, and have transformers"):
            merge("weight-average", load_file(tmp_path / "base" / "model.safetensors"), [folder])


def rewritten(folder, change):
    """Change the tensors of an adapter's file in place."""
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def test_another_vocabulary_is_named(tmp_path):
    base, folder, _ = trained(llama, tmp_path, {"target_modules": ["embed_tokens", "lm_head"]})
    assert any(key.endswith("lm_head.base_layer.weight") for key in load_file(folder / "adapter_model.safetensors"))
    shorter = {name: tensor[:39] if tensor.shape == (40, 16) else tensor for name, tensor in base.items()}
    with pytest.raises(CheckpointError, match=r"(?s)lm_head.base_layer.weight has shape \(40, 16\), the base has \(39, 16\): "
                                              r"the vocabularies differ.*resize_token_embeddings\(40\)"):
        open_state(folder, shorter)
    tied = {name: tensor for name, tensor in base.items() if name != "lm_head.weight"}
    with pytest.raises(CheckpointError, match="no tensor lm_head.weight: if it is tied"):
        open_state(folder, tied)


@pytest.mark.parametrize("target", ["wte", "lm_head"])
def test_a_matrix_that_a_model_ties_is_changed_under_both_names(tmp_path, target):
    _, folder, wanted = trained(lambda: gpt2(tie_word_embeddings=True), tmp_path / target, {"target_modules": [target]},
                                save_embedding_layers=False)
    torch.manual_seed(0)
    base = gpt2(tie_word_embeddings=True).state_dict()
    merged = merge("weight-average", base, [folder])
    for name in wanted:
        torch.testing.assert_close(merged[name], wanted[name], rtol=1e-6, atol=1e-6)
    _, folder, _ = trained(lambda: gpt2(tie_word_embeddings=True), tmp_path / "both", {"target_modules": ["wte", "lm_head"]})
    with pytest.raises(CheckpointError, match="are one tensor of the base, and the adapter changes both"):
        open_state(folder, base)


K = "base_model.model."


@pytest.mark.parametrize("config, change, named", [
    ({}, lambda t: t.pop(f"{K}linear.lora_B.weight"), "no pairs .*linear.lora_A.weight"),
    ({}, lambda t: t.update({"linear.weight": torch.ones(6, 8)}), "nothing is known of them: linear.weight"),
    ({}, lambda t: t.update({f"{K}linear.lora_E": torch.ones(3)}), "linear.lora_E"),
    ({}, lambda t: t.update({f"{K}linear.weight": torch.ones(6, 8)}), "model.linear.weight"),
    ({}, lambda t: t.update({f"{K}other.weight": torch.ones(6, 8)}), "no tensor other.weight"),
    ({}, lambda t: t.update({f"{K}linear.lora_B.bias": torch.ones(6)}), "beside bias, but .* ask for nothing"),
    ({}, lambda t: t.update({f"{K}linear.lora_B.weight": torch.ones(6)}), "which are no A and B"),
    ({"use_dora": True}, lambda t: t.pop(f"{K}linear.lora_magnitude_vector"), "ask for magnitude"),
    ({"use_dora": True}, lambda t: t.update({f"{K}linear.lora_magnitude_vector": torch.ones(5)}), r"has shape \(5,\), not one"),
    ({"modules_to_save": ["head"]}, lambda t: [t.pop(f"{K}head.{part}") for part in ("weight", "bias")], "head is saved whole"),
    ({"modules_to_save": ["head"]}, lambda t: t.update({f"{K}head.weight": torch.ones(4, 8)}),
     r"has shape \(4, 8\).*this size")])
def test_files_that_are_odd_are_refused_by_name(tmp_path, config, change, named):
    base, folder, _ = trained(Layers, tmp_path, {"target_modules": ["linear"], **config})
    rewritten(folder, change)
    with pytest.raises(CheckpointError, match=f"(?s){re.escape(str(tmp_path))}.*{named}"):
        open_state(folder, base)


def test_what_peft_cannot_merge_either_is_refused(tmp_path):
    grouped = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2))
    base = grouped.state_dict()
    peft.get_peft_model(grouped, peft.LoraConfig(r=2, target_modules=["0"])).save_pretrained(tmp_path / "grouped")
    with pytest.raises(CheckpointError, match="a convolution in groups"):
        open_state(tmp_path / "grouped", {name.replace(".base_layer", ""): tensor for name, tensor in base.items()})
    base, folder, _ = trained(Layers, tmp_path / "a", {"target_modules": ["linear"]})
    with pytest.raises(CheckpointError, match="linear.weight holds integers in the base"):
        open_state(folder, {**base, "linear.weight": base["linear.weight"].to(torch.int8)})
