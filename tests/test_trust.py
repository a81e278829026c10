"""TATR: sensitivity against the double sum, the region's size, its limits, and the variants by hand."""

import pytest
import torch
from conftest import SHAPES

from mergelib import merge
from mergelib.adapt.gradients import absolute_gradient
from mergelib.methods.trust import omega, sensitivity, trust_region


def test_sensitivity_is_the_sum_over_pairs_of_different_tasks():
    draw = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 4, 3, 5, generator=draw)
    slow = sum(left[j] * right[i] for i in range(4) for j in range(4) if i != j)
    torch.testing.assert_close(sensitivity(left, right), slow, rtol=0, atol=1e-5)
    assert sensitivity(left[:1], right[:1]).abs().max() < 1e-6           # one task has nobody to fight


def test_zero_shot_with_two_tasks_is_symmetric_and_not_zero():
    taus = torch.tensor([[1.0, -2.0, 0.0], [3.0, 0.5, 4.0]])
    assert omega(taus, form="zero-shot").tolist() == [6.0, 2.0, 0.0] == omega(taus.flip(0), form="zero-shot").tolist()


def test_the_forms_by_hand():
    taus, gradients = torch.tensor([[1.0, -2.0], [3.0, 1.0]]), torch.tensor([[2.0, 1.0], [-1.0, 4.0]])
    assert omega(taus, gradients.abs()).tolist() == [2 * 3 + 1 * 1, 1 * 1 + 4 * 2]
    assert omega(taus, gradients.abs(), "ntk").tolist() == [2 * 2 * 1, 2 * 1 * 4]
    assert omega(taus, gradients, "positive").tolist() == [2 * 3 - 1, 1 * 1 - 4 * 2]
    assert omega(taus, gradients, "negative").tolist() == [-5.0, 7.0]


@pytest.mark.parametrize("ratio, inside", [(0, 10), (0.1, 9), (0.25, 8), (0.5, 5), (1, 0)])
def test_the_region_leaves_out_the_most_sensitive_of_the_whole_checkpoint(ratio, inside):
    omegas = {"a": torch.arange(4.0), "b": torch.arange(4.0, 10.0).reshape(2, 3)}
    trust = trust_region(omegas, ratio)
    assert torch.cat([values.flatten() for values in trust.values()]).tolist() == [True] * inside + [False] * (10 - inside)


@pytest.mark.parametrize("ratio", [-0.1, 1.5])
def test_a_ratio_outside_zero_to_one_is_refused(base, experts, ratio):
    with pytest.raises(ValueError, match="ratio is .*it can be a number at least 0 and at most 1"):
        merge("tatr-zero-shot", base, experts, ratio=ratio)


def test_ratio_zero_is_task_arithmetic_and_ratio_one_the_base(base, experts):
    everything, nothing = (merge("tatr-zero-shot", base, experts, ratio=ratio) for ratio in (0, 1))
    arithmetic = merge("task-arithmetic", base, experts)
    assert all(torch.equal(everything[name], arithmetic[name]) and torch.equal(nothing[name], base[name]) for name in SHAPES)


def test_it_moves_the_model_but_not_where_tasks_fight(base, experts):
    merged, arithmetic = merge("tatr-zero-shot", base, experts, ratio=0.05), merge("task-arithmetic", base, experts)
    changed = torch.cat([(merged[name] != base[name]).flatten() for name in SHAPES])
    kept = torch.cat([(merged[name] == arithmetic[name]).flatten() for name in SHAPES])
    assert kept.float().mean().item() == pytest.approx(0.95, abs=0.001) and changed.float().mean() > 0.9


def test_ties_and_tatr_is_ties_inside_the_region(base, experts):
    both = merge("ties+tatr-zero-shot", base, experts, ratio=0.3)
    ties, region = merge("ties", base, experts, preset="code"), merge("tatr-zero-shot", base, experts, ratio=0.3, lam=1)
    for name in SHAPES:
        inside = region[name] != base[name]
        assert torch.equal(both[name], torch.where(inside, ties[name], base[name]))


# --- with exemplars

def run(suite, method="tatr", **options):
    return merge(method, suite.base, suite.experts, suite=suite, **{"examples": 8, **options})


def test_tatr_is_not_the_base(tiny_suite):
    """The one port of TATR that is public returns the pre-trained model: its gradients are filed under the wrong name."""
    merged = run(tiny_suite, ratio=0.02)
    changed = torch.cat([(merged[name] != tensor).flatten() for name, tensor in tiny_suite.base.items()]).float().mean()
    arithmetic = merge("task-arithmetic", tiny_suite.base, tiny_suite.experts)
    kept = torch.cat([(merged[name] == arithmetic[name]).flatten() for name in merged]).float().mean()
    assert changed > 0.9 and 0.979 < kept < 0.981


def test_tatr_s_region_is_that_of_the_pictures_absolute_gradients(tiny_suite):
    gradients = [absolute_gradient(tiny_suite.base, tiny_suite, task, "train", 8) for task in tiny_suite.tasks]
    taus = [{name: expert[name] - tensor for name, tensor in tiny_suite.base.items()} for expert in tiny_suite.experts.values()]
    slow = torch.cat([(gradients[0][name] * taus[1][name].abs() + gradients[1][name] * taus[0][name].abs()).flatten()
                      for name in sorted(tiny_suite.base)])
    merged = run(tiny_suite, ratio=0.02, lam=1)
    outside = torch.cat([(merged[name] == tiny_suite.base[name]).flatten() for name in sorted(tiny_suite.base)])
    most = slow >= slow.sort(descending=True).values[int(0.02 * len(slow)) - 1]
    assert torch.equal(outside, most)


def test_positive_and_negative_share_the_entries_out(tiny_suite):
    positive, negative = (run(tiny_suite, f"tatr-{form}") for form in ("positive", "negative"))
    for name, tensor in tiny_suite.base.items():
        moved = (positive[name] != tensor).int() + (negative[name] != tensor).int()
        assert moved.max() <= 1
    assert all((state["proj"] != tiny_suite.base["proj"]).float().mean() > 0.2 for state in (positive, negative))


def test_an_expert_that_is_no_task_of_the_suite_is_no_key_error(tiny_suite):
    with pytest.raises(ValueError, match="needs labelled exemplars. Give suite="):
        merge("tatr", tiny_suite.base, tiny_suite.experts)
    with pytest.raises(ValueError, match="expert-1, expert-2: no task of tiny"):
        merge("tatr", tiny_suite.base, list(tiny_suite.experts.values()), suite=tiny_suite)
