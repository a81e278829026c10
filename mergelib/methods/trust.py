"""Which entries do tasks fight over? TATR's sensitivity, and the trust region outside which nothing is merged."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from .linear import task_arithmetic
from .options import Density, Ratio, Says
from .registry import METHODS, Method
from .tensors import Tensors
from .ties import agreeing, combined, ties_first_pass

Form = Annotated[Literal["gradient", "ntk", "positive", "negative"], Says("of the sensitivity (TATR App. C.4)")]
TATR = {"paper": "TATR", "url": "https://arxiv.org/abs/2501.15065"}


def sensitivity(left: Tensor, right: Tensor) -> Tensor:
    """TATR's Omega = sum_{i != j} left_j * right_i, entry by entry (TATR Eq. 8): T x shape twice gives shape.

    With absolute gradients left and absolute task vectors right it is the paper's; with task vectors on both sides the
    zero-shot form, with gradients on both sides the NTK form, with signed ones the sum that the positive form keeps.

    >>> sensitivity(torch.tensor([[1.], [2.]]), torch.tensor([[3.], [4.]]))
    tensor([10.])
    """
    return left.sum(dim=0) * right.sum(dim=0) - (left * right).sum(dim=0)


def omega(taus: Tensor, gradients: Tensor | None = None, form: str = "gradient") -> Tensor:
    """The sensitivity of one tensor's entries in one of TATR's forms (TATR App. C.4): shape.

    `form`: "gradient", "zero-shot" (needs no `gradients`), "ntk", "positive" or "negative". `gradients`: T x shape; means of
    absolute gradients of single examples for the first and third form, mean gradients for the last two.
    """
    if form == "zero-shot":
        return sensitivity(taus.abs(), taus.abs())
    if form == "ntk":
        return sensitivity(gradients, gradients)
    if form == "gradient":
        return sensitivity(gradients, taus.abs())
    return sensitivity(gradients, taus) * (1 if form == "positive" else -1)


def trust_region(omegas: dict[str, Tensor], ratio: float = 0.01) -> dict[str, Tensor]:
    """Which entries are merged: all but the `ratio` of the whole checkpoint with the greatest Omega (TATR Eq. 9).

    `omegas`: name -> shape; gives name -> booleans. As in the paper an entry at the threshold is outside; a ratio of 0 keeps
    everything, 1 nothing.
    """
    if ratio == 0:
        return {name: torch.ones_like(values, dtype=torch.bool) for name, values in omegas.items()}
    whole = torch.cat([values.flatten() for values in omegas.values()])
    count = int(whole.numel() * ratio)
    threshold = whole.kthvalue(whole.numel() - count + 1).values if count else torch.inf
    return {name: values < threshold for name, values in omegas.items()}


def trusted(taus: Tensor, trust: Tensor | bool = True) -> Tensor:
    """Task vectors (T x shape) without the entries outside the trust region (shape, booleans); True trusts all."""
    return taus * trust


def zero_shot_pass(tensors: Tensors, ratio: Ratio = 0.01) -> dict:
    """First pass of `trusted`, zero-shot form (TATR Eq. 7): each tensor's trust region from the task vectors alone."""
    return as_options(trust_region({name: omega(taus, form="zero-shot") for name, _, taus in tensors()}, ratio))


def as_options(trust: dict[str, Tensor]) -> dict:
    """Trust regions by tensor as what a first pass returns."""
    return {"each": {name: {"trust": inside} for name, inside in trust.items()}}


def agreeing_inside(taus: Tensor, thresholds: Tensor, majority: Tensor, trust: Tensor | bool = True) -> Tensor:
    """What TIES leaves of the task vectors, inside the trust region only (TATR Eq. 11): T x shape."""
    return trusted(agreeing(taus, thresholds, majority), trust)


def ties_zero_shot_pass(tensors: Tensors, density: Density = 0.2, ratio: Ratio = 0.01) -> dict:
    """First pass of `agreeing_inside`, zero-shot form: both judge the task vectors as they are."""
    return {**ties_first_pass(tensors, density), **zero_shot_pass(tensors, ratio)}


OMEGAS = "sensitivities, twice as many as the base has numbers"
METHODS["tatr-zero-shot"] = Method("TATR zero-shot", equation="Eq. 7 to 9, Alg. 1", tensor=task_arithmetic,
                                   transforms=((trusted, zero_shot_pass),), holds=OMEGAS, **TATR)
METHODS["ties+tatr-zero-shot"] = Method("Ties-Merging & TATR zero-shot", equation="Sec. 5", tensor=combined, holds=OMEGAS,
                                        transforms=((agreeing_inside, ties_zero_shot_pass),),
                                        defaults={"lam": 0.3, "combine": "sum"}, **TATR)
