"""What becomes of a merge whose singular values count what tasks share more than once? SVC, after another method's merge."""

from typing import Annotated

import torch
from torch import Tensor

from .linear import task_arithmetic
from .options import Common, Lam, Says
from .registry import method
from .spectral import EPS, MATRICES, iso_cts_factors, leading, tsv_m

Alpha = Annotated[float | None, Says("what a task's share in a direction is at least; None: 1 / T", above=0)]
SVC = {"paper": "Li et al. 2026", "equation": "gamma_r = T / sum_i max(alpha, s_i^r)", "url": "https://arxiv.org/abs/2602.05536"}


def calibrated(left: Tensor, values: Tensor, right: Tensor, taus: Tensor, alpha: float | None = None) -> Tensor:
    """SVC (Li et al. 2026) of a merged matrix U diag(s) V^T: each sigma_r times gamma_r = T / sum_i max(alpha, s_i^r).

    s_i^r = <sigma_r v_r, a_i> / ||a_i||^2 with a_i = u_r^T tau_i: how much of task i's response the merge has in direction r.
    `left`: rows x k, `values`: k, `right`: columns x k, `taus`: T x rows x columns; gives rows x columns. Where a task has no
    response s is 0. The released code differs: it takes max(alpha, mean of s), and 1 where any s is negative.

    >>> calibrated(torch.eye(2), torch.tensor([4., 1.]), torch.eye(2), torch.tensor([[[2., 0.], [0., 1.]]] * 2))
    tensor([[2., 0.],
            [0., 1.]])
    """
    responses = left.T @ taus                                                       # T x k x columns
    squares, lengths = responses.square().sum(dim=2), taus.square().sum(dim=(1, 2))
    there = squares > (EPS * max(taus.shape[1:])) ** 2 * lengths[:, None]           # T x k, by the rule of `spectral.leading`
    shares = torch.where(there, (responses @ right).diagonal(dim1=1, dim2=2) * values / torch.where(there, squares, 1), 0)
    gamma = len(taus) / shares.clamp_min(alpha or 1 / len(taus)).sum(dim=0)
    return left * (gamma * values) @ right.T


def of_matrix(merged: Tensor, taus: Tensor, alpha: float | None) -> Tensor:
    """`calibrated`, of a merged task vector (rows x columns) with the singular vectors that it has."""
    return calibrated(*leading(merged, min(merged.shape)), taus, alpha)


@method("ta-svc", title="Task Arithmetic & SVC", fallback=task_arithmetic, merges="matrices; task arithmetic of the rest",
        **SVC)
def ta_svc(theta_0: Tensor, taus: Tensor, lam: Lam = 0.3, alpha: Alpha = None) -> Tensor:
    """Task arithmetic, its singular values calibrated (see `calibrated`); `taus`: T x rows x columns.

    For matrices `lam` matters only where a share falls below `alpha`.

    >>> ta_svc(torch.zeros(1, 2), torch.tensor([[[2., 0.]], [[2., 0.]]]))
    tensor([[2., 0.]])
    """
    return theta_0 + of_matrix(task_arithmetic(torch.zeros_like(theta_0), taus, lam), taus, alpha)


@method("tsv-m-svc", title="TSV-M & SVC", **SVC, **MATRICES)
def tsv_m_svc(theta_0: Tensor, taus: Tensor, lam: Lam = 1.0, alpha: Alpha = 1.0) -> Tensor:
    """TSV-M, its singular values calibrated (see `calibrated`): with alpha 1 none becomes larger; `taus`: T x rows x columns.

    >>> tsv_m_svc(torch.zeros(2, 2), torch.tensor([[[2., 0.], [0., 0.]], [[0., 0.], [0., 1.]]]))
    tensor([[2., 0.],
            [0., 1.]])
    """
    return theta_0 + of_matrix(tsv_m(torch.zeros_like(theta_0), taus, lam), taus, alpha)


@method("iso-cts-svc", title="Iso-CTS & SVC", defaults={"lam": 1.5}, **SVC, **MATRICES)
def iso_cts_svc(theta_0: Tensor, taus: Tensor, lam: Lam = 1.0, common: Common = 0.8, alpha: Alpha = None) -> Tensor:
    """Iso-CTS, its singular values calibrated (see `calibrated`); `taus`: T x rows x columns.

    They are all equal, so that any orthonormal vectors are singular vectors of this merge, and a decomposition gives what
    roundings make of it. Here they are those of which Iso-CTS is made.
    """
    left, value, right = iso_cts_factors(taus, common)
    return theta_0 + calibrated(left, (lam * value).expand(left.shape[1]), right, taus, alpha)
