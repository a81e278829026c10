"""Which entries of the task vectors are kept? DARE's random masks, the masks of TALL and Consensus, and PCB's scores."""


import torch

from .tensors import flat, keyed, one_of
from .ties import agreeing

# --- DARE -------------------------------------------------------------------------------------------------------------

def dare_vectors(taus, tasks, name="this tensor", drop=0.5, seed=0, generators=None):
    """DARE (Yu et al. 2024, Eq. 2): each entry is dropped with probability `drop`, the others are divided by 1 - drop.

    `taus`: T x shape; `tasks`: T names. The mask depends on (seed, task, tensor's name) alone, so neither the order of the
    tasks nor that of the tensors changes it. Its mean is the task vector. `generators`: a dict, the same one for a tensor's
    pieces in their order. Raises ValueError unless 0 <= drop < 1.
    """
    if not 0 <= drop < 1:
        raise ValueError(f"drop is {drop}; it is the fraction of entries dropped and must lie in [0, 1).")
    generators = {} if generators is None else generators
    if not generators:
        generators.update((task, keyed(seed, task, name)) for task in tasks)
    kept = torch.stack([torch.rand(taus.shape[1:], generator=generators[task]) >= drop for task in tasks])
    return (taus * kept.to(taus.device)).div_(1 - drop)


# --- TALL masks and Consensus -----------------------------------------------------------------------------------------

def tall_masks(taus, merged_tau, mask_lam, tasks):
    """TALL masks (Wang et al. 2024, Eq. 5): where |tau_t| > lam_t |tau_MT - tau_t|, T x shape.

    `merged_tau`: tau_MT, shape; `mask_lam`: lam_t, one number or a mapping from task to number.
    """
    if isinstance(mask_lam, dict) and (missing := sorted(set(tasks) - set(mask_lam))):
        raise ValueError(f"mask_lam has no number for {', '.join(missing)}. Give one number, or one for each task.")
    lams = [mask_lam[task] if isinstance(mask_lam, dict) else mask_lam for task in tasks]
    lams = torch.tensor(lams, device=taus.device).reshape(-1, *[1] * (taus.dim() - 1))
    return taus.abs() > lams * (merged_tau - taus).abs()


def consensus(theta_0, taus, tasks, lam=0.3, mask_lam=0.4, active=2, thresholds=None, majority=None):
    """Consensus merging (Wang et al. 2024, Sec. 4.2): theta_0 + lam tau_MT where at least `active` tasks' TALL masks agree.

    tau_MT is sum_i tau_i, or with `thresholds` and `majority` (from `ties_first_pass`) what TIES sums up.
    """
    merged_tau = (taus if thresholds is None else agreeing(taus, thresholds, majority)).sum(dim=0)
    votes = tall_masks(taus, merged_tau, mask_lam, tasks).sum(dim=0)
    return theta_0 + lam * merged_tau * (votes >= active)


def tall_compression(theta_0, taus, tasks, mask_lam=0.4):
    """TALL compression (Wang et al. 2024, Eq. 6): theta_0 + m_t tau_MT for each task, T x shape; tau_MT = sum_i tau_i."""
    merged_tau = taus.sum(dim=0)
    return theta_0 + tall_masks(taus, merged_tau, mask_lam, tasks) * merged_tau


# --- PCB-Merging ------------------------------------------------------------------------------------------------------

def pcb(theta_0, taus, scales, clamped, lam=1.2):
    """PCB-Merging (Du et al. 2024, Eq. 6): theta_0 + lam sum_i s_i tau_i / sum_i s_i, entry by entry.

    `scales` and the `clamped` task vectors (T x shape of theta_0) come from `pcb_first_pass`. Where all scales are zero theta_0
    stays, and where only one is not, however small, its task adds all of lam tau_i.
    """
    return theta_0 + lam * (scales * clamped).sum(dim=0) / scales.sum(dim=0).clamp_min(1e-12)


def pcb_first_pass(tensors, scores="code", density=0.05, quantile=0.01):
    """First pass of `pcb`: each tensor's scales and clamped task vectors, ranked over whole task vectors (in memory).

    `scores`: "code", as released for vision (`pcb.py`: exp and tanh, magnitudes clamped to their `quantile` and 1 -
    `quantile`), or "paper", the text's softmax (Eq. 3 to 5, nothing clamped). The highest `density` of each task's scores are
    not zero.
    """
    one_of("scores", scores, ("code", "paper"))
    parts = [(name, taus) for name, _, taus in tensors()]
    whole = torch.cat([flat(taus) for _, taus in parts], dim=1)
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


def pcb_scores(whole):
    """PCB's scores as released, T x entries: exp(T n_i^2) tanh(tau_i sum_j sign(tau_j) n_j), n the normalised |tau|."""
    n = span_norm(whole.abs())
    return (len(whole) * n.square()).exp() * torch.tanh(whole * (torch.sign(whole) * n).sum(dim=0))


def pcb_text_scores(whole):
    """PCB's scores as printed: softmax(T n(tau_i^2)) sum_j softmax(n(tau_i tau_j)), both over the entries; T x entries.

    Divided by the greatest of all, which changes no merge: of millions of entries a softmax leaves numbers of 1e-13.
    """
    intra = (len(whole) * span_norm(whole.square())).softmax(dim=1)
    raw = torch.stack([own * span_norm(tau * whole).softmax(dim=1).sum(dim=0) for own, tau in zip(intra, whole)])
    return raw / raw.max().clamp_min(torch.finfo(raw.dtype).tiny)


def span_norm(rows):
    """Each row's entries moved and scaled to [0, 1]; a constant row becomes zero."""
    low, high = rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True)
    return (rows - low) / torch.where(high > low, high - low, torch.ones_like(high))


def _quantiles(rows, q):
    """The q-quantile of each row, T x 1 (an entry of the row, at or below the place asked for)."""
    return torch.kthvalue(rows, 1 + int(q * (rows.shape[1] - 1)), dim=1, keepdim=True).values
