"""Which matrices lie inside the repeated blocks of a network? Found by the structure of the names, whatever they are."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

ALONE = re.compile(r"(^|[._])(layers?|blocks?|groups|resblocks|h)$")      # what a stack is called, should it have one block
NO_MATRIX = re.compile(r"bias|embed|table")                         # what a block looks up or adds


def block_matrices(dims: Mapping[str, int]) -> list[str]:
    """The names of the two-dimensional tensors inside repeated blocks, in the order given: what DOGE's released code merges.

    `dims`: name -> number of dimensions. Blocks are numbered in names (`h.0.attn.c_attn.weight`), and two of them have what is
    meant at the same place; a stack of one block is known by what it is called.

    >>> block_matrices({"wte.weight": 2, "h.0.ln.weight": 1, "h.0.mlp.weight": 2, "h.1.ln.weight": 1, "h.1.mlp.weight": 2})
    ['h.0.mlp.weight', 'h.1.mlp.weight']
    """
    matrices = [name for name, count in dims.items() if count == 2]
    alike = Counter(place for name in matrices for place in _places(name))
    blocks = Counter(stack for stack, _ in {(stack, number) for name in dims for stack, number in _stacks(name)})
    return [name for name in matrices if any(alike[stack, rest] > 1 or (blocks[stack] == 1 and ALONE.search(stack))
                                             for stack, rest in _places(name))]


def matching(keys: str | None, dims: Mapping[str, int]) -> list[str]:
    """The names (-> number of dimensions) that a pattern matches; those of `block_matrices` where it is None."""
    return block_matrices(dims) if keys is None else [name for name in dims if re.search(keys, name)]


def _places(name: str) -> Iterator[tuple[str, str]]:
    """Where a name may stand in a block: (name of the stack, place inside a block), for each number in it."""
    parts = name.split(".")
    for i, part in enumerate(parts[:-2]):           # behind the number there is a module and its tensor
        rest = ".".join(parts[i + 1:])
        if part.isdigit() and not NO_MATRIX.search(rest):
            yield ".".join(parts[:i]), rest


def _stacks(name: str) -> Iterator[tuple[str, str]]:
    """(name of the stack, number of the block) for each number in a name."""
    parts = name.split(".")
    return ((".".join(parts[:i]), part) for i, part in enumerate(parts) if part.isdigit())
