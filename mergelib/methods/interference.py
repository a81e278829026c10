"""Which merges minimise WUDI's interference sum_i ||(W - tau_i) tau_i^T||^2 / ||tau_i||^2? WUDI and three ways to stop early.

With C = sum_i tau_i^T tau_i / ||tau_i||^2 and D = sum_i tau_i tau_i^T tau_i / ||tau_i||^2 half its gradient is W C - D.
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from .linear import weight_average
from .options import Kept, Rate, Says, Solver, Steps
from .registry import method
from .spectral import EPS

Time = Annotated[float, Says("t of the gradient flow, which stops there", above=0)]
TimeOrEnd = Annotated[float | None, Says("t of the gradient flow, which stops there; None: its end", above=0)]
MATRICES = {"fallback": weight_average, "merges": "matrices; the mean of the rest"}
SPECTRAL = {"paper": "Wei et al. 2026", "url": "https://arxiv.org/abs/2606.07289", **MATRICES}


@method("wudi", title="WUDI-Merging", paper="Cheng et al. 2025", equation="Eq. 14", url="https://arxiv.org/abs/2503.08099",
        presets={"paper": {}, "exact": {"solver": "exact"}}, **MATRICES)
def wudi(theta_0: Tensor, taus: Tensor, solver: Solver = "adam", steps: Steps = 300, lr: Rate = 1e-5) -> Tensor:
    """WUDI-Merging (Cheng et al. 2025, Eq. 14): theta_0 + W, W minimising sum_i ||(W - tau_i) tau_i^T||^2 / ||tau_i||^2.

    `taus`: T x rows x columns. W starts at sum_i tau_i. `solver`: "adam" takes `steps` steps of rate `lr` as published, "exact"
    gives the minimum nearest to the start (in fp64: directions of next to no weight are none).
    """
    exact = solver == "exact"
    start, total, target = quadratic(taus.double() if exact else taus, theta_0.dtype)
    if exact:
        moved = (target - start @ total) @ torch.linalg.pinv(total, rtol=1e-6, hermitian=True)
        return theta_0 + (start + moved).to(theta_0.dtype)
    w = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([w], lr=lr)
    for _ in range(steps):
        w.grad = 2 * (w.detach() @ total - target)
        optimiser.step()
    return theta_0 + w.detach()


def quadratic(taus: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Where W starts, sum_i tau_i (rows x columns), and the interference's C (columns x columns) and D (rows x columns).

    `taus`: T x rows x columns; `dtype`: the one they come from. A task vector that is zero adds nothing.
    """
    weight = 1 / taus.square().sum(dim=(1, 2)).clamp_min(torch.finfo(dtype).tiny)
    grams = taus.mT @ taus * weight[:, None, None]          # T x columns x columns; the gradient is 2 sum_i (W - tau_i) grams_i
    return taus.sum(dim=0), grams.sum(dim=0), (taus @ grams).sum(dim=0)


def directions(total: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """C's eigenvalues, largest first, and its eigenvectors (columns x k), without those that are numerically zero.

    Their roots are the singular values of all tau_i / ||tau_i||, one below the other: the rule for a zero is that of
    `spectral.leading`.

    >>> directions(torch.diag(torch.tensor([0., 1., 4.])).double(), rows=2)[0]
    tensor([4., 1.], dtype=torch.float64)
    """
    values, basis = torch.linalg.eigh(total)
    kept = values > (EPS * max(rows, len(total))) ** 2 * values[-1]
    return values[kept].flip(0), basis[:, kept].flip(1)


def regularised(taus: Tensor, dtype: torch.dtype, reached: Callable[[Tensor], Tensor]) -> Tensor:
    """W = W_0 + (D - W_0 C) Q diag(h / lambda) Q^T with W_0 = sum_i tau_i, C = Q diag(lambda) Q^T; in fp64.

    `reached`: gives h, how much of the way to the minimum is gone in each direction, from the eigenvalues, largest first.
    """
    start, total, target = quadratic(taus.double(), dtype)
    values, basis = directions(total, taus.shape[1])
    return start + (target - start @ total) @ (basis * (reached(values) / values)) @ basis.T


def first(values: Tensor, count: float) -> Tensor:
    """1 for the first `count` values, rounded up, 0 for the rest."""
    return (torch.arange(len(values), device=values.device) < math.ceil(round(count, 6))).to(values)


def flowed(values: Tensor, t: float | None) -> Tensor:
    """How far the gradient flow comes until `t` in a direction of eigenvalue lambda: 1 - exp(-t lambda); None: to the end."""
    return torch.ones_like(values) if t is None else -torch.expm1(-t * values)


@method("swudi", title="SWUDI", equation="filter 1[k <= K] (1 - exp(-t lambda_k))", **SPECTRAL)
def swudi(theta_0: Tensor, taus: Tensor, t: Time = 1300.0, kept: Kept = 0.65) -> Tensor:
    """SWUDI (Wei et al. 2026): theta_0 + W, W where the gradient flow of WUDI's objective is at `t`, in leading directions.

    `taus`: T x rows x columns; K = `kept` columns, rounded up. The authors tune both numbers: the defaults are theirs for
    ViT-B/32; for ViT-B/16 t is 1800, for Llama-3.2-3B 300 with 0.85 kept.

    >>> swudi(torch.zeros(1, 2), torch.tensor([[[1., 0.]], [[1., 2.]]]), kept=1.0)
    tensor([[1., 2.]])
    """
    def reached(values):
        return first(values, kept * taus.shape[2]) * flowed(values, t)
    return theta_0 + regularised(taus, theta_0.dtype, reached).to(theta_0.dtype)


@method("swudi-a", title="SWUDI-A", equation="filter 1[k <= K], K = (sum sigma)^2 / sum sigma^2", **SPECTRAL)
def swudi_a(theta_0: Tensor, taus: Tensor, t: TimeOrEnd = None) -> Tensor:
    """SWUDI-A (Wei et al. 2026): as SWUDI, with as many directions as each matrix's spectrum says.

    `taus`: T x rows x columns; K = (sum sigma)^2 / sum sigma^2, rounded up, of sigma = sqrt(lambda). As released, which is how
    the published numbers were made, each of the K directions goes the whole way to the minimum; with `t` as far as in SWUDI.
    """
    def reached(values):
        share = values.sqrt().sum().square() / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
        return first(values, share.item()) * flowed(values, t)
    return theta_0 + regularised(taus, theta_0.dtype, reached).to(theta_0.dtype)


@method("early-cg", title="Stopped CG", paper="ours", equation="CG on W C = D", url="", **MATRICES)
def early_cg(theta_0: Tensor, taus: Tensor, cg_steps: Steps = 8) -> Tensor:
    """theta_0 + W, W after a few conjugate-gradient steps from sum_i tau_i towards the minimum of WUDI's objective.

    `taus`: T x rows x columns. The equations W C = D of all rows are one system; in fp64, without preconditioner. It stops
    before `cg_steps` where the residual is 1e-7 of D, which is what fp32 leaves of it. A step costs one product with C.

    >>> early_cg(torch.zeros(1, 2), torch.tensor([[[1., 0.]], [[1., 2.]]]), cg_steps=2)
    tensor([[1., 2.]])
    """
    w, total, target = quadratic(taus.double(), theta_0.dtype)
    residual = way = target - w @ total
    square, least = residual.square().sum(), 1e-14 * target.square().sum()
    for _ in range(cg_steps):
        if square <= least:
            break
        image = way @ total
        length = square / (way * image).sum()
        w, residual, before = w + length * way, residual - length * image, square
        square = residual.square().sum()
        way = residual + square / before * way
    return theta_0 + w.to(theta_0.dtype)
