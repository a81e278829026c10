"""What is done about one tensor of a checkpoint? Its task vectors, their transforms, the method: here or in another process."""

from dataclasses import dataclass, field
from functools import partial

import torch

from ..checkpoints.adapters import Adapter
from ..checkpoints.lazy import facts
from ..checkpoints.shards import size_of, write_at
from ..methods import METHODS, call
from ..methods.linear import OTHERS
from ..workers import ByValue, one_thread

PIECE = 1 << 16         # entries, a megabyte or two with their task vectors: what stays in the cache is several times faster


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
    place: tuple | None = None      # (file, byte) where the numbers go

    def size(self):
        """Bytes of the base's tensor."""
        return size_of(*facts(self.base, self.name))

    @property
    def transformed_whole(self):
        """Whether the method transforms task vectors, and needs them whole for that."""
        return METHODS[self.method].transforms and not METHODS[self.method].elementwise

    def read(self):
        """(theta_0, taus), the latter after those transforms whose first pass is done."""
        theta_0, taus, done = self.kept or (*read_tensor(self.base, self.experts, self.name), 0)
        return theta_0, self._transformed(taus, done)

    def pieces(self):
        """`read` in flat pieces of `PIECE` entries, as far as they can be made one by one."""
        if self.transformed_whole or any(isinstance(expert, Adapter) for expert in self.experts.values()):
            yield self.read()
            return
        stored, generators = [pieces_of(state, self.name) for state in (self.base, *self.experts.values())], {}
        for start, *ends in zip(*stored):
            theta_0, taus = read_tensor({self.name: start}, {i: {self.name: end} for i, end in enumerate(ends)}, self.name)
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
        """The merged tensor, or None once its numbers are in their place."""
        pieces = (piece.to(self.dtype) for piece in self._merged())
        if self.place is not None:
            file, byte = self.place
            for piece in pieces:
                byte = write_at(file, byte, piece)
            return None
        first, *rest = pieces
        if self.rule == "method" and not METHODS[self.method].elementwise:
            return first
        tensor = (torch.cat([first, *rest]) if rest else first).reshape(facts(self.base, self.name)[0])
        return tensor.expand(len(self.tasks), *tensor.shape) if METHODS[self.method].per_task else tensor

    def _merged(self):
        """The merged tensor in pieces: one, or flat ones where every entry is merged by itself."""
        if self.rule == "base":
            yield self.base[self.name]
            return
        spec, function = METHODS[self.method], OTHERS.get(self.rule)
        if self.rule == "method":
            function = partial(spec.merge, **self._known(self.found[-1]))
            if not spec.elementwise:
                yield function(*self.read())
                return
        for piece in self.pieces():
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


def pieces_of(state, name):
    """The numbers of a tensor, in memory or on disk, flat and `PIECE` at a time."""
    return state.pieces(name, PIECE) if hasattr(state, "pieces") else state[name].detach().reshape(-1).split(PIECE)


def only(state, name):
    """A state dict, in memory or on disk, with nothing but one tensor."""
    return state.only(name) if hasattr(state, "only") else {name: state[name]}


def stream(base, experts, names):
    """Yield (name, theta_0, taus) tensor by tensor, in fp32; taus is T x the tensor's shape."""
    for name in names:
        yield name, *read_tensor(base, experts, name)


def read_tensor(base, experts, name):
    """(theta_0, taus) of one tensor, in fp32: the base's, and T x its shape; memory for T + 2 of it at most."""
    theta_0 = base[name].detach().float()
    taus = theta_0.new_empty(len(experts), *theta_0.shape)
    for row, expert in zip(taus, experts.values()):
        if isinstance(expert, Adapter):
            row.copy_(expert.delta(name))
        else:
            torch.sub(expert[name].detach().float(), theta_0, out=row)
    return theta_0, taus
