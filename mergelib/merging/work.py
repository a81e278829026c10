"""What is done about one tensor of a checkpoint? Its task vectors, their transforms, the method: here or in another process."""

from dataclasses import dataclass, field
from functools import partial

import torch

from ..checkpoints.adapters import Adapter
from ..checkpoints.compare import pieces_of
from ..checkpoints.content import Digest
from ..checkpoints.lazy import CheckpointError, facts, not_finite
from ..checkpoints.shards import size_of, write_at
from ..methods import METHODS, call
from ..methods.linear import OTHERS
from ..workers import ByValue, one_thread


@dataclass
class Work:
    """All that is to be done about one tensor; small enough to be sent to another process if checkpoints lie on disk.

    `rule`: "method", or what a tensor becomes that it does not merge: "base" or a name in OTHERS.
    """

    name: str
    method: str
    rule: str
    settings: dict
    tasks: tuple
    base: dict                      # base and experts with this tensor only
    experts: dict
    dtype: torch.dtype              # that comes out
    found: list = field(default_factory=list)        # for each transform, then for the method: what its first pass found
    kept: tuple | None = None       # in memory: what `read` gives, after how many transforms
    aliases: tuple = ()             # names of tensors that are copies of this one
    wanted: tuple = ()              # its name and those, as far as the target lacks them
    places: list = field(default_factory=list)       # (file, byte) wherever the numbers go; none: they are handed back

    def size(self):
        """Bytes of the base's tensor."""
        return size_of(*facts(self.base, self.name))

    @property
    def transformed_whole(self):
        """Whether the method transforms task vectors, and needs them whole for that."""
        return METHODS[self.method].transforms and not METHODS[self.method].elementwise

    def read(self, digests=None):
        """(theta_0, taus), the latter after those transforms whose first pass is done; the numbers go into `digests`, too."""
        if self.kept:
            theta_0, taus, done = self.kept
        else:
            theta_0, taus, done = *read_tensor(self.base, self.experts, self.name, digests), 0
        return theta_0, self._transformed(taus, done)

    def pieces(self, digests=None):
        """`read` in flat pieces of `PIECE` entries, as far as they can be made one by one."""
        if self.transformed_whole or any(isinstance(expert, Adapter) for expert in self.experts.values()):
            yield self.read(digests)
            return
        stored, generators = [pieces_of(state, self.name) for state in (self.base, *self.experts.values())], {}
        for start, *ends in zip(*stored):
            theta_0, taus = read_tensor({self.name: start}, {i: {self.name: end} for i, end in enumerate(ends)}, self.name,
                                        digests)
            yield theta_0, self._transformed(taus, generators=generators)

    def _transformed(self, taus, done=0, **more):
        """Task vectors after those transforms whose first pass is done, but the `done` first ones."""
        for (transform, _), found in [*zip(METHODS[self.method].transforms, self.found)][done:]:
            taus = call(transform, taus, **self._known({**found, **more}))
        return taus

    def look(self, function, additive):
        """function(taus), or its sum over pieces."""
        return sum(function(taus) for _, taus in self.pieces()) if additive else function(self.read()[1])

    def run(self):
        """The merged tensor, or once its numbers are in their places the digest of those that were read.

        Raises CheckpointError for a result that is not finite, or does not fit its dtype.
        """
        digests = [Digest() for _ in range(1 + len(self.experts))] if self.places else None
        pieces = (self._out(piece) for piece in self._merged(digests))
        if self.places:
            self._write(pieces)
            return "".join(digest.hexdigest() for digest in digests)
        first, *rest = pieces
        if self.rule == "method" and not METHODS[self.method].elementwise:
            return first
        tensor = (torch.cat([first, *rest]) if rest else first).reshape(facts(self.base, self.name)[0])
        return tensor.expand(len(self.tasks), *tensor.shape) if METHODS[self.method].per_task else tensor

    def digest(self):
        """What `run` would give for a tensor that goes to disk, without merging: the digest of what is read for it."""
        digests = [Digest() for _ in range(1 + len(self.experts))]
        for state, digest in zip((self.base, *self.experts.values()), digests):
            if not isinstance(state, Adapter):
                digest.add(as_it_is(state, self.name))
        return "".join(digest.hexdigest() for digest in digests)

    def _write(self, pieces):
        """Write pieces one after the other to every place."""
        ends = list(self.places)
        for piece in pieces:
            ends = [(file, write_at(file, byte, piece)) for file, byte in ends]

    def _out(self, piece):
        """Numbers that come out, in their dtype."""
        made = piece.to(self.dtype)
        if self.rule != "base" and (count := not_finite(made)):
            raise CheckpointError(f"{self.name}: {count} of the merged values {_why(piece, self.dtype)}")
        return made

    def _merged(self, digests):
        """The merged tensor in pieces: one, or flat ones where every entry is merged by itself."""
        if self.rule == "base":
            tensor = as_it_is(self.base, self.name)
            if digests:
                digests[0].add(tensor)
            yield tensor
            return
        spec, function = METHODS[self.method], OTHERS.get(self.rule)
        if self.rule == "method":
            function = partial(spec.merge, **self._known(self.found[-1]))
            if not spec.elementwise:
                yield function(*self.read(digests))
                return
        for piece in self.pieces(digests):
            yield function(*piece)

    def _known(self, found):
        """All that a function of this tensor may ask for: settings, what a first pass found, names."""
        return {**self.settings, "tasks": self.tasks, **found, "name": self.name}

    def learn(self, found, keep):
        """Note what a first pass found for this tensor; with `keep`, what `read` gives is made now and kept."""
        common = {key: value for key, value in found.items() if key != "each"}
        self.found.append({**common, **found.get("each", {}).get(self.name, {})})
        if keep and self.transformed_whole:
            self.kept = *self.read(), len(self.found)


def do(sent):
    """Do a work that an executor was given."""
    with one_thread():
        return ByValue(sent.value.run())


def look(sent, function, additive):
    """What a first pass asks about a work that an executor was given."""
    with one_thread():
        return ByValue(sent.value.look(function.value, additive))


def as_it_is(state, name):
    """A tensor that nobody else holds, whatever its values."""
    return state.as_it_is(name) if hasattr(state, "as_it_is") else state[name].detach().clone()


def _why(piece, dtype):
    """Why numbers are not finite, and what to do about it."""
    if not_finite(piece):
        return "are NaN or infinite in fp32. Look at this tensor in the base and the experts, and at the method's options."
    return (f"do not fit {dtype}; the largest is {piece.abs().max().item():.3g}. Give another dtype (out_dtype, --dtype): "
            f"bfloat16 or float32.")


def only(state, name):
    """A state dict, in memory or on disk, with nothing but one tensor."""
    return state.only(name) if hasattr(state, "only") else {name: state[name]}


def stream(base, experts, names):
    """Yield (name, theta_0, taus) tensor by tensor, in fp32; taus is T x the tensor's shape."""
    for name in names:
        yield name, *read_tensor(base, experts, name)


def read_tensor(base, experts, name, digests=None):
    """(theta_0, taus) of one tensor, in fp32: the base's, and T x its shape; memory for T + 2 of it at most.

    `digests`: of base and experts, to which the stored numbers are added; an adapter's are not, it is small and digested whole.
    """
    stored = base[name].detach()
    _note(digests, 0, stored)
    theta_0 = stored.float()
    taus = theta_0.new_empty(len(experts), *theta_0.shape)
    for i, (row, expert) in enumerate(zip(taus, experts.values()), start=1):
        if isinstance(expert, Adapter):
            row.copy_(expert.delta(name))
        else:
            stored = expert[name].detach()
            _note(digests, i, stored)
            torch.sub(stored.float(), theta_0, out=row)
    return theta_0, taus


def _note(digests, i, stored):
    """Add stored numbers to one of the digests, if there are any."""
    if digests is not None:
        digests[i].add(stored)
