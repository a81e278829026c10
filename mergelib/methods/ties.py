"""How does TIES merge? Trim small entries, elect one sign per entry, combine the experts that agree with it."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from .options import Combine, Density, Lam
from .registry import method
from .tensors import Tensors, flat, over, per_task


def magnitude_threshold(values: Tensor, density: float) -> Tensor:
    """Smallest magnitude that is kept when about `density` of `values` (any shape) are kept, by the `>=` rule.

    As in the released codes of TIES and DOGE it is the k-th smallest magnitude with k = d - floor(d density), so that
    floor(d density) + 1 entries are kept when none are equal.

    >>> magnitude_threshold(torch.tensor([4., -1., 3., 2.]), density=0.5)
    tensor(2.)
    """
    k = kept_from(values.numel(), density)
    return values.abs().flatten().kthvalue(k).values if k else values.new_zeros(())


def kept_from(size: int, density: float) -> int:
    """The rank, from the smallest, of the first of `size` magnitudes that is kept; 0 when all are.

    Raises ValueError unless 0 < density <= 1.
    """
    if not 0 < density <= 1:
        raise ValueError(f"density is {density}; it is the fraction of entries kept and must lie in (0, 1].")
    return size - int(size * density)


def global_thresholds(tensors: Tensors, density: float) -> Tensor:
    """Per expert, the magnitude that keeps `density` of its whole task vector: T numbers.

    `tensors()` is gone through twice. Exact, though no task vector is ever held whole: positive floats are ordered as their
    bits are, so the upper 16 bits are counted first, then the lower 15 bits of those numbers that have the right upper ones.
    """
    upper = sum(over(tensors, bit_counts, additive=True))                       # T x 65536
    k = kept_from(int(upper[0].sum()), density)
    if k == 0:
        return torch.zeros(len(upper))
    buckets, before = _place(upper, torch.full((len(upper), 1), k))
    lower = sum(over(tensors, partial(bit_counts, buckets=buckets.flatten().tolist()), additive=True))       # T x 32768
    places, _ = _place(lower, k - before)
    return (buckets << 15 | places).to(torch.int32).view(torch.float32).flatten()


def _place(counts: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row of counts the column of the k-th thing counted, and how many lie before that column: T x 1 each."""
    ends = counts.cumsum(dim=1)
    column = torch.searchsorted(ends, k)
    return column, (ends - counts).gather(1, column)


def bit_counts(taus: Tensor, buckets: list[int] | None = None, chunk: int = 1 << 22) -> Tensor:
    """How often each upper half of a magnitude's bits occurs in each task vector: T x 65536 counts.

    With `buckets` (T upper halves), how often each lower half occurs beside them: T x 32768. `chunk`: numbers at a time.
    """
    def halves(bits, row):
        return bits >> 15 if buckets is None else bits[bits >> 15 == buckets[row]] & 0x7FFF
    size = 1 << (16 if buckets is None else 15)
    rows = (values.abs().contiguous().view(torch.int32) for values in flat(taus))
    return torch.stack([sum(torch.bincount(halves(piece, row), minlength=size) for piece in bits.split(chunk))
                        for row, bits in enumerate(rows)]).cpu()


def votes(taus: Tensor, thresholds: Tensor) -> Tensor:
    """How many more entries of the trimmed task vectors' sum are positive than negative: one number."""
    return torch.sign(trim(taus, thresholds).sum(dim=0)).sum()


def ties_first_pass(tensors: Tensors, density: Density = 0.2) -> dict:
    """First pass of `ties`: the trimming thresholds (T) and the sign (+1, 0, -1) that most of the whole vector elects."""
    thresholds = global_thresholds(tensors, density)
    counted = over(tensors, partial(votes, thresholds=thresholds), additive=True)
    return {"thresholds": thresholds, "majority": torch.sign(sum(counted))}


def large(taus: Tensor, thresholds: Tensor) -> Tensor:
    """Which entries (T x shape) are at least as large as their expert's threshold (T)."""
    return taus.abs() >= per_task(thresholds, taus)


def trim(taus: Tensor, thresholds: Tensor) -> Tensor:
    """Task vectors with the entries below their expert's threshold set to zero (TIES step 1).

    `hardshrink` keeps what lies *beyond* a bound, so it is given the float just below each threshold.
    """
    bounds = torch.nextafter(thresholds.cpu(), torch.zeros(())).tolist()
    return torch.stack([hardshrink(tau, bound) for tau, bound in zip(taus, bounds)])


def elect(trimmed: Tensor, majority: Tensor) -> Tensor:
    """The sign of each entry's sum over experts; where that is zero, the whole vector's majority (TIES step 2)."""
    sign = torch.sign(trimmed.sum(dim=0))       # T x shape -> shape
    return sign + majority * (1 - sign.abs())


def agreeing(taus: Tensor, thresholds: Tensor, majority: Tensor) -> Tensor:
    """The task vectors as TIES leaves them (T x shape): trimmed, and zero where they differ from the elected sign."""
    trimmed = trim(taus, thresholds)
    sign = elect(trimmed, majority)
    return (trimmed * sign).clamp_min_(0).mul_(sign)


def combined(theta_0: Tensor, agree: Tensor, lam: Lam = 1.0, combine: Combine = "mean") -> Tensor:
    """theta_0 + lam * what task vectors with zeros in them (T x shape, as `agreeing` leaves them) give together (TIES step 3).

    `combine`: "mean" over the experts that are not zero in an entry (paper and official code, lam 1) or "sum" (AdaMerging,
    FusionBench, lam 0.3).

    >>> combined(torch.zeros(2), torch.tensor([[1., 0.], [3., 2.]]))
    tensor([2., 2.])
    """
    total = agree.sum(dim=0)                    # T x shape -> shape
    if combine == "mean":
        total = total / agree.sign().abs_().sum(dim=0).clamp_min_(1)
    return theta_0 + lam * total


@method("ties", title="Ties-Merging", paper="Yadav et al. 2023", equation="Alg. 1", url="https://arxiv.org/abs/2306.01708",
        first_pass=ties_first_pass, elementwise=True,
        presets={"paper": {"combine": "mean", "lam": 1.0}, "code": {"combine": "sum", "lam": 0.3}})
def ties(theta_0: Tensor, taus: Tensor, thresholds: Tensor, majority: Tensor, lam: Lam = 1.0,
         combine: Combine = "mean") -> Tensor:
    """TIES-Merging (Yadav et al. 2023, Alg. 1): theta_0 + lam * combined task vector.

    `taus`: T x shape of theta_0; `thresholds`, `majority`: from `ties_first_pass`; `combine`: see `combined`.

    >>> ties(torch.zeros(2), torch.tensor([[1., -1.], [3., 2.]]), torch.zeros(2), torch.tensor(1.))
    tensor([2., 2.])
    """
    return combined(theta_0, agreeing(taus, thresholds, majority), lam, combine)
