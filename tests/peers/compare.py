"""Do mergelib's merges equal those that released packages make of the same checkpoints? README.md says how to run this."""

import contextlib
import io
import logging
import sys
import warnings
from importlib.metadata import version

from fusion_bench_pairs import fusion_bench_pairs
from mergekit_pairs import mergekit_pairs
from pairs import HEADER, largest, random_checkpoints

import mergelib as ml

PACKAGES = ("mergelib", "torch", "fusion-bench", "mergekit")
NO_PEER = "neither package has them as functions of checkpoints"
NEEDS_DATA = "they learn from, or weigh with, pictures that a running model sees"


def main():
    """Print the table; 1 if a pair is not what it is meant to be."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    base, experts = random_checkpoints()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):    # fusion-bench reports a lot
        pairs = [*fusion_bench_pairs(base, experts), *mergekit_pairs(base, experts)]
    if any(largest(given, now) for given, now in zip(random_checkpoints(), (base, experts))):
        raise RuntimeError("A peer has written into the checkpoints, so what it was compared with is not what it was given.")
    print(", ".join(f"{package} {version(package)}" for package in PACKAGES), end="\n\n")
    print_table([HEADER, *(pair.cells for pair in pairs)])
    left_out = [method for method in ml.METHODS if method not in {pair.method for pair in pairs}]
    for reason, needs_data in ((NO_PEER, False), (NEEDS_DATA, True)):
        names = [method for method in left_out if (ml.METHODS[method].needs != "nothing") == needs_data]
        print(f"\nLeft out, because {reason}: {', '.join(names)}.")
    failed = sum(pair.fails for pair in pairs)
    print(f"\n{len(pairs)} pairs, {sum(bool(pair.differs) for pair in pairs)} of them different on purpose; {failed} fail.")
    return 1 if failed else 0


def print_table(lines):
    """Print lines of texts in columns; the last column is as long as it likes."""
    widths = [max(map(len, column)) for column in list(zip(*lines))[:-1]] + [0]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)))


if __name__ == "__main__":
    sys.exit(main())
