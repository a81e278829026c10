"""AWD: does it minimise what it says, and does its gradient agree with plain autograd?"""

import pytest
import torch

from mergelib import merge
from mergelib.methods.learned import awd_first_pass, redundancy


def test_awd_finds_the_part_that_all_task_vectors_share():
    draw, shared = torch.Generator().manual_seed(0), torch.full((2000,), 0.5)
    own = torch.randn(4, 2000, generator=draw)
    found = awd_first_pass(lambda: [("w", None, own + shared)], alpha=0.0, awd_steps=300, awd_lr=0.01)["each"]["w"]["redundant"]
    before, after = (loss(own + shared, x, 0.0) for x in (torch.zeros(2000), found))
    assert before > 0.15 and after < 0.02
    assert torch.nn.functional.cosine_similarity(found, shared, dim=0) > 0.6


def test_awd_s_loss_by_hand():
    taus = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]])
    # cosines 0.6, 0.8, 0 of the three pairs
    assert loss(taus, torch.zeros(2), 0.5).item() == pytest.approx(1.4 / 3)
    assert loss(taus + 1, torch.ones(2), 0.5).item() == pytest.approx(1.4 / 3 + 0.5 * 2**0.5)


def test_awd_s_gradient_is_that_of_the_printed_loss():
    draw = torch.Generator().manual_seed(0)
    taus, delta = torch.randn(3, 50, generator=draw), 0.3 * torch.randn(50, generator=draw)
    ours, plain = delta.clone().requires_grad_(), delta.clone().requires_grad_()
    loss(taus, ours, 0.1).backward()
    rest = taus - plain
    pairs = [torch.nn.functional.cosine_similarity(rest[i], rest[j], dim=0).abs() for i in range(3) for j in range(3) if i != j]
    (sum(pairs) / 6 + 0.1 * plain.norm()).backward()
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-4, atol=1e-6)


def loss(taus, delta, alpha):
    """AWD's loss of a redundant vector."""
    return redundancy(taus @ taus.T, taus @ delta, delta.square().sum(), alpha)


def test_awd_bears_a_task_vector_that_is_the_redundant_one(base, experts):
    experts["task-3"] = {name: 2 * experts["task-0"][name] - base[name] if tensor.is_floating_point() else tensor
                         for name, tensor in base.items()}
    merged = merge("awd-ta", base, experts, awd_steps=20)
    assert all(torch.isfinite(tensor).all() for tensor in merged.values())
    one = merge("awd-ta", base, {"task-0": experts["task-0"]}, awd_steps=20, lam=1)
    for name in ("proj",) if "proj" in base else ("conv1.weight",):       # one task has no pair: nothing is redundant in it
        torch.testing.assert_close(one[name], experts["task-0"][name], rtol=0, atol=1e-6)
