"""How does DOGE TA merge? Eq. 8's coefficients, a modification delta per tensor, and a mask if asked for."""

import warnings
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..linear import LamMax, coefficients_of, eta_by_rule, weighted
from ..options import Density, Lam, Says
from ..registry import METHODS, Method, method
from ..sparse import ONE_EACH, two_and_masks
from ..tensors import Tensors
from ..ties import agreeing, combined, global_thresholds, large, magnitude_threshold, ties_first_pass
from ..unified import emr, emr_first_pass
from .solvers import Block, Unsolved, solve
from .subspace import as_matrices, shared_subspace


@dataclass(frozen=True)
class Problem:
    """DOGE's problem and how it is solved: the options that `modification` takes."""

    eta: Annotated[float | None, Says("numerator of eta / ||tau_i||; None: such that they are 0.3 (or lam) on average")] = 0.07
    uniform: Annotated[bool, Says("whether eta itself is the coefficient of every task")] = False
    lam_max: LamMax = None
    inner_product: Annotated[Literal["row", "tensor", "global"], Says("over what Eq. 5 takes them")] = "row"
    rank_ratio: Annotated[float | None, Says("size of the shared subspace over r; None: 1 / T", least=0)] = 1 / 6
    rank: Annotated[Literal["matrix", "numerical"], Says("r: the smaller side, or the task vectors' largest rank")] = "matrix"
    direction: Annotated[Literal["orthogonal", "along", "free"], Says("of delta, to the subspace")] = "orthogonal"
    delta: Annotated[Literal["universal", "per_task"], Says("one for all tasks, or one for each")] = "universal"
    solver: Annotated[Literal["adam", "gd", "exact"], Says("Adam or gradient descent, or the smallest solution")] = "adam"
    steps: Annotated[int, Says("of the solver", least=0)] = 400
    lr: Annotated[float, Says("of the solver's steps", least=0)] = 1e-4
    damping: Annotated[float, Says("of the exact solution, in the operator's diagonal", least=0)] = 0.0
    project_after: Annotated[bool, Says("whether delta is projected after each step, not its gradient alone")] = False
    dtype: Annotated[Literal["float32", "float64"], Says("in which it is solved")] = "float32"

    def coefficients(self, taus: Tensor) -> Tensor:
        """The T coefficients of one tensor (T x shape)."""
        return coefficients_of(taus, self.eta, self.uniform, self.lam_max)


@dataclass(frozen=True)
class Mask:
    """Which entries of the modified task vectors are kept: the options that `doge_vectors` takes besides."""

    mask: Annotated[Literal["none", "tau", "tau+delta"], Says("which are kept: all, or the top ones of it")] = "none"
    mask_scope: Annotated[Literal["global", "tensor"], Says("where the top entries are counted")] = "global"
    density: Density = 0.3

    @property
    def everywhere(self) -> bool:
        """Whether entries are counted in the whole checkpoint."""
        return self.mask != "none" and self.mask_scope == "global"


def doge_vectors(taus: Tensor, how: Problem = Problem(), mask: Mask = Mask(), name: str = "this tensor",
                 thresholds: Tensor | None = None, deltas: Tensor | None = None, slopes: Tensor | None = None) -> Tensor:
    """The task vectors as DOGE modifies them: mask_i * (tau_i + delta), T x shape.

    With a global mask the `thresholds` (T) come from `doge_first_pass`, as do the `deltas` (see `modification`) when the inner
    product is global. `slopes`: see `modification`.
    """
    deltas = modification([(name, taus)], how, slopes)[0] if deltas is None else deltas
    updated = taus + deltas                     # T x shape
    if mask.mask == "none":
        return updated
    judged = taus if mask.mask == "tau" else updated
    if not mask.everywhere:
        thresholds = torch.stack([magnitude_threshold(row, mask.density) for row in judged])
    return updated.mul_(large(judged, thresholds))


def modification(named: list[tuple[str, Tensor]], how: Problem = Problem(), slopes: Tensor | None = None) -> list[Tensor]:
    """DOGE's delta per tensor: 1 x its shape, or T x its shape for `delta="per_task"`.

    `named`: list of (name, taus); more than one only for `inner_product="global"`. `slopes`: T x shape, what stands in Eq. 5
    for the losses' gradients, default the task vectors. What conjugate gradients do not solve in fp32 is solved in fp64.
    Raises ValueError for an exact solution along the subspace.
    """
    if how.direction == "along" and how.solver == "exact":
        raise ValueError("Within the shared subspace there may be fewer unknowns than equations, so there is no exact "
                         "solution. Set solver='adam'.")
    blocks = [_block(name, taus, how, slopes) for name, taus in named]
    try:
        solution = solve(blocks, how.inner_product, how.solver, how.steps, how.lr, how.damping, how.project_after)
    except Unsolved:
        return modification(named, replace(how, dtype="float64"), slopes)
    for (name, taus), block, deltas in zip(named, blocks, solution):
        _warn_if_large(name, taus, block.total(deltas))
    return [deltas.reshape(-1, *taus.shape[1:]).to(taus.dtype) for (_, taus), deltas in zip(named, solution)]


def _block(name: str, taus: Tensor, how: Problem, slopes: Tensor | None) -> Block:
    """One tensor of the problem."""
    taus = as_matrices(taus).to(getattr(torch, how.dtype))          # T x rows x columns
    free = how.direction == "free"
    basis = taus.new_zeros(taus.shape[1], 0) if free else shared_subspace(taus, how.rank_ratio, how.rank, name)
    against = None if slopes is None else as_matrices(slopes).to(taus)
    return Block(taus, how.coefficients(taus), basis, how.delta == "per_task", how.direction, against)


def _warn_if_large(name: str, taus: Tensor, total: Tensor) -> None:
    """Warn when the modification outgrows the task vectors, as it does on LoRA experts without damping."""
    size, scale = total.norm(), taus.norm()
    if size > 2 * scale:
        warnings.warn(f"{name}: the modification is {size / scale:.1f} times as large as the task vectors, so the "
                      f"inner products can hardly be matched here. Set damping (for example 0.1).", stacklevel=4)


def doge_first_pass(tensors: Tensors, how: Problem = Problem(), mask: Mask = Mask()) -> dict:
    """First pass of `doge_vectors`: what one tensor cannot know.

    An eta that is not given; for a global mask of tau the T thresholds; for `inner_product="global"`, or a global mask of
    tau+delta, also each tensor's deltas (which takes memory for one more checkpoint, or for T more).
    """
    if how.eta is None:
        how = replace(how, eta=eta_by_rule(tensors, lam_max=how.lam_max))
    found, each = {"eta": how.eta}, {}
    if how.inner_product == "global" or (mask.everywhere and mask.mask == "tau+delta"):
        named = [(name, taus) for name, _, taus in tensors()]
        groups = [named] if how.inner_product == "global" else [[pair] for pair in named]
        solution = [deltas for group in groups for deltas in modification(group, how)]
        each = {name: {"deltas": deltas} for (name, _), deltas in zip(named, solution)}
    if mask.everywhere:
        def updated():
            return ((name, theta_0, taus + each[name]["deltas"]) for name, theta_0, taus in tensors())
        found["thresholds"] = global_thresholds(updated if mask.mask == "tau+delta" else tensors, mask.density)
    return {**found, "each": each}


DOGE = {"paper": "DOGE", "url": "https://arxiv.org/abs/2501.01230"}
PRESETS = {"paper": {"inner_product": "tensor", "rank": "numerical"},
           "code": {"keys": None, "mask": "tau"},
           "exact": {"keys": None, "solver": "exact", "steps": 32}}


@method("doge-ta", title="DOGE TA", equation="Eq. 5 to 8, Alg. 1", first_pass=doge_first_pass, presets=PRESETS, **DOGE)
def doge(theta_0: Tensor, taus: Tensor, how: Problem = Problem(), mask: Mask = Mask(), name: str = "this tensor",
         thresholds: Tensor | None = None, deltas: Tensor | None = None, slopes: Tensor | None = None) -> Tensor:
    """DOGE TA (DOGE Alg. 1): theta_0 + sum_i lam_i tau'_i, lam_i = eta / ||tau_i||, tau'_i from `doge_vectors`.

    `theta_0`: any shape; `taus`: T x that shape, fp32. Returns theta_0's shape.

    >>> taus = torch.eye(4)[:2, None] + torch.zeros(2, 3, 4)
    >>> doge(torch.zeros(3, 4), taus, Problem(eta=1.0, uniform=True, direction="free", solver="exact"))
    tensor([[1., 1., 0., 0.],
            [1., 1., 0., 0.],
            [1., 1., 0., 0.]])
    """
    vectors = doge_vectors(taus, how, mask, name, thresholds, deltas, slopes)
    return weighted(theta_0, vectors, how.coefficients(taus))


# --- DOGE's delta under other methods: eta by the rule, and no mask of its own ------------------------------------------

def doge_by_rule_pass(tensors: Tensors, how: Problem = Problem(), lam: Lam = 0.3) -> dict:
    """First pass of `doge_delta` under a method that combines with coefficients of its own, `lam` on average.

    delta is made for coefficients eta / ||tau||, so eta, unless given, follows the rule for that mean (DOGE App. B).
    """
    how = replace(how, eta=eta_by_rule(tensors, lam, lam_max=how.lam_max)) if how.eta is None else how
    return doge_first_pass(tensors, how)


def doge_delta(taus: Tensor, how: Problem = Problem(), name: str = "this tensor", deltas: Tensor | None = None) -> Tensor:
    """The task vectors with DOGE's delta, T x shape, for another method to combine."""
    return doge_vectors(taus, how, name=name, deltas=deltas)


PLUGGED = {"equation": "Sec. 4, Alg. 1", "presets": {**PRESETS, "code": {"keys": None}}, **DOGE}
METHODS["doge-ties"] = Method("DOGE Ties-Merging", tensor=combined, defaults={"eta": None, "lam": 0.3, "combine": "sum"},
                              transforms=((doge_delta, doge_by_rule_pass), (agreeing, ties_first_pass)), **PLUGGED)
METHODS["doge-emr"] = Method("DOGE EMR-Merging", tensor=emr, first_pass=emr_first_pass, defaults={"eta": None}, per_task=True,
                             transforms=((doge_delta, doge_by_rule_pass),), inference=ONE_EACH, stores=two_and_masks, **PLUGGED)
