"""In what may checkpoints of one model differ? What is left out is said, and what would go wrong silently is refused."""

import json

import pytest
import torch
from torch import nn

from mergelib import METHODS, CheckpointError, merge
from mergelib.checkpoints.states import write_state

INSIDE = "bert.encoder.layer.0.output.dense.weight"
ONE_MODEL = [name for name, spec in METHODS.items() if not spec.data and not spec.per_task and not spec.finish]
FEW = {"steps": 2}


def encoder(more=0.0, labels=0, **others):
    """An encoder, perhaps with a classifier of some labels."""
    head = {"classifier.weight": torch.ones(labels, 4), "classifier.bias": torch.ones(labels)} if labels else {}
    return {INSIDE: torch.eye(4) + more, **head, **others}


def few(method):
    return {name: value for name, value in FEW.items() if name in METHODS[method].declared}


# --- what does not matter

BUFFERS = {"bert.embeddings.position_ids": torch.arange(6)[None], "h.0.attn.masked_bias": torch.tensor(-1e4),
           "layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4), "h.0.attn.bias": torch.ones(1, 1, 4, 4),
           "attn_mask": torch.full((4, 4), -torch.inf).triu(1), "bn.num_batches_tracked": torch.tensor(7)}


@pytest.mark.parametrize("name", BUFFERS)
@pytest.mark.parametrize("where", ["base", "expert", "both"])
def test_constants_that_some_versions_store_do_not_matter(name, where):
    base, expert = encoder(), encoder(1.0)
    base |= {name: BUFFERS[name]} if where != "expert" else {}
    expert |= {name: BUFFERS[name]} if where != "base" else {}
    merged = merge("weight-average", base, [expert])
    assert merged.keys() == base.keys() and torch.equal(merged[INSIDE], expert[INSIDE])
    assert all(torch.equal(merged[key], base[key]) for key in base if key != INSIDE)


@pytest.mark.parametrize("labels", [0, 2])
def test_heads_of_other_sizes_are_left_out_where_keys_say_so_and_that_is_told(labels):
    with pytest.warns(UserWarning, match="expert-1: classifier.weight (is left out|stays the base's)"):
        merged = merge("weight-average", encoder(labels=labels), [encoder(1.0, 3), encoder(2.0, 5)], keys="^bert")
    assert merged.keys() == encoder(labels=labels).keys() and torch.equal(merged[INSIDE], torch.eye(4) + 1.5)


def test_of_many_that_are_left_out_the_first_are_named():
    base = encoder(**{f"layers.{i}.rotary_emb.inv_freq": torch.ones(2) for i in range(40)})
    with pytest.warns(UserWarning, match="layers.4.rotary_emb.inv_freq stays .*\n.*: and so with 35 more tensors") as said:
        merge("weight-average", base, [encoder(1.0)])
    assert "layers.5" not in str(said[0].message)


def test_heads_of_other_sizes_are_refused_where_nothing_is_said():
    with pytest.raises(CheckpointError, match=r"expert-1: classifier.weight has shape \(3, 4\), the base has \(2, 4\)"):
        merge("weight-average", encoder(labels=2), [encoder(1.0, 3)])
    with pytest.raises(CheckpointError, match="expert-1: has a tensor that the base lacks: classifier.weight"):
        merge("weight-average", encoder(), [encoder(1.0, 3)])


def test_a_deeper_expert_is_refused_by_the_presets_too():
    name = "layers.{}.mlp.weight"
    base = {name.format(i): torch.eye(3) for i in range(2)}
    expert = {name.format(i): torch.eye(3) + 1 for i in range(3)}
    with pytest.raises(CheckpointError, match="has a tensor that the base lacks: layers.2.mlp.weight"):
        merge("doge-ta", base, [expert], preset="exact")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.language_model."])
@pytest.mark.parametrize("longer", ["base", "expert"])
def test_a_beginning_that_all_names_share_is_recognised_and_told(prefix, longer):
    def renamed(state, who):
        return {prefix + name: tensor for name, tensor in state.items()} if who == longer else state

    base, expert = renamed(encoder(), "base"), renamed(encoder(1.0), "expert")
    with pytest.warns(UserWarning, match=f"expert-1: its names (begin with|lack) {prefix}"):
        merged = merge("weight-average", base, [expert])
    assert [*merged] == [*base] and torch.equal([*merged.values()][0], expert[[*expert][0]])


def test_a_head_beside_a_beginning_keeps_its_name():
    bare = {name.removeprefix("bert."): tensor for name, tensor in encoder().items()}
    with pytest.warns(UserWarning, match="begin with bert.*\n.*classifier.weight is left out"):
        merged = merge("weight-average", bare, [encoder(1.0, 3)], keys="encoder")
    assert merged.keys() == bare.keys()


def test_names_that_share_nothing_are_refused():
    with pytest.raises(CheckpointError, match="has no tensor a.weight"):
        merge("weight-average", {"a.weight": torch.ones(2)}, [{"b.weight": torch.ones(2)}])


# --- statistics, limits, memory

@pytest.mark.parametrize("method", ONE_MODEL)
def test_running_statistics_are_averaged_and_a_word_asks_for_recalibration(method):
    block = nn.ModuleDict({"linear": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4)})
    base = nn.ModuleDict({"layers": nn.ModuleList([block])}).state_dict()
    experts = [{name: tensor + (i / 8 if tensor.is_floating_point() else i) for name, tensor in base.items()}
               for i in (1, 2, 3)]
    for expert in experts:
        expert["layers.0.norm.running_var"] = torch.full((4,), 1 / 8)         # their summed changes would be below zero
    with pytest.warns(UserWarning, match="2 running statistics of normalisation layers are averaged. Recalibrate"):
        merged = merge(method, base, experts, **{"keys": ""} | few(method))
    assert merged["layers.0.norm.running_var"].tolist() == [1 / 8] * 4
    assert merged["layers.0.norm.running_mean"].tolist() == [1 / 4] * 4
    assert merged["layers.0.norm.num_batches_tracked"] == 0


@pytest.mark.parametrize("dtype, size", [(torch.float16, 7e4), (torch.float32, 2e38)])
def test_a_result_that_does_not_fit_is_an_error_that_says_what_would(dtype, size):
    base, experts = {"w": torch.zeros(3)}, [{"w": torch.full((3,), size)}, {"w": torch.full((3,), size)}]
    with pytest.raises(CheckpointError, match="w: 3 of the merged values (do not fit torch.float16|are NaN or inf)"):
        merge("task-arithmetic", base, experts, lam=1.0, out_dtype=dtype)


def test_numbers_beyond_fp32_are_an_error():
    state = {"w": torch.tensor([1e300, 1.0], dtype=torch.float64)}
    with pytest.raises(CheckpointError, match="w: 1 of the merged values are NaN or infinite"):
        merge("weight-average", state, [{"w": 2 * state["w"]}])


@pytest.mark.parametrize("method", ONE_MODEL)
def test_what_comes_back_shares_no_memory_with_what_was_given(method):
    base, experts = encoder(bias=torch.ones(4), n=torch.tensor(1)), [encoder(1.0, bias=torch.ones(4), n=torch.tensor(2))]
    before = {name: tensor.clone() for name, tensor in base.items()}
    merged = merge(method, base, experts, **{"keys": "bert"} | few(method))
    for tensor in merged.values():
        tensor.mul_(3)
    assert all(torch.equal(base[name], before[name]) for name in base)


# --- what lies beside the weights

LLAMA = {"model_type": "llama", "rope_theta": 1e4}
SCALED = {"rope_type": "llama3", "factor": 8.0}
NEW = {"rope_theta": 1e4}
SAME = {
    "old and new names of a scaling": ({"rope_scaling": {"type": "linear", "factor": 2.0}},
                                       {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    "a scaling where transformers 5 keeps it": ({"rope_scaling": SCALED}, {"rope_parameters": NEW | SCALED}),
    "no scaling": ({"rope_scaling": None}, {"rope_parameters": NEW | {"rope_type": "default"}}),
    "mrope, saved again": ({"rope_scaling": {"type": "mrope", "mrope_section": [1]}},
                           {"rope_scaling": {"rope_type": "default", "mrope_section": [1]}}),
    "a window that is not used": ({"sliding_window": 8, "use_sliding_window": False},
                                  {"sliding_window": None, "use_sliding_window": False}),
    "what is derived": ({"head_dim": None}, {"head_dim": 4})}
OTHER = {
    "another factor": ({"rope_scaling": SCALED}, {"rope_parameters": NEW | SCALED | {"factor": 4.0}}, "factor 4.0"),
    "a factor": ({}, {"rope_scaling": {"type": "linear", "factor": 4.0}}, "'linear', the base's None"),
    "a window": ({"sliding_window": 8}, {"sliding_window": None}, "sliding_window None"),
    "kinds of layers": ({"layer_types": ["full"]}, {"layer_types": ["sliding"]}, "layer_types"),
    "a scale of attention": ({"query_pre_attn_scalar": 256}, {"query_pre_attn_scalar": 224}, "224, the base's 256")}


def folders(tmp_path, name="config.json", base=None, expert=None, **others):
    """A base and an expert on disk with a file beside each, and perhaps other tensors in both."""
    for folder, more, beside in (("base", 0.0, base), ("expert", 1.0, expert)):
        write_state(tmp_path / folder / "model.safetensors", encoder(more, **others))
        (tmp_path / folder / name).write_text(json.dumps(beside))
    return tmp_path / "base", [tmp_path / "expert"]


@pytest.mark.parametrize("what", SAME)
def test_configurations_that_say_the_same_in_other_words_fit(tmp_path, what):
    base, expert = (LLAMA | more for more in SAME[what])
    assert merge("weight-average", *folders(tmp_path, base=base, expert=expert))


@pytest.mark.parametrize("what", OTHER)
def test_configurations_that_say_something_else_are_refused(tmp_path, what):
    *pair, words = OTHER[what]
    base, expert = (LLAMA | more for more in pair)
    with pytest.raises(CheckpointError, match=words):
        merge("weight-average", *folders(tmp_path, base=base, expert=expert))


@pytest.mark.parametrize("name, form", [
    ("added_tokens.json", lambda number: {"<tool>": number}),
    ("tokenizer.json", lambda number: {"model": {}, "added_tokens": [{"id": number, "content": "<tool>"}]})])
def test_words_that_were_added_under_other_numbers_are_refused(tmp_path, name, form):
    with pytest.raises(CheckpointError, match="'<tool>': 8, the base's 7"):
        merge("weight-average", *folders(tmp_path, name, form(7), form(8)))


def test_numbers_that_are_not_finite_may_stay_the_bases_on_disk_too(tmp_path):
    mask = torch.full((4, 4), -torch.inf).triu(1)
    merged = merge("weight-average", *folders(tmp_path, mask=mask), keys="dense")
    assert torch.equal(merged["mask"], mask)


def test_experts_whose_names_are_one_text_are_refused():
    with pytest.raises(CheckpointError, match="Two experts have the same name"):
        merge("weight-average", encoder(), {1: encoder(1.0), "1": encoder(2.0)})


@pytest.mark.parametrize("number", [10 ** 30, -10 ** 30])
def test_whole_numbers_that_torch_cannot_hold_are_refused(number):
    with pytest.raises(ValueError, match="lam is -?10"):
        merge("task-arithmetic", encoder(), [encoder(1.0)], lam=number)
