"""Which merges only weigh the task vectors? Averaging, task arithmetic and the norm-based coefficients of DOGE."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from .options import Eta, Lam, Says
from .registry import method
from .tensors import Tensors, along, norms_of, over

LamMax = Annotated[float | None, Says("no coefficient is larger; None: no bound", above=0)]
Scope = Annotated[Literal["layer", "task"], Says("a coefficient for each expert and tensor, or for each expert")]


@method("weight-average", title="Weight Averaging", paper="Wortsman et al. 2022", equation="theta_0 + 1/T sum tau_i",
        url="https://arxiv.org/abs/2203.05482", elementwise=True)
def weight_average(theta_0: Tensor, taus: Tensor) -> Tensor:
    """Mean of the experts: theta_0 + (1/T) sum_i tau_i (Wortsman et al. 2022).

    `theta_0`: any shape; `taus`: T x that shape, fp32. Returns a tensor of theta_0's shape.

    >>> weight_average(torch.zeros(2), torch.tensor([[1., 0.], [0., 2.]]))
    tensor([0.5000, 1.0000])
    """
    return theta_0 + taus.mean(dim=0)           # T x shape -> shape


@method("task-arithmetic", title="Task Arithmetic", paper="Ilharco et al. 2023", equation="theta_0 + lam sum tau_i",
        url="https://arxiv.org/abs/2212.04089", elementwise=True)
def task_arithmetic(theta_0: Tensor, taus: Tensor, lam: Lam = 0.3) -> Tensor:
    """theta_0 + lam sum_i tau_i (Ilharco et al. 2023; DOGE Sec. 3.1). Shapes as in `weight_average`.

    >>> task_arithmetic(torch.zeros(2), torch.tensor([[1., 0.], [0., 2.]]), lam=0.5)
    tensor([0.5000, 1.0000])
    """
    return theta_0 + lam * taus.sum(dim=0)


def scaled_average(theta_0: Tensor, taus: Tensor, lam: Lam = 1.0) -> Tensor:
    """theta_0 + lam times the mean of the task vectors: what the spectral methods make of tensors that are no matrices.

    >>> scaled_average(torch.zeros(2), torch.tensor([[1., 0.], [0., 2.]]), lam=2.0)
    tensor([1., 2.])
    """
    return theta_0 + lam * taus.mean(dim=0)


def weighted(theta_0: Tensor, taus: Tensor, coefficients: Tensor) -> Tensor:
    """theta_0 + sum_i coefficients[i] tau_i: T numbers, norm-based or learned; `taus`: T x theta_0's shape.

    >>> weighted(torch.zeros(2), torch.tensor([[1., 0.], [0., 2.]]), torch.tensor([0.5, 0.25]))
    tensor([0.5000, 0.5000])
    """
    return theta_0 + along(coefficients, taus)


def norm_coefficients(norms: Tensor, eta: float, lam_max: float | None = None) -> Tensor:
    """lam_i = eta / ||tau_i|| (DOGE Eq. 8), at most `lam_max`, for norms of any shape; 0 where a task vector is zero.

    A zero task vector adds nothing whatever its coefficient, and eta / 0 would spoil all that is computed from it.

    >>> norm_coefficients(torch.tensor([0.5, 2.0, 0.0]), eta=1.0, lam_max=1.5)
    tensor([1.5000, 0.5000, 0.0000])
    """
    lam = torch.where(norms > 0, eta / norms.clamp_min(torch.finfo(norms.dtype).tiny), torch.zeros_like(norms))
    return lam if lam_max is None else lam.clamp(max=lam_max)


def coefficients_of(taus: Tensor, eta: float, uniform: bool = False, lam_max: float | None = None) -> Tensor:
    """DOGE's T coefficients of one tensor's `taus` (T x shape): eta / ||tau_i||, or eta for every task if `uniform`.

    `lam_max`: none is larger. On a matrix that fine-tuning hardly touched, as in LoRA, eta / ||tau_i|| has no bound; at 1 no
    task vector becomes longer than its expert's.
    """
    norms = norms_of(taus)
    return torch.full_like(norms, eta) if uniform else norm_coefficients(norms, eta, lam_max)


def eta_by_rule(tensors: Tensors, target: float = 0.3, keys: str | None = None, lam_max: float | None = None) -> float:
    """The eta at which lam_i^l = eta / ||tau_i^l|| is `target` on average over tasks and tensors (DOGE App. B).

    `keys`: pattern of the tensors that count, None for the matrices inside blocks. Task vectors that are zero do not.
    `lam_max`: see `coefficients_of`; it makes up for what it takes off by a larger eta. Raises ValueError if no tensor is left,
    or if `lam_max` is below the target.
    """
    norms = list(over(tensors, norms_of, keys))
    norms = torch.cat(norms) if norms else torch.zeros(0)
    if not (norms > 0).any():
        raise ValueError("No matrix inside a block was fine-tuned, so eta cannot follow the rule for its mean coefficient. "
                         "Give eta=...")
    return _eta_for(norms[norms > 0], target, lam_max)


def _eta_for(norms: Tensor, target: float, lam_max: float | None) -> float:
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


def norm_first_pass(tensors: Tensors, scope: Scope = "layer") -> dict:
    """First pass of `norm_lambda`: with `scope="task"` the T norms over all merged tensors, else nothing."""
    if scope == "layer":
        return {}
    return {"norms": sum(norms.square() for norms in over(tensors, norms_of)).sqrt()}


@method("norm-lambda", title="Norm-based lambda", paper="DOGE", equation="Eq. 8, Table 9",
        url="https://arxiv.org/abs/2501.01230", first_pass=norm_first_pass,
        presets={"paper": {}, "code": {"keys": None}})
def norm_lambda(theta_0: Tensor, taus: Tensor, eta: Eta = 0.07, lam_max: LamMax = None, norms: Tensor | None = None) -> Tensor:
    """theta_0 + sum_i lam_i tau_i with lam_i = eta / ||tau_i|| (DOGE Eq. 8, Table 9), at most `lam_max`.

    `norms`: T norms over the whole checkpoint for the task-wise form; None takes this tensor's own (layer-wise).

    >>> norm_lambda(torch.zeros(2), torch.tensor([[3., 4.], [0., 2.]]), eta=1.0)
    tensor([0.6000, 1.8000])
    """
    norms = norms_of(taus) if norms is None else norms
    return weighted(theta_0, taus, norm_coefficients(norms, eta, lam_max))


OTHERS = {"mean": weight_average, "task-arithmetic": task_arithmetic}        # what becomes of tensors that are not merged
