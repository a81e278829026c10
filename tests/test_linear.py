"""Averaging, task arithmetic and norm-based coefficients: their formulas, term by term."""

import pytest
import torch
from conftest import SHAPES, random_checkpoints

from mergelib import merge
from mergelib.methods.linear import norm_coefficients

# fp32 sums of three terms around 0.1: a few roundings of 1e-8 each.
CLOSE = {"rtol": 0, "atol": 1e-7}


def update(merged, base):
    """What a merge adds to the base, name -> tensor."""
    return {name: merged[name] - base[name] for name in SHAPES}


def test_weight_average_is_the_mean_of_the_experts(base, experts):
    merged = merge("weight-average", base, experts)
    for name in SHAPES:
        mean = torch.stack([expert[name] for expert in experts.values()]).double().mean(dim=0)
        torch.testing.assert_close(merged[name].double(), mean, **CLOSE)


@pytest.mark.parametrize("lam", [0.3, 1.0, -0.5])
def test_task_arithmetic_adds_lam_times_the_sum_of_task_vectors(base, experts, lam):
    merged = merge("task-arithmetic", base, experts, lam=lam)
    for name in SHAPES:
        total = sum(expert[name].double() - base[name].double() for expert in experts.values())
        torch.testing.assert_close(merged[name].double(), base[name].double() + lam * total, **CLOSE)


def test_task_arithmetic_with_one_over_T_is_the_average(base, experts):
    average, arithmetic = merge("weight-average", base, experts), merge("task-arithmetic", base, experts, lam=1 / 3)
    for name in SHAPES:
        torch.testing.assert_close(arithmetic[name], average[name], **CLOSE)


def test_layer_wise_norm_lambda_gives_every_task_the_same_length_in_every_tensor():
    base, experts = random_checkpoints(tasks=1)
    added = update(merge("norm-lambda", base, experts, eta=0.07), base)
    assert [round(added[name].norm().item(), 5) for name in SHAPES] == [0.07] * len(SHAPES)


def test_task_wise_norm_lambda_uses_one_coefficient_per_expert():
    base, experts = random_checkpoints(tasks=1)
    added = update(merge("norm-lambda", base, experts, eta=0.07, scope="task"), base)
    whole = torch.cat([added[name].flatten() for name in SHAPES])
    task_vector = torch.cat([(experts["task-0"][name] - base[name]).flatten() for name in SHAPES])
    assert whole.norm().item() == pytest.approx(0.07, rel=1e-5)     # fp32 subtraction of 0.1 from 0.1 leaves 1e-6
    torch.testing.assert_close(whole / whole.norm(), task_vector / task_vector.norm(), rtol=0, atol=1e-6)


def test_norm_lambda_sums_over_experts(base, experts):
    merged = merge("norm-lambda", base, experts, eta=0.05)
    for name in SHAPES:
        taus = [expert[name].double() - base[name].double() for expert in experts.values()]
        expected = base[name].double() + sum(0.05 / tau.norm() * tau for tau in taus)
        torch.testing.assert_close(merged[name].double(), expected, **CLOSE)


def test_task_wise_norms_count_merged_tensors_only(base, experts):
    changed = {task: {**expert, "conv1.weight": 9 * expert["conv1.weight"]} for task, expert in experts.items()}
    ours, theirs = (merge("norm-lambda", base, each, scope="task", keys="^(?!conv1)") for each in (experts, changed))
    assert all(torch.equal(ours[name], theirs[name]) for name in SHAPES)


def test_zero_task_vectors_get_coefficient_zero():
    assert norm_coefficients(torch.tensor([0.0, 2.0]), 0.5).tolist() == [0.0, 0.25]


def test_unknown_scope_is_refused_by_name(base, experts):
    with pytest.raises(ValueError, match="scope is 'tensor'; it can be 'layer', 'task'"):
        merge("norm-lambda", base, experts, scope="tensor")
