"""TSV-M, Iso-C, Iso-CTS, CART and KnOTS: identities, spectra, and straightforward references; ranks from one to full."""

import pytest
import torch
from conftest import random_checkpoints

from mergelib import METHODS, merge
from mergelib.methods.spectral import align, cart, iso_c, iso_cts, polar, svd, tsv_m

WUDIS = ["wudi", "swudi", "swudi-a", "early-cg"]
SPECTRAL = ["tsv-m", "iso-c", "iso-cts", "cart", "knots", "ta-svc", "tsv-m-svc", "iso-cts-svc"]
MATRIX, VECTOR = "transformer.resblocks.0.mlp.c_fc.weight", "class_embedding"


def vectors(count=3, rows=6, columns=8, rank=None, seed=0):
    """Random task vectors, of low rank if asked for."""
    draw = torch.Generator().manual_seed(seed)
    if rank is None:
        return torch.randn(count, rows, columns, generator=draw)
    return torch.randn(count, rows, rank, generator=draw) @ torch.randn(count, rank, columns, generator=draw)


ZERO = torch.zeros(6, 8)


def test_the_polar_factor_is_orthonormal_and_closest():
    wide = vectors(1, 8, 5)[0]
    factor = polar(wide)
    torch.testing.assert_close(factor.T @ factor, torch.eye(5), rtol=0, atol=1e-6)
    symmetric = factor.T @ wide            # the other factor: symmetric and positive
    torch.testing.assert_close(symmetric, symmetric.T, rtol=0, atol=1e-5)
    assert torch.linalg.eigvalsh(symmetric).min() > 0


def test_tsv_m_against_the_published_algorithm():
    taus = vectors()
    parts = [torch.linalg.svd(tau, full_matrices=False) for tau in taus]
    u, s, vt = torch.cat([u[:, :2] for u, _, _ in parts], 1), torch.cat([s[:2] for _, s, _ in parts]), torch.cat(
        [vt[:2] for _, _, vt in parts])
    pu, _, qu = torch.linalg.svd(u, full_matrices=False)
    pv, _, qv = torch.linalg.svd(vt, full_matrices=False)
    # the product does not depend on the signs and rotations that singular vectors leave open
    torch.testing.assert_close(tsv_m(ZERO, taus, lam=0.7), 0.7 * pu @ qu @ torch.diag(s) @ pv @ qv, rtol=0, atol=1e-5)


def test_tsv_m_of_tasks_in_separate_directions_is_their_sum():
    # two tasks that share no row and no column space, each of rank 3 = 6 / 2: nothing is cut and nothing has to give way
    basis, other = torch.linalg.qr(vectors(1, 6, 6)[0]).Q, torch.linalg.qr(vectors(1, 8, 8, seed=1)[0]).Q
    taus = torch.stack([basis[:, :3] @ vectors(1, 3, 3)[0] @ other[:, :3].T,
                        basis[:, 3:] @ vectors(1, 3, 3, seed=2)[0] @ other[:, 3:6].T])
    torch.testing.assert_close(tsv_m(ZERO, taus), taus.sum(dim=0), rtol=0, atol=1e-5)


def test_iso_c_has_a_flat_spectrum_of_the_same_sum_in_the_same_directions():
    taus = vectors()
    merged, total = iso_c(ZERO, taus), taus.sum(dim=0)
    values = torch.linalg.svdvals(total)
    torch.testing.assert_close(torch.linalg.svdvals(merged), torch.full((6,), values.mean()), rtol=0, atol=1e-5)
    torch.testing.assert_close(merged, values.mean() * polar(total), rtol=0, atol=1e-5)


def test_iso_cts_gives_every_task_its_own_directions():
    taus = vectors(2, 10, 12)
    # 10 directions, 8 common: one for each of the two tasks
    u, s, vt = torch.linalg.svd(taus.sum(dim=0), full_matrices=False)
    left, right, values = [u[:, :8]], [vt[:8].T], [s[:8]]
    for tau in taus:
        p, t, qt = torch.linalg.svd(tau - u[:, :8] @ u[:, :8].T @ tau, full_matrices=False)
        left.append(p[:, :1]), right.append(qt[:1].T), values.append(t[:1])
    expected = torch.cat(values).mean() * polar(torch.cat(left, 1)) @ polar(torch.cat(right, 1)).T
    merged = iso_cts(torch.zeros(10, 12), taus)
    torch.testing.assert_close(merged, expected, rtol=0, atol=1e-5)
    assert (torch.linalg.svdvals(merged) / torch.cat(values).mean() - 1).abs().max() < 1e-5


def test_iso_cts_with_everything_common_is_iso_c():
    taus = vectors()
    torch.testing.assert_close(iso_cts(ZERO, taus, common=1.0), iso_c(ZERO, taus), rtol=0, atol=1e-5)


def test_cart_adds_the_leading_directions_of_what_each_expert_adds_to_the_mean():
    taus, mean = vectors(), vectors().mean(dim=0)
    expected = mean.clone()
    for tau in taus:
        u, s, vt = torch.linalg.svd(tau - mean, full_matrices=False)
        expected += 1.5 * u[:, :2] @ torch.diag(s[:2]) @ vt[:2]
    torch.testing.assert_close(cart(ZERO, taus, prior=1.5, kept=0.4), expected, rtol=0, atol=1e-5)


def test_cart_is_the_mean_where_all_or_opposite_directions_are_added():
    taus = vectors()
    for found, mean in ((cart(ZERO, taus, kept=1.0), taus.mean(dim=0)), (cart(ZERO, taus[:2]), taus[:2].mean(dim=0))):
        torch.testing.assert_close(found, mean, rtol=0, atol=1e-5)


@pytest.mark.parametrize("function", [tsv_m, iso_c, iso_cts, cart])
def test_task_vectors_twice_as_long_go_twice_as_far(function):
    taus = vectors()
    torch.testing.assert_close(function(ZERO, 2 * taus), 2 * function(ZERO, taus), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["tsv-m", "iso-c", "iso-cts", "tsv-m-svc", "iso-cts-svc", "cart", *WUDIS])
def test_what_is_no_matrix_is_averaged(base, experts, method):
    options = {"lam": 1.0} if "lam" in METHODS[method].options else {}
    merged, mean = merge(method, base, experts, **options), merge("weight-average", base, experts)
    for name in (VECTOR, "conv1.weight"):
        torch.testing.assert_close(merged[name], mean[name], rtol=0, atol=1e-7)
    assert not torch.equal(merged[MATRIX], mean[MATRIX])


@pytest.mark.parametrize("method", [*SPECTRAL, *WUDIS])
@pytest.mark.parametrize("tasks", [1, 2, 20])
def test_any_number_of_tasks_gives_finite_numbers_even_more_than_ranks(method, tasks):
    base, experts = random_checkpoints(tasks)          # the smallest side of a matrix here is 5
    assert all(torch.isfinite(tensor).all() for tensor in merge(method, base, experts).values())


@pytest.mark.parametrize("method", [*SPECTRAL, *WUDIS])
def test_a_task_vector_that_is_zero_in_one_matrix_is_borne(base, experts, method):
    for expert in list(experts.values())[:2]:
        expert[MATRIX] = base[MATRIX].clone()
    alone = experts["task-2"][MATRIX] - base[MATRIX]
    step = merge(method, base, experts)[MATRIX] - base[MATRIX]
    assert torch.isfinite(step).all()
    assert torch.nn.functional.cosine_similarity(step.flatten(), alone.flatten(), dim=0) > 0.3


# --- KnOTS

@pytest.mark.parametrize("rank", [None, 2])
def test_aligned_vectors_give_the_task_vectors_back(rank):
    taus = vectors(rank=rank)
    basis, aligned = align(taus)
    torch.testing.assert_close(basis @ aligned, taus, rtol=0, atol=1e-5)
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1]), rtol=0, atol=1e-6)
    assert basis.shape[1] == (6 if rank is None else 6) if rank is None or 3 * rank >= 6 else 3 * rank


def test_lora_vectors_of_few_tasks_have_a_common_basis_of_their_rank():
    basis, aligned = align(vectors(count=2, rank=2))
    assert basis.shape == (6, 4) and aligned.shape == (2, 4, 8)


def test_the_basis_is_the_left_singular_one_of_all_side_by_side():
    taus = vectors()
    left, values, _ = svd(torch.cat(list(taus), dim=1))
    basis, aligned = align(taus)
    torch.testing.assert_close((basis.T @ left).abs(), torch.eye(6), rtol=0, atol=1e-4)
    torch.testing.assert_close(aligned.square().sum(dim=(0, 2)), values.square(), rtol=1e-4, atol=0)


def test_knots_without_trimming_and_conflict_is_task_arithmetic():
    # one task alone has no conflicts, and density 1 trims nothing; the rest is the change of basis and back
    base, experts = random_checkpoints(tasks=1)
    ours, theirs = merge("knots", base, experts, density=1, lam=0.5), merge("task-arithmetic", base, experts, lam=0.5)
    for name in (MATRIX, VECTOR):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-6)


def test_knots_is_ties_between_aligned_vectors():
    taus = vectors()
    state, experts = {"w": ZERO}, {f"t{i}": {"w": tau} for i, tau in enumerate(taus)}
    u, s, vt = torch.linalg.svd(torch.cat(list(taus), dim=1), full_matrices=False)
    aligned = {f"t{i}": {"w": s[:, None] * vt[:, 8 * i:8 * i + 8]} for i in range(3)}
    inside = merge("ties", state, aligned, density=0.3, lam=0.8)["w"]
    torch.testing.assert_close(merge("knots", state, experts, density=0.3, lam=0.8)["w"], u @ inside, rtol=0, atol=1e-4)
