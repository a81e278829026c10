"""The merge as readers call it: messages, limits in which the answer is known, dtypes, files, tensors left alone."""

import pytest
import torch
from conftest import BUFFER, SHAPES, random_checkpoints

from mergelib import METHODS, merge
from mergelib.checkpoints.states import write_state

FAST = {**dict.fromkeys(("doge-ta", "doge-ties", "doge-emr"), {"steps": 5}), "awd-ta": {"awd_steps": 5}}      # to be quick
DATA_FREE = {method: spec for method, spec in METHODS.items() if spec.needs == "nothing"}       # the others: test_adamerging
ALL = pytest.mark.parametrize("method", DATA_FREE)
RUNS = [(method, preset) for method, spec in DATA_FREE.items() for preset in spec.presets or [None]]


def run(method, base, experts, **options):
    """The merged state dict; of methods that give one for each task, the first task's by name."""
    merged = merge(method, base, experts, **{**FAST.get(method, {}), **options})
    return merged[min(merged)] if METHODS[method].per_task else merged


def identical(ours, theirs):
    """Same names, dtypes and bits."""
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name]) for name in ours)


# --- messages

@pytest.mark.parametrize("method, options, message", [
    ("doge", {}, "no method 'doge'. Known methods: .*weight-average.*doge-ta"),
    ("ties", {"preset": "best"}, "Ties-Merging has no preset 'best'; it has paper, code"),
    ("weight-average", {"preset": "paper"}, "Weight Averaging has no preset 'paper'; it has none"),
    ("ties", {"top_k": 20, "scale": 1}, "Ties-Merging has no option scale, top_k; it has combine, density, keys, lam"),
    ("task-arithmetic", {"keys": "language_model"}, "keys='language_model' matches no tensor.*class_embedding"),
    ("task-arithmetic", {"keys": BUFFER}, "matches no tensor"),
    ("task-arithmetic", {"others": "zero"}, "others is 'zero'; it can be 'base', 'mean', 'task-arithmetic'"),
])
def test_what_is_unknown_is_refused_with_what_is_known(base, experts, method, options, message):
    with pytest.raises(ValueError, match=message):
        merge(method, base, experts, **options)


@pytest.mark.parametrize("method, preset", RUNS)
def test_presets_set_known_options_only(method, preset):
    settings = METHODS[method].settings(preset)
    assert settings.keys() == METHODS[method].options.keys() | {"keys", "others"}
    assert METHODS[method].settings(preset, others="mean") == {**settings, "others": "mean"}


# --- limits in which the answer is known

@pytest.mark.parametrize("method", [method for method, spec in DATA_FREE.items() if "lam" in spec.options])
def test_lam_zero_gives_the_base_bit_for_bit(base, experts, method):
    rule = {"eta": 0.07} if "eta" in METHODS[method].options else {}       # by the rule, a mean of 0 needs no eta
    if not METHODS[method].per_task:        # there lam is only what DOGE's delta is made for
        assert identical(run(method, base, experts, lam=0, **rule), base)


@pytest.mark.parametrize("method, options", [
    ("weight-average", {}), ("task-arithmetic", {"lam": 1}), ("ties", {"lam": 1, "density": 1}),
    ("dare", {"lam": 1, "drop": 0}), ("dare-ties", {"lam": 1, "drop": 0, "density": 1}), ("tsv-m", {}),
    ("tatr-zero-shot", {"lam": 1, "ratio": 0}), ("consensus-ta", {"lam": 1, "active": 1}),
    ("knots", {"lam": 1, "density": 1}), ("wudi", {"preset": "exact"}),
    ("wudi", {}), ("swudi", {}), ("swudi-a", {}), ("early-cg", {}), ("cart", {}), ("ta-svc", {"lam": 1}), ("tsv-m-svc", {}),
    ("emr", {}), ("emr", {"preset": "code"}), ("tall-compression", {})])
def test_one_expert_with_lam_one_is_that_expert(method, options):
    base, experts = random_checkpoints(tasks=1)
    merged = run(method, base, experts, **options)
    for name in SHAPES:         # base + (expert - base) rounds twice, at numbers up to 0.5: 3e-8 each; some decompose tau
        torch.testing.assert_close(merged[name], experts["task-0"][name], rtol=0, atol=1e-7)


@pytest.mark.parametrize("method, preset", RUNS)
def test_the_order_of_the_experts_does_not_matter(base, experts, method, preset):
    ours = run(method, base, experts, preset=preset)
    theirs = run(method, base, dict(reversed(experts.items())), preset=preset)
    for name in base:           # sums in another order: roundings of 1e-8, which Adam's first steps may enlarge to 2e-6
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=3e-6)


@pytest.mark.parametrize("method, options", [
    *((method, {"preset": preset}) for method, preset in RUNS),
    ("norm-lambda", {"scope": "task"}), ("doge-ta", {"preset": "code", "inner_product": "global"})])
def test_the_order_of_the_tensors_does_not_matter(base, experts, method, options):
    def backwards(state):
        return dict(reversed(state.items()))
    theirs = run(method, backwards(base), {task: backwards(expert) for task, expert in experts.items()}, **options)
    assert identical(run(method, base, experts, **options), theirs)


@ALL
def test_a_list_of_experts_serves_too(base, experts, method):
    named = {f"expert-{i}": expert for i, expert in enumerate(experts.values(), start=1)}
    assert identical(run(method, base, list(experts.values())), run(method, base, named))


@ALL
def test_inputs_are_not_changed(method):
    base, experts = random_checkpoints()
    run(method, base, experts)
    again = random_checkpoints()
    assert identical(base, again[0]) and all(identical(experts[task], again[1][task]) for task in experts)


# --- dtypes

@ALL
def test_integer_buffers_are_the_base_s(base, experts, method):
    for expert in experts.values():
        expert[BUFFER] = expert[BUFFER] + 1
    merged = run(method, base, experts, out_dtype=torch.float16)
    assert merged[BUFFER].dtype == torch.int64 and torch.equal(merged[BUFFER], base[BUFFER])


def rounded(state, dtype):
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@ALL
def test_half_precision_is_merged_in_fp32_and_rounded_once(base, experts, method, dtype):
    base, experts = rounded(base, dtype), {task: rounded(expert, dtype) for task, expert in experts.items()}
    in_fp32 = run(method, rounded(base, torch.float32), {t: rounded(e, torch.float32) for t, e in experts.items()})
    assert identical(run(method, base, experts), rounded(in_fp32, dtype))
    assert identical(run(method, base, experts, out_dtype=torch.float32), in_fp32)


def test_many_small_steps_are_not_lost_in_bf16():
    base = {"w": torch.full((4,), 256.0, dtype=torch.bfloat16)}         # bf16 spacing here: 2
    experts = [{"w": torch.full((4,), 258.0, dtype=torch.bfloat16)} for _ in range(8)]
    assert merge("task-arithmetic", base, experts, lam=0.25)["w"].tolist() == [260.0] * 4


def test_every_tensor_comes_out_in_the_dtype_that_it_has_in_the_base():
    dtypes = {"a": torch.float64, "b": torch.bfloat16, "c": torch.float16, "d": torch.bool, "e": torch.int32}
    base = {name: torch.ones(2).to(dtype) for name, dtype in dtypes.items()}
    expert = {name: torch.zeros(2) for name in dtypes}
    merged = merge("weight-average", base, expert)
    assert {name: tensor.dtype for name, tensor in merged.items()} == dtypes
    assert [merged[name][0].item() for name in "abcde"] == [0, 0, 0, True, 1]


# --- tensors that are not merged

@pytest.mark.parametrize("others, method, options", [
    ("base", "task-arithmetic", {"lam": 0}), ("mean", "weight-average", {}), ("task-arithmetic", "task-arithmetic", {})])
@pytest.mark.parametrize("merged_by, preset", RUNS)
def test_other_tensors_follow_their_rule_bit_for_bit(base, experts, merged_by, preset, others, method, options):
    merged = run(merged_by, base, experts, preset=preset, keys=r"mlp\.c_fc", others=others)
    rule = merge(method, base, experts, **options)
    chosen = "transformer.resblocks.0.mlp.c_fc.weight"
    assert all(torch.equal(merged[name], rule[name]) for name in base if name != chosen)
    assert not torch.equal(merged[chosen], base[chosen])


@pytest.mark.parametrize("preset", ["code", "exact"])
def test_doge_as_released_merges_the_encoder_matrices_only(base, experts, preset):
    merged = run("doge-ta", base, experts, preset=preset)
    changed = [name for name in base if not torch.equal(merged[name], base[name])]
    assert changed == ["transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks.0.mlp.c_fc.weight"]


# --- files

@ALL
def test_files_give_the_same_as_state_dicts(tmp_path, base, experts, method):
    write_state(tmp_path / "base.safetensors", base)
    for task, expert in experts.items():
        write_state(tmp_path / f"{task}.safetensors", expert)
    from_files = run(method, str(tmp_path / "base.safetensors"),
                     {task: tmp_path / f"{task}.safetensors" for task in experts})
    assert identical(from_files, run(method, base, experts))
