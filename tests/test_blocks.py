"""Which matrices do the presets merge that name none? Those inside the repeated blocks, whatever a network calls them."""

import pytest
import torch

from mergelib import CheckpointError, merge
from mergelib.checkpoints.blocks import block_matrices

SCHEMES = {      # what it looks like -> names inside the blocks, names outside of them; all matrices
    "llama": (["model.layers.{}.self_attn.q_proj.weight", "model.layers.{}.mlp.up_proj.weight"],
              ["model.embed_tokens.weight", "lm_head.weight"]),
    "gpt-2": (["h.{}.attn.c_attn.weight", "h.{}.mlp.c_fc.weight"], ["wte.weight", "wpe.weight"]),
    "t5": (["encoder.block.{}.layer.0.SelfAttention.q.weight", "encoder.block.{}.layer.1.DenseReluDense.wi.weight"],
           ["shared.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]),
    "open_clip": (["transformer.resblocks.{}.attn.in_proj_weight", "transformer.resblocks.{}.mlp.c_fc.weight"],
                  ["positional_embedding", "proj"]),
    "mixture": (["layers.{}.mlp.experts.0.w1.weight", "layers.{}.mlp.experts.1.w1.weight"], ["gate.weight"]),
    "sentences": (["0.auto_model.encoder.layer.{}.output.dense.weight"], ["0.auto_model.embeddings.word_embeddings.weight"]),
    "classifier": (["blocks.{}.attn.qkv.weight"], ["head.0.weight", "head.3.weight", "blocks.0.pos_embed.weight"])}


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("inside, outside", SCHEMES.values(), ids=SCHEMES)
def test_matrices_inside_blocks_are_found_whatever_they_are_called(inside, outside, blocks):
    wanted = [name.format(i) for i in range(blocks) for name in inside]
    dims = dict.fromkeys([*wanted, *outside], 2) | {f"{name}.norm": 1 for name in wanted}
    assert sorted(block_matrices(dims)) == sorted(wanted)


def network(scheme, blocks=2):
    """A base with the names of a scheme."""
    inside, outside = SCHEMES[scheme]
    draw = torch.Generator().manual_seed(0)
    names = [*(name.format(i) for i in range(blocks) for name in inside), *outside]
    return {name: torch.randn(6, 6, generator=draw) for name in names}


def tuned(base, names, seed):
    """An expert that changed some tensors of a base."""
    draw = torch.Generator().manual_seed(seed)
    return {name: tensor + (name in names) * 0.01 * torch.randn(6, 6, generator=draw) for name, tensor in base.items()}


@pytest.mark.parametrize("preset", ["code", "exact"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_presets_merge_every_matrix_in_the_blocks(scheme, preset):
    base = network(scheme)
    inside = block_matrices(dict.fromkeys(base, 2))
    experts = [tuned(base, inside, seed) for seed in (1, 2)]
    merged = merge("doge-ta", base, experts, preset=preset, **({"steps": 2} if preset == "code" else {}))
    assert [name for name in base if not torch.equal(merged[name], base[name])] == [name for name in base if name in inside]


def test_what_no_expert_touched_has_no_part_in_the_mask():
    base = network("llama")
    touched = [name for name in base if "q_proj" in name]
    experts = [tuned(base, touched, seed) for seed in (1, 2)]
    ours = merge("doge-ta", base, experts, preset="code", steps=2)
    theirs = merge("doge-ta", base, experts, preset="code", steps=2, keys="q_proj")
    assert all(torch.equal(ours[name], theirs[name]) for name in base)


def test_a_network_without_blocks_is_refused_with_the_way_out():
    base = {"first.weight": torch.ones(3, 3), "second.weight": torch.ones(3, 3)}
    with pytest.raises(ValueError, match="This preset merges the matrices inside the repeated blocks.*first.weight.*keys=''"):
        merge("doge-ta", base, [tuned_all(base)], preset="exact")


def tuned_all(base):
    return {name: tensor + 1 for name, tensor in base.items()}


def test_a_merge_that_would_give_the_base_back_is_refused():
    base = network("llama")
    with pytest.raises(CheckpointError, match="would be the base. Changed are lm_head.weight, model.embed_tokens.weight"):
        merge("doge-ta", base, [tuned(base, ["model.embed_tokens.weight", "lm_head.weight"], 1)], preset="exact")
    with pytest.raises(CheckpointError, match="the result would be the base"):
        merge("task-arithmetic", base, [tuned(base, ["lm_head.weight"], 1)], keys="layers")


def test_a_word_comes_when_much_of_what_was_changed_is_left_out():
    base = network("llama")
    experts = [tuned(base, base, seed) for seed in (1, 2)]
    with pytest.warns(UserWarning, match=r"only 67% of the numbers .*; 2 tensors stay the base's, such as .*keys=''"):
        merge("doge-ta", base, experts, preset="exact")
