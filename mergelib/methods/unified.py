"""How can one vector serve every task, when the task is known at inference? EMR's elected vector, masks and scales."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from .options import Says
from .registry import method
from .sparse import ONE_EACH, two_and_masks
from .tensors import Tensors, per_task

Average = Annotated[Literal["sum", "means"], Says("over all entries, as printed, or of each tensor's mean, as released")]


def elected(taus: Tensor) -> Tensor:
    """EMR's unified task vector (Huang et al. 2024, Eq. 2): the sign of sum_i tau_i, the greatest magnitude that has this sign.

    `taus`: T x shape, gives shape. Where the sum is zero the sign is minus, as in the released code.

    >>> elected(torch.tensor([[1., -3.], [2., 1.]]))
    tensor([ 2., -3.])
    """
    sign = torch.where(taus.sum(dim=0) > 0, 1.0, -1.0).to(taus.dtype)         # T x shape -> shape
    return sign * (taus * sign).clamp_min(0).amax(dim=0)


def emr_first_pass(tensors: Tensors, average: Average = "sum") -> dict:
    """First pass of `emr`: s_i = sum |tau_i| / sum |m_i tau_uni| over the checkpoint (T numbers; 1 where that is 0 / 0)."""
    sizes = torch.zeros(2, 1)
    for _, _, taus in tensors():
        unified = elected(taus)
        both = torch.stack([taus.abs(), ((taus * unified > 0) * unified).abs()]).reshape(2, len(taus), -1)     # 2 x T x numel
        sizes = sizes.to(taus.device) + (both.sum(dim=2) if average == "sum" else both.mean(dim=2))
    return {"scales": torch.where(sizes[1] > 0, sizes[0] / sizes[1].clamp_min(1e-30), torch.ones_like(sizes[1]))}


@method("emr", title="EMR-Merging", paper="Huang et al. 2024", equation="Eq. 2 to 5", url="https://arxiv.org/abs/2405.17461",
        first_pass=emr_first_pass, per_task=True, inference=ONE_EACH, stores=two_and_masks,
        presets={"paper": {}, "code": {"average": "means"}})
def emr(theta_0: Tensor, taus: Tensor, scales: Tensor) -> Tensor:
    """EMR-Merging (Huang et al. 2024, Eq. 3 to 5): theta_0 + s_i m_i tau_uni for each task, T x shape.

    tau_uni: see `elected`; m_i: where tau_i has its sign; `scales`: s_i, T numbers from `emr_first_pass`.

    >>> emr(torch.zeros(2), torch.tensor([[1., -3.], [2., -1.]]), torch.tensor([1., 0.5]))
    tensor([[ 2.0000, -3.0000],
            [ 1.0000, -1.5000]])
    """
    unified = elected(taus)
    return theta_0 + per_task(scales, taus) * (taus * unified > 0) * unified
