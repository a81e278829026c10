"""Where do checkpoints differ? Tensor by tensor, and no further than the first difference."""

from .adapters import Adapter
from .lazy import facts

PIECE = 1 << 16         # entries, a megabyte or two with their task vectors: what stays in the cache is several times faster


def pieces_of(state, name, finite=True):
    """The numbers of a tensor, in memory or on disk, flat and `PIECE` at a time; on disk they must be finite, or need not."""
    if hasattr(state, "pieces"):
        return state.pieces(name, PIECE, finite)
    return state[name].detach().reshape(-1).split(PIECE)


def same(one, first, other, second):
    """Whether tensor `first` of a checkpoint has the numbers of tensor `second` of another, whatever their dtypes."""
    if facts(one, first)[0] != facts(other, second)[0]:
        return False
    return all(bool((a == b).all()) for a, b in zip(pieces_of(one, first, False), pieces_of(other, second, False)))


def changed(base, experts, name):
    """Whether any of the experts (a list) changed a tensor of the base."""
    return any(bool(expert.delta(name).any()) if isinstance(expert, Adapter) else not same(base, name, expert, name)
               for expert in experts)
