"""How does DOGE TA merge? Eq. 8's coefficients, a modification delta per tensor, and a mask if asked for."""

import inspect
import warnings

import torch

from ..linear import coefficients_of, eta_by_rule, weighted
from ..tensors import one_of
from ..ties import global_thresholds, large, magnitude_threshold
from .solvers import Block, solve
from .subspace import as_matrices, shared_subspace


def doge(theta_0, taus, eta=0.07, uniform=False, lam_max=None, **options):
    """DOGE TA (DOGE Alg. 1): theta_0 + sum_i lam_i tau'_i, lam_i = eta / ||tau_i||, tau'_i from `doge_vectors`.

    `theta_0`: any shape; `taus`: T x that shape, fp32. `uniform`: eta is every task's coefficient; `lam_max`: none is larger.
    Returns theta_0's shape.
    """
    vectors = doge_vectors(taus, eta=eta, uniform=uniform, lam_max=lam_max, **options)
    return weighted(theta_0, vectors, coefficients_of(taus, eta, uniform, lam_max))


def doge_vectors(taus, name="this tensor", eta=0.07, mask="none", mask_scope="tensor", density=0.3, thresholds=None,
                 deltas=None, **switches):
    """The task vectors as DOGE modifies them: mask_i * (tau_i + delta), T x shape.

    `mask` "none", "tau" or "tau+delta": keep the top `density` entries of tau_i, or of tau_i + delta, counted in this tensor
    or, with `mask_scope="global"`, in the whole checkpoint; then `thresholds` (T) come from `doge_first_pass`, as do the
    `deltas` (see `modification`) when the inner product is global. `switches`: see `modification`.
    """
    _check_mask(mask, mask_scope)
    if deltas is None:
        deltas = modification([(name, taus)], eta, **switches)[0]
    updated = taus + deltas
    if mask == "none":
        return updated
    judged = taus if mask == "tau" else updated
    if mask_scope == "tensor":
        thresholds = torch.stack([magnitude_threshold(row, density) for row in judged])
    return updated.mul_(large(judged, thresholds))


def modification(named, eta, inner_product="row", rank_ratio=1 / 6, rank="matrix", direction="orthogonal", solver="adam",
                 steps=400, lr=1e-4, damping=0.0, project_after=False, delta="universal", dtype="float32", uniform=False,
                 lam_max=None, slopes=None):
    """DOGE's delta per tensor: 1 x its shape, or T x its shape for `delta="per_task"`.

    `named`: list of (name, taus); more than one only for `inner_product="global"`. `direction`: where delta may go,
    "orthogonal" to the shared subspace, "along" it, or "free" (without one); `rank_ratio`, `rank`: see `shared_subspace`.
    `slopes`: T x shape, what stands in Eq. 5 for the losses' gradients, default the task vectors. The rest: see
    `solvers.solve` and `coefficients_of`.
    """
    one_of("delta", delta, ("universal", "per_task"))
    one_of("dtype", dtype, ("float32", "float64"))
    one_of("direction", direction, ("orthogonal", "along", "free"))
    if direction == "along" and solver == "exact":
        raise ValueError("Within the shared subspace there may be fewer unknowns than equations, so there is no exact "
                         "solution. Set solver='adam'.")
    blocks = []
    for name, taus in named:
        taus = as_matrices(taus).to(getattr(torch, dtype))
        free = direction == "free"
        basis = taus.new_zeros(taus.shape[1], 0) if free else shared_subspace(taus, rank_ratio, rank, name)
        against = None if slopes is None else as_matrices(slopes).to(taus)
        blocks.append(Block(taus, coefficients_of(taus, eta, uniform, lam_max), basis, delta == "per_task", direction, against))
    solution = solve(blocks, inner_product, solver, steps, lr, damping, project_after)
    for (name, taus), block, deltas in zip(named, blocks, solution):
        _warn_if_large(name, taus, block.total(deltas))
    return [deltas.reshape(-1, *taus.shape[1:]).to(taus.dtype) for (_, taus), deltas in zip(named, solution)]


def doge_first_pass(tensors, mask="none", mask_scope="tensor", density=0.3, inner_product="row", eta=0.07, **switches):
    """First pass of `doge_vectors`: what one tensor cannot know.

    For a global mask of tau the T thresholds; for `inner_product="global"`, or a global mask of tau+delta, also each
    tensor's deltas (which takes memory for one more checkpoint, or for T more).
    """
    _check_mask(mask, mask_scope)
    found, each = {}, {}
    everywhere = mask != "none" and mask_scope == "global"
    if inner_product == "global" or (everywhere and mask == "tau+delta"):
        named = [(name, taus) for name, _, taus in tensors()]
        groups = [named] if inner_product == "global" else [[pair] for pair in named]
        solution = [deltas for group in groups
                    for deltas in modification(group, eta, inner_product=inner_product, **switches)]
        each = {name: {"deltas": deltas} for (name, _), deltas in zip(named, solution)}
    if everywhere:
        def updated():
            return ((name, theta_0, taus + each[name]["deltas"]) for name, theta_0, taus in tensors())
        found["thresholds"] = global_thresholds(updated if mask == "tau+delta" else tensors, density)
    return {**found, "each": each}


def doge_by_rule_pass(tensors, eta=None, lam=0.3, lam_max=None, **switches):
    """First pass of `doge_vectors` under a method that combines with coefficients of its own, `lam` on average.

    delta is made for coefficients eta / ||tau||, so `eta`, unless given, follows the rule for that mean (DOGE App. B).
    """
    eta = eta_by_rule(tensors, lam, lam_max=lam_max) if eta is None else eta
    return {"eta": eta, **doge_first_pass(tensors, eta=eta, lam_max=lam_max, **switches_of(switches))}


def doge_delta(taus, **options):
    """`doge_vectors` under another method, preceded by `doge_by_rule_pass`; options that are not DOGE's are the method's."""
    return doge_vectors(taus, **switches_of(options))


def switches_of(options):
    """Those of some options that `doge_vectors` knows."""
    known = {*inspect.signature(doge_vectors).parameters, *inspect.signature(modification).parameters}
    return {name: value for name, value in options.items() if name in known}


def _check_mask(mask, mask_scope):
    """Raise ValueError for an unknown mask."""
    one_of("mask", mask, ("none", "tau", "tau+delta"))
    one_of("mask_scope", mask_scope, ("global", "tensor"))


def _warn_if_large(name, taus, total):
    """Warn when the modification outgrows the task vectors, as it does on LoRA experts without damping."""
    size, scale = total.norm(), taus.norm()
    if size > 2 * scale:
        warnings.warn(f"{name}: the modification is {size / scale:.1f} times as large as the task vectors, so the "
                      f"inner products can hardly be matched here. Set damping (for example 0.1).", stacklevel=4)
