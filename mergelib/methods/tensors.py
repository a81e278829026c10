"""What do methods do with stacks of tensors again and again? Shapes, sums, norms, and random numbers that depend on names."""

import hashlib
import re

import torch


def one_of(name, value, choices):
    """Raise ValueError unless an option's value is one of its choices, and name them."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it can be {', '.join(map(repr, choices))}.")


def over(tensors, function, keys="", additive=False):
    """function(taus), tensor by tensor; `keys`: pattern of the names that count.

    `additive`: the function counts entries, so that its sum over pieces of a tensor does as well. Where the merge has an
    executor the function is sent to its workers, so it and what it gives must be picklable and small.
    A loop's variable holds a tensor while the next is read, which doubles the memory of a pass; this holds none.
    """
    if hasattr(tensors, "map"):
        return tensors.map(function, keys, additive)
    return map(lambda item: function(item[2]), filter(lambda item: re.search(keys, item[0]), tensors()))


def norms_of(taus):
    """The T norms of task vectors (T x anything)."""
    return flat(taus).norm(dim=1)


def flat(taus):
    """T x anything as T x numel."""
    return taus.reshape(len(taus), -1)


def along(coefficients, taus):
    """sum_i coefficients[i] taus[i]: T numbers and T x shape give shape."""
    return torch.tensordot(coefficients.to(taus.dtype), taus, dims=1)


def keyed(*key):
    """A generator of random numbers that depends on these names and numbers alone."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
