"""SVC: are singular values divided by what tasks have of them, and does nothing else change?"""

import pytest
import torch

from mergelib.methods.calibration import iso_cts_svc, ta_svc, tsv_m_svc
from mergelib.methods.linear import task_arithmetic
from mergelib.methods.spectral import iso_cts, iso_cts_factors, tsv_m

ZERO = torch.zeros(6, 8)
TAUS = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0)) + torch.ones(6, 8)       # something is shared


def printed(left, values, right, taus, alpha):
    """SVC as it is printed, direction by direction and task by task."""
    total = torch.zeros(taus.shape[1:])
    for u, sigma, v in zip(left.T, values, right.T):
        merged, parts = sigma * v, [u @ tau for tau in taus]
        shares = [(merged @ part / part.square().sum()).item() for part in parts]
        total += sigma * len(taus) / sum(max(alpha, share) for share in shares) * torch.outer(u, v)
    return total


@pytest.mark.parametrize("function, merge, alpha", [(ta_svc, task_arithmetic, 1 / 3), (tsv_m_svc, tsv_m, 1.0)])
@pytest.mark.parametrize("lam", [0.3, 1.0])
def test_svc_is_what_is_printed(function, merge, alpha, lam):
    left, values, right = torch.linalg.svd(merge(ZERO, TAUS, lam=lam), full_matrices=False)
    expected = printed(left, values, right.T, TAUS, alpha)
    torch.testing.assert_close(function(ZERO, TAUS, lam=lam), expected, rtol=0, atol=2e-5)      # shares divide by small squares


def test_svc_of_iso_cts_is_what_is_printed_for_the_vectors_of_which_it_is_made():
    left, value, right = iso_cts_factors(TAUS, 0.8)
    torch.testing.assert_close((left * value) @ right.T, iso_cts(ZERO, TAUS), rtol=0, atol=1e-6)
    expected = printed(left, value.expand(6), right, TAUS, 1 / 3)
    torch.testing.assert_close(iso_cts_svc(ZERO, TAUS), expected, rtol=0, atol=2e-5)


def test_what_all_tasks_share_counts_once_whatever_lam():
    for lam in (0.3, 1.0, 7.0):         # the share is lam T in every direction, above 1 / T
        torch.testing.assert_close(ta_svc(ZERO, TAUS[:1].expand(4, 6, 8), lam=lam), TAUS[0], rtol=0, atol=1e-5)


def test_no_singular_value_grows_where_alpha_is_one():
    before, after = (torch.linalg.svdvals(function(ZERO, TAUS)) for function in (tsv_m, tsv_m_svc))
    assert (after <= before + 1e-5).all() and (after < before - 0.1).any()


def test_a_task_without_a_response_counts_as_alpha():
    taus = torch.zeros(2, 2, 2)
    taus[0, 0, 0], taus[1, 1, 1] = 2.0, 1.0
    # each direction has a share of 1 in one task and none in the other: 2 / (1 + alpha)
    found, alone = ta_svc(torch.zeros(2, 2), taus, lam=1.0, alpha=0.25), taus.sum(dim=0)
    torch.testing.assert_close(found, alone * 2 / 1.25, rtol=0, atol=1e-6)


def test_a_task_that_hardly_touched_a_matrix_calls_the_others_off():
    """As printed: its share of the merge in a direction is without bound, so that next to nothing is left of that."""
    more = torch.cat([TAUS, 1e-9 * torch.ones(1, 6, 8)])
    assert ta_svc(ZERO, more).abs().max() < 1e-6


@pytest.mark.parametrize("function", [ta_svc, tsv_m_svc, iso_cts_svc])
def test_zeros_and_lengths(function):
    assert torch.equal(function(TAUS[0], torch.zeros(2, 6, 8)), TAUS[0])
    assert torch.isfinite(function(ZERO, torch.cat([TAUS, torch.zeros(1, 6, 8)]))).all()
    torch.testing.assert_close(function(ZERO, 4 * TAUS), 4 * function(ZERO, TAUS), rtol=0, atol=1e-5)
    torch.testing.assert_close(function(ZERO, TAUS[[2, 0, 1]]), function(ZERO, TAUS), rtol=0, atol=1e-4)    # by small squares
