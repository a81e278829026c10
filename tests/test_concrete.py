"""Concrete: the relaxed mask's statistics, its gradient, the inner step, and limits with known answers."""

from functools import partial

import pytest
import torch

from mergelib import merge
from mergelib.adapt.concrete import ConcreteMask
from mergelib.adapt.learning import summed_loss
from mergelib.merging.work import stream

FAST = {"mask_steps": 3, "batch": 8}


def problem(suite, granularity="fixed", **how):
    """A mask for the suite's experts, and the entropies of both tasks on eight pictures."""
    tensors = stream(suite.base, suite.experts, list(suite.base))
    model = ConcreteMask(tensors, 2, granularity, **how)
    return model, [partial(suite.entropy, {}, "generated", {task: suite.pictures(task, "test")[0][:8]}) for task in suite.tasks]


def test_a_mask_has_mean_one_and_lies_above_zero(tiny_suite):
    model, _ = problem(tiny_suite)
    for name, mask in model.sample("x").items():
        assert mask.mean().item() == pytest.approx(1, abs=1e-5) and mask.min() >= 0
        assert mask.shape == tiny_suite.base[name].shape


def test_logits_shift_the_mask_as_the_relaxed_bernoulli_says(tiny_suite):
    model, _ = problem(tiny_suite)
    name, i = "conv1.weight", [name for name, _, _ in model.tensors].index("conv1.weight")
    model.logits[i].data[:16] = 2.0
    mask = model.sample("x")[name]
    # P(m > 1/2) is sigmoid(logit) at any temperature: 0.88 and 0.5; 12288 entries each, five standard deviations are 0.023
    half = mask.max() / 2       # m / mean(m): the greatest entries are 1 / mean
    shares = [(mask[part] > half).float().mean().item() for part in (slice(16), slice(16, None))]
    assert shares == pytest.approx([torch.sigmoid(torch.tensor(2.0)).item(), 0.5], abs=0.023)


def test_the_same_key_draws_the_same_mask(tiny_suite):
    model, _ = problem(tiny_suite)
    same, again, other = model.sample("x", 1), model.sample("x", 1), model.sample("x", 2)
    assert all(torch.equal(same[name], again[name]) and not torch.equal(same[name], other[name]) for name in same)


def test_the_logits_gradient_is_that_of_finite_differences(tiny_suite):
    model, losses = problem(tiny_suite)
    i = [name for name, _, _ in model.tensors].index("proj")
    direction = torch.randn(model.logits[i].shape, generator=torch.Generator().manual_seed(0))
    summed_loss(model.merged(model.sample("x"), model.start), losses).backward()
    slope = (model.logits[i].grad * direction).sum().item()

    def at(step):
        with torch.no_grad():
            model.logits[i] += step * direction
            value = sum(loss(model.merged(model.sample("x"), model.start)) for loss in losses).item()
            model.logits[i] -= step * direction
        return value
    # fp32: the value is near 3 and rounds at 2e-7, divided by a step of 0.02
    assert (at(0.01) - at(-0.01)) / 0.02 == pytest.approx(slope, abs=2e-3 + 0.05 * abs(slope))
    assert abs(slope) > 1e-3


@pytest.mark.parametrize("granularity", ["layer", "task"])
def test_the_inner_step_is_one_of_adam_and_of_rate_one(tiny_suite, granularity):
    model, losses = problem(tiny_suite, granularity)
    masks = model.sample("x")
    lam = torch.nn.Parameter(torch.full((2, len(model.tensors) if granularity == "layer" else 1), 0.3))
    adam = torch.optim.Adam([lam], lr=1.0)
    for _ in range(2):          # its moments stay, its start does not
        lam.data.fill_(0.3)
        adam.zero_grad()
        merged = model.merged({name: mask.detach() for name, mask in masks.items()}, lam.expand(-1, len(model.tensors)))
        sum(loss(merged) for loss in losses).backward()
        adam.step()
        moved = model.move(masks, losses)
        torch.testing.assert_close(moved, lam.detach().expand_as(moved), rtol=0, atol=1e-3)
    assert ((moved - 0.3).abs() - 1).abs().max() < 0.01         # as released: every coefficient moves by one
    assert all(logits.grad is None for logits in model.logits)


def test_without_steps_the_merge_is_task_arithmetic_with_a_random_mask_of_mean_one(tiny_suite):
    merged = merge("concrete-ta", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, mask_steps=0)
    plain = merge("task-arithmetic", tiny_suite.base, tiny_suite.experts)
    for name, theta_0 in tiny_suite.base.items():
        ratio = ((merged[name] - theta_0) / (plain[name] - theta_0))
        assert ratio.min() > -0.01 and not torch.equal(merged[name], plain[name])
    big = "transformer.resblocks.0.mlp.c_fc.weight"
    ratio = (merged[big] - tiny_suite.base[big]) / (plain[big] - tiny_suite.base[big])
    assert ratio.mean().item() == pytest.approx(1, abs=0.02)


def test_the_mask_is_shared_by_all_tasks(tiny_suite):
    each = [merge("concrete-ta", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, mask_steps=0, init=init)
            for init in (0.3, 0.6)]
    for name, theta_0 in tiny_suite.base.items():
        torch.testing.assert_close(each[1][name] - theta_0, 2 * (each[0][name] - theta_0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["concrete-ta", "concrete-am", "concrete-am-taskwise"])
def test_learning_a_mask_changes_the_merge_and_resumes(tiny_suite, method):
    options = {**FAST, **({} if method == "concrete-ta" else {"steps": 2})}
    def learn(**how):
        return merge(method, tiny_suite.base, tiny_suite.experts, suite=tiny_suite, **{**options, **how})
    first, again, untaught = learn(mask_lr=0.5), learn(mask_lr=0.5), learn(mask_steps=0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert max((first[name] - untaught[name]).abs().max() for name in first) > 1e-3


def test_a_mask_makes_the_model_surer(tiny_suite):
    def summed(state):
        return tiny_suite.entropy({}, "generated", {task: tiny_suite.inputs(task, "test") for task in tiny_suite.tasks}, state)
    before, after = (merge("concrete-ta", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, mask_steps=steps, mask_lr=0.3,
                           batch=40) for steps in (0, 15))
    assert summed(after) < summed(before) - 1e-3
