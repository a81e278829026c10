"""What do all task vectors share that none needs? AWD's redundant vector, learned without data."""

from typing import Annotated

import torch
from torch import Tensor

from ..progress import progress
from .linear import task_arithmetic
from .options import Rate, Says, Steps
from .registry import METHODS, Method
from .tensors import Tensors, flat

Alpha = Annotated[float, Says("weight of the redundant vector's length", least=0)]
AWD = {"paper": "Xiong et al. 2024", "equation": "L_O + alpha L_R", "url": "https://arxiv.org/abs/2411.18729"}


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
