"""Which entries do tasks fight over? TATR's sensitivity, and the trust region outside which nothing is merged."""

import torch

from .ties import agreeing, ties_first_pass


def sensitivity(left, right):
    """TATR's Omega = sum_{i != j} left_j * right_i, entry by entry (TATR Eq. 8): T x shape twice gives shape.

    With absolute gradients left and absolute task vectors right it is the paper's; with task vectors on both sides the
    zero-shot form, with gradients on both sides the NTK form, with signed ones the sum that the positive form keeps.
    """
    return left.sum(dim=0) * right.sum(dim=0) - (left * right).sum(dim=0)


def omega(taus, gradients=None, form="gradient"):
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


def trust_region(omegas, ratio=0.01):
    """Which entries are merged: all but the `ratio` of the whole checkpoint with the greatest Omega (TATR Eq. 9).

    `omegas`: name -> shape; gives name -> booleans. As in the paper an entry at the threshold is outside; a ratio of 0 keeps
    everything, 1 nothing. Raises ValueError for a ratio outside [0, 1].
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio is {ratio}; it is the fraction of entries that are not merged and must lie in [0, 1].")
    if ratio == 0:
        return {name: torch.ones_like(values, dtype=torch.bool) for name, values in omegas.items()}
    whole = torch.cat([values.flatten() for values in omegas.values()])
    count = int(whole.numel() * ratio)
    threshold = whole.kthvalue(whole.numel() - count + 1).values if count else torch.inf
    return {name: values < threshold for name, values in omegas.items()}


def trusted(taus, trust=True):
    """Task vectors (T x shape) without the entries outside the trust region (shape, booleans); True trusts all."""
    return taus * trust


def zero_shot_pass(tensors, ratio=0.01):
    """First pass of `trusted`, zero-shot form (TATR Eq. 7): each tensor's trust region from the task vectors alone."""
    return as_options(trust_region({name: omega(taus, form="zero-shot") for name, _, taus in tensors()}, ratio))


def as_options(trust):
    """Trust regions by tensor as what a first pass returns."""
    return {"each": {name: {"trust": inside} for name, inside in trust.items()}}


def agreeing_inside(taus, thresholds, majority, trust=True):
    """What TIES leaves of the task vectors, inside the trust region only (TATR Eq. 11): T x shape."""
    return trusted(agreeing(taus, thresholds, majority), trust)


def ties_zero_shot_pass(tensors, density=0.2, ratio=0.01):
    """First pass of `agreeing_inside`, zero-shot form: both judge the task vectors as they are."""
    return {**ties_first_pass(tensors, density), **zero_shot_pass(tensors, ratio)}
