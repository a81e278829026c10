"""What do methods do with stacks of tensors again and again? Shapes, sums, norms, and random numbers that depend on names."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from ..checkpoints.blocks import block_matrices

Tensors = Callable[[], Iterable[tuple[str, Tensor, Tensor]]]       # of a first pass: yields (name, theta_0, taus), fp32

# The matrices that DOGE's released code merges in the networks of the benchmark and of the papers: those of open_clip's blocks,
# and of T5's the queries and values, where LoRA is. Of any other network: `checkpoints.blocks`.
ENCODER_MATRICES = r"(resblocks|encoder\.layers)\..*(attn|mlp)\..*weight|Attention\.[qv]\.weight"


def flat(taus: Tensor) -> Tensor:
    """T x anything as T x numel."""
    return taus.reshape(len(taus), -1)


def per_task(numbers: Tensor, taus: Tensor) -> Tensor:
    """T numbers shaped to be multiplied with task vectors (T x anything), where these lie."""
    return numbers.to(taus.device).reshape(-1, *[1] * (taus.dim() - 1))        # T x 1 x 1 ...


def along(coefficients: Tensor, taus: Tensor) -> Tensor:
    """sum_i coefficients[i] taus[i]: T numbers and T x shape give shape."""
    return torch.tensordot(coefficients.to(taus.dtype), taus, dims=1)          # T, T x shape -> shape


def norms_of(taus: Tensor) -> Tensor:
    """The T norms of task vectors (T x anything)."""
    return flat(taus).norm(dim=1)


def over(tensors: Tensors, function: Callable, keys: str | None = "", additive: bool = False) -> Iterator:
    """function(taus), tensor by tensor; `keys`: pattern of the names that count, None for the matrices inside blocks.

    `additive`: the function counts entries, so that its sum over pieces of a tensor does as well. Where the merge has an
    executor the function is sent to its workers, so it and what it gives must be picklable and small.
    A loop's variable holds a tensor while the next is read, which doubles the memory of a pass; this holds none.
    """
    if hasattr(tensors, "map"):
        return tensors.map(function, keys, additive)
    if keys is None:
        counts = set(block_matrices({name: theta_0.dim() for name, theta_0, _ in tensors()})).__contains__
    else:
        counts = re.compile(keys).search
    return map(lambda item: function(item[2]), filter(lambda item: counts(item[0]), tensors()))


def keyed(*key) -> torch.Generator:
    """A generator of random numbers that depends on these names and numbers alone."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
