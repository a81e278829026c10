"""Which entries of the task vectors are kept? DARE's random masks, the masks of TALL and Consensus, and PCB's scores."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from .linear import task_arithmetic
from .options import Density, Lam, MaskLam, Says, Seed
from .registry import METHODS, Method, method
from .tensors import Tensors, flat, keyed, per_task
from .ties import agreeing, ties, ties_first_pass

Drop = Annotated[float, Says("chance with which an entry is dropped", least=0, below=1)]
Active = Annotated[int, Says("tasks whose masks have to agree in an entry", least=0)]
Scores = Annotated[Literal["code", "paper"], Says("as released for vision, or as the text prints them")]
Quantile = Annotated[float, Says("of the magnitudes that are clamped, at either end", least=0, below=0.5)]
ONE_EACH = "the task's model, made when its name is known"


def two_and_masks(base: dict, count: int, **_) -> float:
    """What is stored, in models of 32-bit numbers: the base, one vector, and a bit per task and entry."""
    return 2 + count / 32


# --- DARE -------------------------------------------------------------------------------------------------------------

def dare_vectors(taus: Tensor, tasks: tuple, name: str = "this tensor", drop: Drop = 0.5, seed: Seed = 0,
                 generators: dict | None = None) -> Tensor:
    """DARE (Yu et al. 2024, Eq. 2): each entry is dropped with probability `drop`, the others are divided by 1 - drop.

    `taus`: T x shape; `tasks`: T names. The mask depends on (seed, task, tensor's name) alone, so neither the order of the
    tasks nor that of the tensors changes it. Its mean is the task vector. `generators`: a dict, the same one for a tensor's
    pieces in their order.
    """
    generators = {} if generators is None else generators
    if not generators:
        generators.update((task, keyed(seed, task, name)) for task in tasks)
    kept = torch.stack([torch.rand(taus.shape[1:], generator=generators[task]) >= drop for task in tasks])
    return (taus * kept.to(taus.device)).div_(1 - drop)


# FusionBench's constants; the paper tunes the fraction dropped
DARE = {"paper": "Yu et al. 2024", "equation": "Eq. 2", "url": "https://arxiv.org/abs/2311.03099", "elementwise": True,
        "transforms": ((dare_vectors, None),)}
METHODS["dare"] = Method("DARE", tensor=task_arithmetic, **DARE)
METHODS["dare-ties"] = Method("DARE Ties-Merging", tensor=ties, first_pass=ties_first_pass,
                              defaults={"lam": 0.5, "combine": "sum"}, **DARE)


# --- TALL masks and Consensus -----------------------------------------------------------------------------------------

def tall_masks(taus: Tensor, merged_tau: Tensor, mask_lam: float | dict, tasks: tuple) -> Tensor:
    """TALL masks (Wang et al. 2024, Eq. 5): where |tau_t| > lam_t |tau_MT - tau_t|, T x shape.

    `merged_tau`: tau_MT, shape; `mask_lam`: lam_t, one number or a mapping from task to number, which ValueError asks for.
    """
    if isinstance(mask_lam, dict) and (missing := sorted(set(tasks) - set(mask_lam))):
        raise ValueError(f"mask_lam has no number for {', '.join(missing)}. Give one number, or one for each task.")
    lams = torch.tensor([mask_lam[task] if isinstance(mask_lam, dict) else mask_lam for task in tasks])
    return taus.abs() > per_task(lams, taus) * (merged_tau - taus).abs()


def consensus(theta_0: Tensor, taus: Tensor, tasks: tuple, lam: Lam = 0.3, mask_lam: MaskLam = 0.4, active: Active = 2,
              thresholds: Tensor | None = None, majority: Tensor | None = None) -> Tensor:
    """Consensus merging (Wang et al. 2024, Sec. 4.2): theta_0 + lam tau_MT where at least `active` tasks' TALL masks agree.

    tau_MT is sum_i tau_i, or with `thresholds` and `majority` (from `ties_first_pass`) what TIES sums up.

    >>> taus = torch.tensor([[1., 0.], [1., 3.]])
    >>> consensus(torch.zeros(2), taus, ("a", "b"), lam=1.0)
    tensor([2., 0.])
    """
    merged_tau = (taus if thresholds is None else agreeing(taus, thresholds, majority)).sum(dim=0)
    votes = tall_masks(taus, merged_tau, mask_lam, tasks).sum(dim=0)          # T x shape -> shape
    return theta_0 + lam * merged_tau * (votes >= active)


CONSENSUS = {"paper": "Wang et al. 2024", "equation": "Eq. 5, Sec. 4.2", "url": "https://arxiv.org/abs/2405.07813"}
METHODS["consensus-ta"] = Method("Consensus TA", tensor=consensus, **CONSENSUS)
METHODS["consensus-ties"] = Method("Consensus Ties-Merging", tensor=consensus, first_pass=ties_first_pass, **CONSENSUS)


@method("tall-compression", title="TALL compression", paper="Wang et al. 2024", equation="Eq. 6", url=CONSENSUS["url"],
        per_task=True, inference=ONE_EACH, stores=two_and_masks)
def tall_compression(theta_0: Tensor, taus: Tensor, tasks: tuple, mask_lam: MaskLam = 0.4) -> Tensor:
    """TALL compression (Wang et al. 2024, Eq. 6): theta_0 + m_t tau_MT for each task, T x shape; tau_MT = sum_i tau_i.

    >>> tall_compression(torch.zeros(2), torch.tensor([[1., 0.], [1., 3.]]), ("a", "b"))
    tensor([[2., 0.],
            [2., 3.]])
    """
    merged_tau = taus.sum(dim=0)
    return theta_0 + tall_masks(taus, merged_tau, mask_lam, tasks) * merged_tau


# --- PCB-Merging ------------------------------------------------------------------------------------------------------

def pcb_first_pass(tensors: Tensors, scores: Scores = "code", density: Density = 0.05, quantile: Quantile = 0.01) -> dict:
    """First pass of `pcb`: each tensor's scales and clamped task vectors, ranked over whole task vectors (in memory).

    `scores`: "code", as released for vision (`pcb.py`: exp and tanh, magnitudes clamped to their `quantile` and 1 -
    `quantile`), or "paper", the text's softmax (Eq. 3 to 5, nothing clamped). The highest `density` of each task's scores are
    not zero.
    """
    parts = [(name, taus) for name, _, taus in tensors()]
    whole = torch.cat([flat(taus) for _, taus in parts], dim=1)               # T x entries of the checkpoint
    if scores == "code":
        low, high = (_quantiles(whole.abs(), q) for q in (quantile, 1 - quantile))
        whole = torch.sign(whole) * whole.abs().clamp(low, high)
    raw = pcb_scores(whole) if scores == "code" else pcb_text_scores(whole)
    floor = _quantiles(raw, 1 - density)
    scales = span_norm(raw.clamp_min(floor)) if scores == "code" else raw * (raw >= floor)
    sizes = [taus[0].numel() for _, taus in parts]
    pieces = zip(parts, scales.split(sizes, dim=1), whole.split(sizes, dim=1))
    return {"each": {name: {"scales": scale.reshape(taus.shape), "clamped": clamped.reshape(taus.shape)}
                     for (name, taus), scale, clamped in pieces}}


@method("pcb", title="PCB-Merging", paper="Du et al. 2024", equation="Eq. 3 to 6", url="https://arxiv.org/abs/2410.02396",
        first_pass=pcb_first_pass, holds="scores and clamped task vectors of every expert",
        presets={"paper": {"scores": "paper"}, "code": {}})
def pcb(theta_0: Tensor, taus: Tensor, scales: Tensor, clamped: Tensor, lam: Lam = 1.2) -> Tensor:
    """PCB-Merging (Du et al. 2024, Eq. 6): theta_0 + lam sum_i s_i tau_i / sum_i s_i, entry by entry.

    `scales` and the `clamped` task vectors (T x shape of theta_0) come from `pcb_first_pass`. Where all scales are zero theta_0
    stays, and where only one is not, however small, its task adds all of lam tau_i.
    """
    return theta_0 + lam * (scales * clamped).sum(dim=0) / scales.sum(dim=0).clamp_min(1e-12)


def pcb_scores(whole: Tensor) -> Tensor:
    """PCB's scores as released, T x entries: exp(T n_i^2) tanh(tau_i sum_j sign(tau_j) n_j), n the normalised |tau|."""
    n = span_norm(whole.abs())
    return (len(whole) * n.square()).exp() * torch.tanh(whole * (torch.sign(whole) * n).sum(dim=0))


def pcb_text_scores(whole: Tensor) -> Tensor:
    """PCB's scores as printed: softmax(T n(tau_i^2)) sum_j softmax(n(tau_i tau_j)), both over the entries; T x entries.

    Divided by the greatest of all, which changes no merge: of millions of entries a softmax leaves numbers of 1e-13.
    """
    intra = (len(whole) * span_norm(whole.square())).softmax(dim=1)
    raw = torch.stack([own * span_norm(tau * whole).softmax(dim=1).sum(dim=0) for own, tau in zip(intra, whole)])
    return raw / raw.max().clamp_min(torch.finfo(raw.dtype).tiny)


def span_norm(rows: Tensor) -> Tensor:
    """Each row's entries moved and scaled to [0, 1]; a constant row becomes zero."""
    low, high = rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True)
    return (rows - low) / torch.where(high > low, high - low, torch.ones_like(high))


def _quantiles(rows: Tensor, q: float) -> Tensor:
    """The q-quantile of each row, T x 1 (an entry of the row, at or below the place asked for)."""
    return torch.kthvalue(rows, 1 + int(q * (rows.shape[1] - 1)), dim=1, keepdim=True).values
