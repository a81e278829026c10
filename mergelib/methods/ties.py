"""How does TIES merge? Trim small entries, elect one sign per entry, combine the experts that agree with it."""

from functools import partial

import torch
from torch.nn.functional import hardshrink

from .tensors import flat, one_of, over


def magnitude_threshold(values, density):
    """Smallest magnitude that is kept when about `density` of `values` (any shape) are kept, by the `>=` rule.

    As in the released codes of TIES and DOGE it is the k-th smallest magnitude with k = d - floor(d density), so that
    floor(d density) + 1 entries are kept when none are equal.
    """
    k = kept_from(values.numel(), density)
    return values.abs().flatten().kthvalue(k).values if k else values.new_zeros(())


def kept_from(size, density):
    """The rank, from the smallest, of the first of `size` magnitudes that is kept; 0 when all are.

    Raises ValueError unless 0 < density <= 1.
    """
    if not 0 < density <= 1:
        raise ValueError(f"density is {density}; it is the fraction of entries kept and must lie in (0, 1].")
    return size - int(size * density)


def global_thresholds(tensors, density):
    """Per expert, the magnitude that keeps `density` of its whole task vector: T numbers.

    `tensors()` yields (name, theta_0, taus) for every merged tensor, fp32, and is gone through twice. Exact, though no task
    vector is ever held whole: positive floats are ordered as their bits are, so the upper 16 bits are counted first, then the
    lower 15 bits of those numbers that have the right upper ones.
    """
    upper = sum(over(tensors, bit_counts, additive=True))
    k = kept_from(int(upper[0].sum()), density)
    if k == 0:
        return torch.zeros(len(upper))
    buckets = [int((counts.cumsum(0) >= k).int().argmax()) for counts in upper]
    lower = sum(over(tensors, partial(bit_counts, buckets=buckets), additive=True))
    before = [k - int(counts[:bucket].sum()) for counts, bucket in zip(upper, buckets)]
    places = [int((counts.cumsum(0) >= left).int().argmax()) for counts, left in zip(lower, before)]
    return torch.tensor([bucket << 15 | place for bucket, place in zip(buckets, places)], dtype=torch.int32).view(torch.float32)


def bit_counts(taus, buckets=None, chunk=1 << 22):
    """How often each upper half of a magnitude's bits occurs in each task vector: T x 65536 counts.

    With `buckets` (T upper halves), how often each lower half occurs beside them: T x 32768. `chunk`: numbers at a time.
    """
    def halves(bits, row):
        return bits >> 15 if buckets is None else bits[bits >> 15 == buckets[row]] & 0x7FFF
    size = 1 << (16 if buckets is None else 15)
    rows = (values.abs().contiguous().view(torch.int32) for values in flat(taus))
    return torch.stack([sum(torch.bincount(halves(piece, row), minlength=size) for piece in bits.split(chunk))
                        for row, bits in enumerate(rows)]).cpu()


def votes(taus, thresholds):
    """How many more entries of the trimmed task vectors' sum are positive than negative: one number."""
    return torch.sign(trim(taus, thresholds).sum(dim=0)).sum()


def ties_first_pass(tensors, density=0.2):
    """First pass of `ties`: the trimming thresholds (T) and the sign (+1, 0, -1) that most of the whole vector elects."""
    thresholds = global_thresholds(tensors, density)
    counted = over(tensors, partial(votes, thresholds=thresholds), additive=True)
    return {"thresholds": thresholds, "majority": torch.sign(sum(counted))}


def large(taus, thresholds):
    """Which entries (T x shape) are at least as large as their expert's threshold (T)."""
    return taus.abs() >= thresholds.to(taus.device).reshape(-1, *[1] * (taus.dim() - 1))


def trim(taus, thresholds):
    """Task vectors with the entries below their expert's threshold set to zero (TIES step 1).

    `hardshrink` keeps what lies *beyond* a bound, so it is given the float just below each threshold.
    """
    bounds = torch.nextafter(thresholds.cpu(), torch.zeros(())).tolist()
    return torch.stack([hardshrink(tau, bound) for tau, bound in zip(taus, bounds)])


def elect(trimmed, majority):
    """The sign of each entry's sum over experts; where that is zero, the whole vector's majority (TIES step 2)."""
    sign = torch.sign(trimmed.sum(dim=0))
    return sign + majority * (1 - sign.abs())


def agreeing(taus, thresholds, majority):
    """The task vectors as TIES leaves them (T x shape): trimmed, and zero where they differ from the elected sign."""
    trimmed = trim(taus, thresholds)
    sign = elect(trimmed, majority)
    return (trimmed * sign).clamp_min_(0).mul_(sign)


def ties(theta_0, taus, thresholds, majority, lam=1.0, combine="mean"):
    """TIES-Merging (Yadav et al. 2023, Alg. 1): theta_0 + lam * combined task vector.

    `taus`: T x shape of theta_0; `thresholds`, `majority`: from `ties_first_pass`; `combine`: see `combined`.
    """
    return combined(theta_0, agreeing(taus, thresholds, majority), lam, combine)


def combined(theta_0, agree, lam=1.0, combine="mean"):
    """theta_0 + lam * what task vectors with zeros in them (T x shape, as `agreeing` leaves them) give together (TIES step 3).

    `combine`: "mean" over the experts that are not zero in an entry (paper and official code, lam 1) or "sum" (AdaMerging,
    FusionBench, lam 0.3). Raises ValueError for anything else.
    """
    one_of("combine", combine, ("mean", "sum"))
    total = agree.sum(dim=0)
    return theta_0 + lam * (total / agree.sign().abs_().sum(dim=0).clamp_min_(1) if combine == "mean" else total)
