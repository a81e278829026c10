"""Which merges only weigh the task vectors? Averaging, task arithmetic and the norm-based coefficients of DOGE."""

import torch

from .tensors import along, norms_of, over

# The matrices inside the transformer blocks, the only tensors that DOGE's released code merges
# (open_clip's names and Hugging Face's); of T5's those to which it says to keep, queries and values, where LoRA is.
ENCODER_MATRICES = r"(resblocks|encoder\.layers)\..*(attn|mlp)\..*weight|Attention\.[qv]\.weight"


def weight_average(theta_0, taus):
    """Mean of the experts: theta_0 + (1/T) sum_i tau_i (method card 4).

    `theta_0`: any shape; `taus`: T x that shape, fp32. Returns a tensor of theta_0's shape.
    """
    return theta_0 + taus.mean(dim=0)


def task_arithmetic(theta_0, taus, lam=0.3):
    """theta_0 + lam sum_i tau_i (Ilharco et al. 2023; DOGE Sec. 3.1). Shapes as in `weight_average`.

    >>> task_arithmetic(torch.zeros(2), torch.tensor([[1., 0.], [0., 2.]]), lam=0.5)
    tensor([0.5000, 1.0000])
    """
    return theta_0 + lam * taus.sum(dim=0)


def weighted(theta_0, taus, coefficients):
    """theta_0 + sum_i coefficients[i] tau_i: T numbers, norm-based or learned; `taus`: T x theta_0's shape."""
    return theta_0 + along(coefficients, taus)


def norm_coefficients(norms, eta, lam_max=None):
    """lam_i = eta / ||tau_i|| (DOGE Eq. 8), at most `lam_max`, for norms of any shape; 0 where a task vector is zero.

    A zero task vector adds nothing whatever its coefficient, and eta / 0 would spoil all that is computed from it.
    """
    lam = torch.where(norms > 0, eta / norms.clamp_min(torch.finfo(norms.dtype).tiny), torch.zeros_like(norms))
    return lam if lam_max is None else lam.clamp(max=lam_max)


def coefficients_of(taus, eta, uniform=False, lam_max=None):
    """DOGE's T coefficients of one tensor's `taus` (T x shape): eta / ||tau_i||, or eta for every task if `uniform`.

    `lam_max`: none is larger. On a matrix that fine-tuning hardly touched, as in LoRA, eta / ||tau_i|| has no bound; at 1 no
    task vector becomes longer than its expert's.
    """
    norms = norms_of(taus)
    return torch.full_like(norms, eta) if uniform else norm_coefficients(norms, eta, lam_max)


def eta_by_rule(tensors, target=0.3, keys=ENCODER_MATRICES, lam_max=None):
    """The eta at which lam_i^l = eta / ||tau_i^l|| is `target` on average over tasks and tensors (DOGE App. B).

    `tensors()` yields (name, theta_0, taus); `keys`: pattern of the tensors that count. Task vectors that are zero do not.
    `lam_max`: see `coefficients_of`; it makes up for what it takes off by a larger eta. Raises ValueError if no tensor is
    left, or if `lam_max` is below the target.
    """
    norms = list(over(tensors, norms_of, keys))
    norms = torch.cat(norms) if norms else torch.zeros(0)
    if not (norms > 0).any():
        raise ValueError("No transformer matrix was fine-tuned, or none has a known name, so eta cannot follow the rule for "
                         "its mean coefficient. Give eta=...")
    return _eta_for(norms[norms > 0], target, lam_max)


def _eta_for(norms, target, lam_max):
    """The eta at which the mean of eta / norm, at most `lam_max` each, is the target."""
    if lam_max is None:
        return target / (1 / norms).mean().item()
    if lam_max < target:
        raise ValueError(f"lam_max is {lam_max}, so the coefficients cannot be {target} on average. Give a larger lam_max.")
    norms = norms.double().sort().values
    for capped in range(len(norms)):        # the more of the smallest norms are capped, the larger eta
        eta = (target * len(norms) - (capped and capped * lam_max)) / (1 / norms[capped:]).sum().item()
        if eta / norms[capped] <= lam_max:
            return eta
    return lam_max * norms[-1].item()


def norm_lambda(theta_0, taus, eta=0.07, norms=None, lam_max=None):
    """theta_0 + sum_i lam_i tau_i with lam_i = eta / ||tau_i|| (DOGE Eq. 8, Table 9), at most `lam_max`.

    `norms`: T norms over the whole checkpoint for the task-wise form; None takes this tensor's own (layer-wise).
    """
    norms = norms_of(taus) if norms is None else norms
    return weighted(theta_0, taus, norm_coefficients(norms, eta, lam_max))


def norm_first_pass(tensors, scope="layer"):
    """First pass of `norm_lambda`: with `scope="task"` the T norms over all merged tensors, else nothing."""
    if scope == "layer":
        return {}
    if scope != "task":
        raise ValueError(f"scope is {scope!r}; give 'layer' (one coefficient per tensor) or 'task' (one per expert).")
    return {"norms": sum(norms.square() for norms in over(tensors, norms_of)).sqrt()}
