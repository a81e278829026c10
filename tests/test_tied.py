"""Do tied tensors stay tied? One storage or two, the same merge, and heads that not every checkpoint stores."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mergelib import CheckpointError, merge
from mergelib.checkpoints.states import read_state
from mergelib.merging.preview import report

EMBED, HEAD, INSIDE = "model.embed_tokens.weight", "lm_head.weight", "model.layers.0.mlp.weight"
METHODS = ("weight-average", "ties", "dare", "dare-ties", "pcb", "consensus-ties", "doge-ta")


def checkpoint(seed, size=0.01):
    """A model that stores its tied matrix once; the base is that of seed 0."""
    base, draw = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    state = {EMBED: torch.randn(30, 8, generator=base), INSIDE: torch.randn(8, 8, generator=base)}
    return {name: tensor + size * (seed > 0) * torch.randn(tensor.shape, generator=draw) for name, tensor in state.items()}


def twice(state):
    """The same model, its tied matrix stored twice."""
    return {**state, HEAD: state[EMBED]}


ONCE = checkpoint(0), [checkpoint(1), checkpoint(2, size=0.05)]
FEW = {"doge-ta": {"steps": 2}}


@pytest.mark.parametrize("method", METHODS)
def test_stored_twice_the_merge_is_that_of_one_and_stays_tied(method, tmp_path):
    base, experts = ONCE
    one = merge(method, base, experts, **FEW.get(method, {}))
    two = merge(method, twice(base), [twice(expert) for expert in experts], **FEW.get(method, {}))
    assert list(two) == list(twice(base)) and all(torch.equal(one[name], two[name]) for name in one)
    assert two[HEAD].data_ptr() == two[EMBED].data_ptr()
    for name, state in (("base", base), ("a", experts[0]), ("b", experts[1])):
        (tmp_path / name).mkdir()
        save_file({key: tensor.clone() for key, tensor in twice(state).items()}, tmp_path / name / "model.safetensors")
    out = merge(method, tmp_path / "base", [tmp_path / "a", tmp_path / "b"], out=tmp_path / "out", shard_size=1000,
                **FEW.get(method, {}))
    back = read_state(out)
    assert torch.equal(back[HEAD], back[EMBED]) and torch.equal(back[EMBED], one[EMBED])


@pytest.mark.parametrize("stored", [(False, True), (True, False)])
def test_a_copy_that_only_some_store_is_understood(stored):
    base, experts = ONCE
    one = merge("ties", base, experts)
    mixed = [twice(expert) if both else expert for expert, both in zip(experts, stored)]
    for start in (base, twice(base)):
        merged = merge("ties", start, mixed)
        assert merged.keys() == start.keys() and all(torch.equal(merged[name], one.get(name, one[EMBED])) for name in merged)


def test_keys_cannot_untie():
    base, experts = ONCE
    with pytest.raises(CheckpointError, match="lm_head.weight and .*embed_tokens.weight are tied, and keys='lm_head' matches"):
        merge("weight-average", twice(base), [twice(expert) for expert in experts], keys="lm_head")


def test_a_head_that_was_trained_by_itself_is_not_tied():
    base, (first, second) = ONCE
    apart = {**first, HEAD: first[EMBED] + 1}
    merged = merge("weight-average", twice(base), [apart, twice(second)])
    assert (merged[HEAD] - merged[EMBED] - 0.5).abs().max() < 1e-5       # fp32
    with pytest.raises(CheckpointError, match="expert-1: has a tensor that the base lacks: lm_head.weight"):
        merge("weight-average", base, [apart, second])


# --- a configuration that ties what an expert has untied

def untied(state):
    return {**state, HEAD: state[EMBED] + 1.0}


@pytest.mark.parametrize("config, keys, refused", [
    ({}, "", True), ({"tie_word_embeddings": True}, "", True), ({"tie_word_embeddings": False}, "", False),
    ({"tie_word_embeddings": True}, "layers", False)])
def test_two_tensors_of_which_a_reader_would_drop_one_are_not_written(tmp_path, config, keys, refused):
    for folder, state in (("base", twice(checkpoint(0))), ("expert", untied(checkpoint(1)))):
        (tmp_path / folder).mkdir()
        save_file({name: tensor.clone() for name, tensor in state.items()}, tmp_path / folder / "model.safetensors")
    (tmp_path / "base/config.json").write_text(json.dumps({"model_type": "llama", **config}))
    asked = {"base": tmp_path / "base", "experts": [tmp_path / "expert"], "out": tmp_path / "out", "keys": keys}
    if not refused:
        assert merge("weight-average", **asked)
        return
    for function in (merge, report):
        with pytest.raises(CheckpointError, match=f"expert-1: {HEAD} and {EMBED} differ"):
            function("weight-average", **asked)
    assert not (tmp_path / "out").exists()
