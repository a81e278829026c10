"""How can one vector serve every task, when the task is known at inference? EMR's elected vector, masks and scales."""

import torch


def elected(taus):
    """EMR's unified task vector (Huang et al. 2024, Eq. 2): the sign of sum_i tau_i, the greatest magnitude that has this sign.

    `taus`: T x shape, gives shape. Where the sum is zero the sign is minus, as in the released code.
    """
    sign = torch.where(taus.sum(dim=0) > 0, 1.0, -1.0).to(taus.dtype)
    return sign * (taus * sign).clamp_min(0).amax(dim=0)


def emr(theta_0, taus, scales):
    """EMR-Merging (Huang et al. 2024, Eq. 3 to 5): theta_0 + s_i m_i tau_uni for each task, T x shape.

    tau_uni: see `elected`; m_i: where tau_i has its sign; `scales`: s_i, T numbers from `emr_first_pass`.
    """
    unified = elected(taus)
    return theta_0 + scales.reshape(-1, *[1] * (taus.dim() - 1)) * (taus * unified > 0) * unified


def emr_first_pass(tensors, average="sum"):
    """First pass of `emr`: s_i = sum |tau_i| / sum |m_i tau_uni| over the whole checkpoint (T numbers; 1 where that is 0 / 0).

    `average`: "sum" over all entries, as printed, or "means", the sum of each tensor's mean, as released.
    """
    sizes = torch.zeros(2, 1)
    for _, _, taus in tensors():
        unified = elected(taus)
        both = torch.stack([taus.abs(), ((taus * unified > 0) * unified).abs()]).flatten(2)
        sizes = sizes.to(taus.device) + (both.sum(dim=2) if average == "sum" else both.mean(dim=2))
    return {"scales": torch.where(sizes[1] > 0, sizes[0] / sizes[1].clamp_min(1e-30), torch.ones_like(sizes[1]))}
