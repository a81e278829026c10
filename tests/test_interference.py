"""WUDI's family: do they minimise what they say, stop where they say, and stay put where nothing is to be learned?"""

import pytest
import torch

from mergelib.methods.interference import early_cg, swudi, swudi_a, wudi

TAUS = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(0))


def interference(w, taus):
    """WUDI's objective as it is printed."""
    return sum(((w - tau) @ tau.T).square().sum() / tau.square().sum() for tau in taus)


def test_wudi_exact_is_where_the_gradient_vanishes():
    w = wudi(torch.zeros(5, 40), TAUS, solver="exact").requires_grad_()
    interference(w, TAUS).backward()
    start = TAUS.sum(dim=0).requires_grad_()
    interference(start, TAUS).backward()
    assert w.grad.abs().max() < 1e-4 * start.grad.abs().max()


def test_wudi_exact_moves_as_little_as_possible():
    step = wudi(torch.zeros(5, 40), TAUS, solver="exact") - TAUS.sum(dim=0)
    rows = torch.cat(list(TAUS))                # what is orthogonal to every row of every task changes nothing, so it stays
    outside = step.T - rows.T @ torch.linalg.lstsq(rows.T, step.T).solution
    assert outside.abs().max() < 1e-4 * step.abs().max()


def test_wudi_s_adam_reaches_the_exact_minimum_at_another_place():
    exact, walked = (wudi(torch.zeros(5, 40), TAUS, **how) for how in ({"solver": "exact"}, {"steps": 1000, "lr": 0.01}))
    least, found, first = (interference(w, TAUS).item() for w in (exact, walked, TAUS.sum(dim=0)))
    assert least <= found + 1e-6 and found - least < 1e-3 * (first - least)
    # there are fewer rows (15) than columns (40), and Adam, scaling entry by entry, does not take the shortest way
    assert (walked - exact).norm() > 0.1 * (exact - TAUS.sum(dim=0)).norm()


def test_wudi_s_adam_is_torch_s_on_the_printed_objective():
    w = TAUS.sum(dim=0).clone().requires_grad_()
    optimiser = torch.optim.Adam([w], lr=0.01)
    for _ in range(20):
        optimiser.zero_grad()
        interference(w, TAUS).backward()
        optimiser.step()
    torch.testing.assert_close(wudi(torch.zeros(5, 40), TAUS, steps=20, lr=0.01), w.detach(), rtol=0, atol=1e-4)


def test_wudi_leaves_tasks_alone_that_share_no_input_direction():
    taus = torch.zeros(2, 3, 8)
    taus[0, :, :4], taus[1, :, 4:] = 1.0, torch.arange(12.0).reshape(3, 4) - 5       # whole numbers: no sum is rounded
    for solver, tolerance in (("adam", 300 * 1e-5), ("exact", 1e-5)):      # rounding errors move Adam in each step
        torch.testing.assert_close(wudi(torch.zeros(3, 8), taus, solver=solver), taus.sum(dim=0), rtol=0, atol=tolerance)


# --- stopped early

def exact(theta_0, taus):
    """WUDI's exact minimum."""
    return wudi(theta_0, taus, solver="exact")


FAMILY = pytest.mark.parametrize("function", [exact, swudi, swudi_a, early_cg])
ZERO = torch.zeros(5, 40)


def terms(taus=TAUS):
    """Where W starts and the two terms of half the gradient W C - D, as they are printed; fp64."""
    taus = taus.double()
    return (taus.sum(dim=0), sum(tau.T @ tau / tau.square().sum() for tau in taus),
            sum(tau @ tau.T @ tau / tau.square().sum() for tau in taus))


def test_swudi_is_where_the_gradient_flow_is_at_t():
    w, total, target = terms()
    for _ in range(4000):                   # Euler's steps of 1e-3; their error is of the step's order
        w = w - 1e-3 * (w @ total - target)
    found = swudi(ZERO, TAUS, t=4.0, kept=1.0).double()
    torch.testing.assert_close(found, w, rtol=0, atol=2e-3 * (w - TAUS.sum(dim=0)).abs().max().item())


def test_swudi_goes_nowhere_but_in_the_leading_directions():
    start, total, _ = terms()
    basis = torch.linalg.eigh(total).eigenvectors.flip(1)
    cut, whole = (swudi(ZERO, TAUS, t=4.0, kept=kept).double() - start for kept in (0.2, 1.0))
    inside = basis[:, :8] @ basis[:, :8].T
    torch.testing.assert_close(cut, whole @ inside, rtol=0, atol=1e-5)          # fp32 of numbers up to 5


def test_swudi_is_the_exact_minimum_in_the_end():
    torch.testing.assert_close(swudi(ZERO, TAUS, t=1e9, kept=1.0), exact(ZERO, TAUS), rtol=0, atol=1e-5)


def test_swudi_a_solves_for_as_many_directions_as_the_spectrum_says():
    start, total, target = terms()
    values, basis = torch.linalg.eigh(total)
    sigma = values.clamp_min(0).sqrt()
    count = -int(-(sigma.sum() ** 2 / (sigma ** 2).sum()) // 1)         # rounded up
    assert 1 < count < 15
    inside, outside = basis[:, -count:], basis[:, :-count]
    w = swudi_a(ZERO, TAUS).double()
    assert ((w @ total - target) @ inside).abs().max() < 1e-5 * ((start @ total - target) @ inside).abs().max()
    torch.testing.assert_close(w @ outside, start @ outside, rtol=0, atol=1e-5)
    torch.testing.assert_close(swudi_a(ZERO, TAUS, t=4.0), swudi(ZERO, TAUS, t=4.0, kept=count / 40), rtol=0, atol=1e-6)


def test_no_step_of_cg_is_the_sum_and_enough_of_them_are_the_exact_minimum():
    torch.testing.assert_close(early_cg(ZERO, TAUS, cg_steps=0), TAUS.sum(dim=0), rtol=0, atol=1e-6)
    # where it stops the residual is 1e-7 of D, and the smallest eigenvalue is a ninth of the largest
    torch.testing.assert_close(early_cg(ZERO, TAUS, cg_steps=100), exact(ZERO, TAUS), rtol=0, atol=1e-4)


def test_every_step_of_cg_lowers_the_objective():
    found = [interference(early_cg(ZERO, TAUS, cg_steps=k).double(), TAUS.double()).item() for k in range(10)]
    assert all(after < before for before, after in zip(found, found[1:]))


@pytest.mark.parametrize("steps", [1, 3])
def test_cg_is_best_among_all_that_as_many_products_reach(steps):
    start, total, target = terms()
    ways = [target - start @ total]
    for _ in range(steps - 1):
        ways.append(ways[-1] @ total)
    inner = torch.tensor([[(left * (right @ total)).sum() for right in ways] for left in ways])
    lengths = torch.linalg.solve(inner, torch.tensor([(way * ways[0]).sum() for way in ways]))
    best = start + sum(length * way for length, way in zip(lengths, ways))
    torch.testing.assert_close(early_cg(ZERO, TAUS, cg_steps=steps).double(), best, rtol=0, atol=1e-5)


@FAMILY
def test_the_order_of_tasks_and_rows_does_not_matter(function):
    rows = [3, 0, 4, 1, 2]
    torch.testing.assert_close(function(ZERO, TAUS[[2, 0, 1]][:, rows]), function(ZERO, TAUS)[rows], rtol=0, atol=1e-5)


@FAMILY
@pytest.mark.parametrize("scale", [2.0 ** -20, 2.0 ** 10])
def test_task_vectors_as_long_in_other_units_give_the_same_bits_in_those(function, scale):
    assert torch.equal(function(ZERO, scale * TAUS), scale * function(ZERO, TAUS))      # powers of two: nothing is rounded


@FAMILY
def test_a_task_that_changed_nothing_changes_nothing(function):
    more = torch.cat([TAUS, torch.zeros(1, 5, 40)])
    torch.testing.assert_close(function(ZERO, more), function(ZERO, TAUS), rtol=0, atol=1e-5)
    base = TAUS[0]
    assert torch.equal(function(base, torch.zeros(2, 5, 40)), base)


@FAMILY
def test_low_rank_task_vectors_are_merged_where_they_live(function):
    draw = torch.Generator().manual_seed(1)
    taus = torch.randn(2, 5, 1, generator=draw) @ torch.randn(2, 1, 40, generator=draw)
    step, rows = function(ZERO, taus), torch.linalg.qr(taus[:, 0].T).Q              # 40 x 2
    assert torch.isfinite(step).all() and interference(step, taus) <= 1.0001 * interference(taus.sum(dim=0), taus)
    assert (step - step @ rows @ rows.T).abs().max() < 1e-5 * step.abs().max()


@FAMILY
def test_task_vectors_between_bf16_numbers_are_merged_as_well(function):
    draw = torch.Generator().manual_seed(2)
    base = 0.05 * torch.randn(24, 24, generator=draw)
    taus = torch.stack([(base + 1e-3 * torch.randn(24, 24, generator=draw)).bfloat16().float() for _ in range(4)])
    taus = taus - base.bfloat16().float()                   # many are exactly zero
    step = function(torch.zeros(24, 24), taus)
    assert torch.isfinite(step).all() and interference(step, taus) < interference(taus.sum(dim=0), taus)


@FAMILY
def test_tasks_that_share_no_input_direction_are_all_kept(function):
    taus = torch.zeros(2, 3, 8)
    taus[0, :, :4], taus[1, :, 4:] = 1.0, torch.arange(12.0).reshape(3, 4) - 5
    torch.testing.assert_close(function(torch.zeros(3, 8), taus), taus.sum(dim=0), rtol=0, atol=1e-5)
