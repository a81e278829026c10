"""Which tensors of a checkpoint are one? Embeddings and heads that share their numbers, stored once or twice."""

import re
from itertools import combinations

from .blocks import block_matrices
from .compare import same
from .lazy import facts

ENDS = re.compile(r"embed|wte|shared|head|decoder|output|predictions")          # where words go in and come out
LAST = re.compile(r"head|embed_out|output|predictions|decoder\.(weight|bias)$")     # where they come out
BIAS = re.compile(r"(predictions|lm_head)(\.decoder)?\.bias$")


def tied(base, experts):
    """Which tensors of the base are copies of another one: name -> the name under which the numbers are merged.

    Two are tied if they are equal in the base and in every expert that stores both. The one that all store is merged, of
    several the one where words go in; its copy gets the result.
    """
    found = {}
    for pair in combinations(_candidates(base), 2):
        name, copy = sorted(pair, key=lambda name: (not all(name in expert for expert in experts), _order(name)))
        both = [state for state in (base, *experts) if name in state and copy in state]
        if copy not in found and all(same(state, name, state, copy) for state in both):
            found[copy] = found.get(name, name)
    return found


def untied(base, expert, merged):
    """(copy, name) of two tensors to be merged that are one in the base and two in the expert; None if there are none such."""
    names = [name for name in _candidates(base) if name in expert and name in merged]
    pairs = (sorted(pair, key=_order, reverse=True) for pair in combinations(names, 2))
    return next((pair for pair in pairs if same(base, pair[0], base, pair[1]) and not same(expert, pair[0], expert, pair[1])),
                None)


def copies(expert, base):
    """Which tensors that the base lacks an expert stores as copies of one that the base has."""
    extra = [name for name in _candidates(expert) if name not in base]
    there = [name for name in _candidates(expert) if name in base]
    return [copy for copy in extra if any(same(expert, copy, expert, name) for name in there)]


def _candidates(state):
    """The names of the tensors that may be tied: matrices outside the blocks, and the biases of heads."""
    shapes = {name: facts(state, name)[0] for name in state if facts(state, name)[1].is_floating_point}
    inside = set(block_matrices({name: len(shape) for name, shape in shapes.items()}))
    ends = [name for name in shapes if name not in inside and ENDS.search(name)]
    return [name for name in ends if len(shapes[name]) == 2 or BIAS.search(name)]


def _order(name):
    """What comes first is merged: `shared`, then where words go in, then the rest."""
    return bool(LAST.search(name)), "shared" not in name, name
