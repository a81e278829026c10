"""What changes when task vectors are of low rank, as LoRA's are? DOGE's basis, its coefficients, TSV-M."""

import math

import pytest
import torch

from mergelib import METHODS, merge
from mergelib.methods.doge.delta import Problem, modification
from mergelib.methods.doge.subspace import leading_left, shared_subspace
from mergelib.methods.linear import coefficients_of, eta_by_rule, norm_lambda
from mergelib.methods.spectral import polar, svd, tsv_m

NAME = "decoder.block.0.layer.0.SelfAttention.q.weight"


def low_rank(tasks=4, rank=8, size=48, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(tasks, size, rank, generator=draw) @ torch.randn(tasks, rank, size, generator=draw) / size


# --- rank

def test_the_shared_subspace_has_as_many_directions_as_the_rank_that_is_meant():
    taus = low_rank()
    assert shared_subspace(taus, rank="matrix").shape[1] == 48 // 6
    assert shared_subspace(taus, rank="numerical").shape[1] == 8 // 6


def test_no_direction_comes_in_that_no_task_has():
    """floor(48 / 4) = 12 left singular vectors are taken of task vectors that have 8; the other four are none."""
    taus = low_rank()
    span = torch.linalg.svd(taus.permute(1, 0, 2).flatten(1)).U[:, : 4 * 8]
    for rank, size in (("numerical", 2), ("matrix", 12)):
        basis = shared_subspace(taus, rank_ratio=None, rank=rank)
        assert basis.shape[1] == size and (basis - span @ (span.T @ basis)).norm() < 1e-4
    assert leading_left(taus[0], 12).shape[1] == 8


SPECTRAL = [("doge-ta", {"preset": preset, "eta": 0.3, "lam_max": 1.0, "damping": damping})
            for preset in ("paper", "code", "exact") for damping in ((0.0, 0.1) if preset == "exact" else (0.0,))]
SPECTRAL += [("doge-ties", {"preset": "exact", "lam_max": 1.0}), ("tsv-m", {}), ("iso-c", {}), ("iso-cts", {}), ("knots", {}),
             ("wudi", {"preset": "exact"}), ("swudi", {}), ("swudi-a", {}), ("early-cg", {}), ("cart", {}), ("ta-svc", {}),
             ("tsv-m-svc", {}), ("iso-cts-svc", {})]


def merged(method, taus, **options):
    """What a method adds to a base of zeros."""
    return merge(method, {NAME: torch.zeros(taus.shape[1:])}, [{NAME: tau} for tau in taus], **options)[NAME]


@pytest.mark.filterwarnings("ignore:.*the modification is")
@pytest.mark.parametrize("uneven_ones", [False, True])
@pytest.mark.parametrize("method, options", SPECTRAL)
def test_a_merge_does_not_depend_on_the_machine(method, options, uneven_ones):
    """Rows in another order, another number of threads and roundings of the task vectors stand for another machine.

    fp32 leaves 1e-7 of the largest entry; Adam's steps and the solutions of ill-conditioned systems enlarge it to 1e-5.
    """
    taus = uneven() if uneven_ones else low_rank(rank=5)
    order, ours = torch.randperm(48, generator=torch.Generator().manual_seed(1)), merged(method, taus, **options)
    close = {"rtol": 0, "atol": 1e-5 * max(1, ours.abs().max().item())}
    torch.testing.assert_close(merged(method, taus[:, order], **options), ours[order], **close)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        torch.testing.assert_close(merged(method, taus, **options), ours, **close)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore:.*the modification is")
@pytest.mark.parametrize("method, options", SPECTRAL)
def test_what_stands_for_no_direction_does_not_matter(method, options):
    """An orthogonal change of the space that a task vector leaves out changes nothing of it but its roundings."""
    taus, draw = low_rank(rank=5), torch.Generator().manual_seed(2)
    turned = []
    for tau in taus.double():
        null = torch.linalg.svd(tau).U[:, 5:]
        turn = torch.linalg.qr(torch.randn(43, 43, generator=draw).double()).Q
        turned.append((tau + null @ (turn @ null.T @ tau - null.T @ tau)).float())
    ours, theirs = merged(method, taus, **options), merged(method, torch.stack(turned), **options)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def test_presets_mean_what_the_papers_and_the_code_mean():
    for method in ("doge-ta", "doge-am", "doge-ties"):
        assert METHODS[method].settings("paper")["rank"] == "numerical"
        assert METHODS[method].settings("code")["rank"] == METHODS[method].settings("exact")["rank"] == "matrix"


def test_of_a_t5_the_matrices_in_the_blocks_are_merged_that_an_expert_touched():
    draw = torch.Generator().manual_seed(0)
    names = [NAME, NAME.replace(".q.", ".k."), NAME.replace(".q.", ".v."), "shared.weight"]
    base = {name: torch.randn(16, 16, generator=draw) for name in names}
    experts = [{name: tensor if name == names[1] else tensor + 0.1 * torch.randn(16, 16, generator=draw)
                for name, tensor in base.items()} for _ in range(2)]
    merged = merge("doge-ta", base, experts, preset="code", steps=2)
    assert [name for name in names if not torch.equal(merged[name], base[name])] == [names[0], names[2]]


# --- coefficients

def uneven():
    """Four task vectors, of which one hardly touched its matrix."""
    taus = low_rank()
    return torch.cat([taus[:3], 1e-6 * taus[3:]])


def test_a_matrix_that_is_hardly_touched_gets_no_coefficient_above_the_cap():
    taus = uneven()
    free, capped = coefficients_of(taus, 0.3), coefficients_of(taus, 0.3, lam_max=1.0)
    assert free[3] > 1e4 and capped[3] == 1.0 and torch.equal(free[:3], capped[:3])
    merged = norm_lambda(torch.zeros(48, 48), taus, eta=0.3, lam_max=1.0)
    torch.testing.assert_close(merged, torch.tensordot(capped, taus, dims=1))


@pytest.mark.parametrize("solver, steps", [("adam", 20), ("exact", 32)])
def test_doge_solves_for_the_coefficients_that_it_merges_with(solver, steps):
    """With the cap the touched tasks' problem is nearly that without the fourth task; the target of Eq. 5 holds."""
    taus = uneven()
    how = Problem(eta=0.3, lam_max=1.0, solver=solver, steps=steps, lr=1e-3, direction="free", dtype="float64")
    (deltas,) = modification([("w", taus)], how)
    lam = coefficients_of(taus.double(), 0.3, lam_max=1.0)
    total = torch.tensordot(lam, taus.double() + deltas, dims=1)
    gaps = ((taus.double() * (total - taus.double())).sum(dim=2)).abs().sum(), (taus.double() ** 2).sum()
    start = (taus.double() * (torch.tensordot(lam, taus.double(), dims=1) - taus.double())).sum(dim=2).abs().sum()
    assert gaps[0] < (0.01 if solver == "exact" else 1.0) * start


@pytest.mark.parametrize("lam_max", [0.31, 0.5, 1.0, 1e9])
def test_eta_makes_up_for_the_cap(lam_max):
    taus = uneven()
    eta = eta_by_rule(lambda: [(NAME, taus[0], taus)], 0.3, lam_max=lam_max)
    assert coefficients_of(taus, eta, lam_max=lam_max).mean().item() == pytest.approx(0.3, rel=1e-5)


def test_without_a_cap_the_rule_is_the_papers():
    taus = low_rank()
    norms = taus.flatten(1).norm(dim=1)
    plain = eta_by_rule(lambda: [(NAME, taus[0], taus)], 0.3)
    assert plain == pytest.approx(0.3 / (1 / norms).mean().item())
    assert eta_by_rule(lambda: [(NAME, taus[0], taus)], 0.3, lam_max=math.inf) == pytest.approx(plain, rel=1e-6)
    with pytest.raises(ValueError, match="lam_max is 0.2, so the coefficients cannot be 0.3 on average"):
        eta_by_rule(lambda: [(NAME, taus[0], taus)], 0.3, lam_max=0.2)


# --- TSV-M

def test_directions_that_a_task_does_not_have_do_not_bend_those_that_it_has():
    """Four tasks of rank 4 in 48 dimensions keep 12 triples each, of which 8 are arbitrary; those are left out."""
    taus = low_rank(rank=4)
    lefts, values, rights = zip(*((u[:, :4], s[:4], v[:, :4]) for u, s, v in map(svd, taus)))
    expected = (polar(torch.cat(lefts, dim=1)) * torch.cat(values)) @ polar(torch.cat(rights, dim=1)).T
    torch.testing.assert_close(tsv_m(torch.zeros(48, 48), taus), expected, rtol=1e-4, atol=1e-5)


def test_tsv_m_leaves_an_untouched_matrix_alone():
    theta_0 = torch.ones(6, 5)
    assert torch.equal(tsv_m(theta_0, torch.zeros(3, 6, 5)), theta_0)
