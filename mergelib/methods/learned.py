"""Which merges solve a small problem of their own, without data? WUDI's interference and AWD's redundant vector."""

from typing import Annotated

import torch
from torch import Tensor

from ..progress import progress
from .linear import task_arithmetic, weight_average
from .options import Rate, Says, Solver, Steps
from .registry import METHODS, Method, method
from .tensors import Tensors, flat

Alpha = Annotated[float, Says("weight of the redundant vector's length", least=0)]
AWD = {"paper": "Xiong et al. 2024", "equation": "L_O + alpha L_R", "url": "https://arxiv.org/abs/2411.18729"}


@method("wudi", title="WUDI-Merging", paper="Cheng et al. 2025", equation="Eq. 14", url="https://arxiv.org/abs/2503.08099",
        fallback=weight_average, merges="matrices; the mean of the rest", presets={"paper": {}, "exact": {"solver": "exact"}})
def wudi(theta_0: Tensor, taus: Tensor, solver: Solver = "adam", steps: Steps = 300, lr: Rate = 1e-5) -> Tensor:
    """WUDI-Merging (Cheng et al. 2025, Eq. 14): theta_0 + W, W minimising sum_i ||(W - tau_i) tau_i^T||^2 / ||tau_i||^2.

    `taus`: T x rows x columns. W starts at sum_i tau_i. `solver`: "adam" takes `steps` steps of rate `lr` as published, "exact"
    gives the minimum nearest to the start (in fp64: directions of next to no weight are none).
    """
    exact = solver == "exact"
    taus = taus.double() if exact else taus
    weight = 1 / taus.square().sum(dim=(1, 2)).clamp_min(torch.finfo(theta_0.dtype).tiny)
    grams = taus.mT @ taus * weight[:, None, None]          # T x columns x columns; the gradient is 2 sum_i (W - tau_i) grams_i
    start, total = taus.sum(dim=0), grams.sum(dim=0)
    target = (taus @ grams).sum(dim=0)                      # rows x columns
    if exact:
        moved = (target - start @ total) @ torch.linalg.pinv(total, rtol=1e-6, hermitian=True)
        return theta_0 + (start + moved).to(theta_0.dtype)
    w = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([w], lr=lr)
    for _ in range(steps):
        w.grad = 2 * (w.detach() @ total - target)
        optimiser.step()
    return theta_0 + w.detach()


def disentangled(taus: Tensor, redundant: Tensor) -> Tensor:
    """The task vectors without what AWD finds redundant in all of them: tau_i - delta, T x shape."""
    return taus - redundant


def awd_first_pass(tensors: Tensors, alpha: Alpha = 0.1, awd_steps: Steps = 300, awd_lr: Rate = 1e-4) -> dict:
    """First pass of `disentangled` (Xiong et al. 2024): delta minimising mean_{i != j} |cos(tau_i - delta, tau_j - delta)|
    + alpha ||delta||, one vector for the whole checkpoint, by Adam from zero.

    A vanishing delta has no gradient of its norm, which is then taken as zero. No code was released. The rate that a third
    party gives, 0.01, is many times the entries of a task vector; the default is of their size.
    """
    parts = [(name, taus) for name, _, taus in tensors()]
    whole = torch.cat([flat(taus) for _, taus in parts], dim=1)               # T x entries of the checkpoint
    gram, redundant = whole @ whole.T, torch.zeros_like(whole[0], requires_grad=True)
    optimiser = torch.optim.Adam([redundant], lr=awd_lr)
    for _ in progress(range(awd_steps), "finding the redundant vector", delay=2):
        optimiser.zero_grad()
        redundancy(gram, whole @ redundant, redundant.square().sum(), alpha).backward()
        optimiser.step()
    pieces = redundant.detach().split([taus[0].numel() for _, taus in parts])
    return {"each": {name: {"redundant": piece.reshape(taus.shape[1:])} for (name, taus), piece in zip(parts, pieces)}}


METHODS["awd-ta"] = Method("AWD TA", tensor=task_arithmetic, transforms=((disentangled, awd_first_pass),),
                           holds="all task vectors and one more", **AWD)


def redundancy(gram: Tensor, products: Tensor, square: Tensor, alpha: float) -> Tensor:
    """AWD's loss of a redundant vector delta from its inner products, which takes two passes over the task vectors, not twelve.

    `gram`: <tau_i, tau_j>, T x T; `products`: <tau_i, delta>, T; `square`: ||delta||^2. One task alone has no cosine.
    """
    inner = gram - products[:, None] - products + square          # <tau_i - delta, tau_j - delta>, T x T
    lengths = inner.diagonal().clamp_min(1e-12 * gram.diagonal().mean()).sqrt()
    overlap = (inner / (lengths[:, None] * lengths)).fill_diagonal_(0).abs().sum() / max(1, len(gram) * (len(gram) - 1))
    return overlap + alpha * torch.where(square > 0, square, 1).sqrt() * (square > 0)
