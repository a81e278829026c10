"""Where does the time of one merge go? CPU seconds of DOGE TA's parts, on random checkpoints of true shapes.

    .venv/bin/python benchmarks/parts.py --model "ViT-B/32" --tasks 8

merges from disk to disk in this process and in one thread, and prints a table. A part's seconds leave out those of the parts
that it calls. CPU seconds do not grow when something else runs meanwhile.
"""

import argparse
import shutil
import time
from contextlib import ExitStack
from functools import wraps
from unittest.mock import patch

import torch
from checkpoints import MODELS, checkpoints
from merging import WORK

import mergelib as ml
from mergelib.checkpoints.content import Digest
from mergelib.merging import work
from mergelib.methods import ties
from mergelib.methods.doge import delta, subspace
from mergelib.workers import one_thread

PARTS = {        # name -> where the functions stand that are this part
    "reading": [(work, "read_tensor")],
    "digests of what is read": [(Digest, "add")],
    "Gram matrices": [(subspace, "leading_left")],
    "eigendecompositions": [(torch.linalg, "eigh")],
    "bases from the right": [(torch.linalg, "qr")],
    "solver": [(delta, "solve")],
    "masks": [(ties, "bit_counts"), (delta, "large")],
    "sum": [(delta, "weighted")],
    "writing": [(work, "write_at")],
}


class Clock:
    """CPU seconds of parts that may call each other: while an inner one runs, the outer one's clock stands still."""

    def __init__(self):
        self.seconds, self.running, self.since = {}, ["the rest"], time.process_time()

    def turn(self):
        """Give the time since the last turn to the part that ran."""
        now = time.process_time()
        self.seconds[self.running[-1]] = self.seconds.get(self.running[-1], 0) + now - self.since
        self.since = now

    def timed(self, part, function):
        """A function whose calls count for a part."""
        @wraps(function)
        def timed(*arguments, **options):
            self.turn()
            self.running.append(part)
            try:
                return function(*arguments, **options)
            finally:
                self.turn()
                self.running.pop()
        return timed


def main():
    """Merge once, and print what each part took."""
    asked = parse()
    base, experts = checkpoints(asked.model, asked.tasks, WORK)
    shutil.rmtree(WORK / "parts", ignore_errors=True)
    seconds = measure(base, experts, asked.preset)
    shutil.rmtree(WORK / "parts")
    total = sum(seconds.values())
    print(f"{asked.model}, {asked.tasks} experts, doge-ta {asked.preset}\n\n| part | CPU seconds | share |\n|---|---|---|")
    for part, spent in [*seconds.items(), ("all", total)]:
        print(f"| {part} | {spent:.2f} | {spent / total:.0%} |")


def measure(base, experts, preset):
    """CPU seconds of each part that a merge has."""
    with one_thread(), ExitStack() as stack:
        clock = Clock()
        for part, functions in PARTS.items():
            for place, name in functions:
                stack.enter_context(patch.object(place, name, clock.timed(part, getattr(place, name))))
        ml.merge("doge-ta", base, experts, preset, out=WORK / "parts")
        clock.turn()
    return clock.seconds


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="one layer")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--preset", choices=("exact", "code", "paper"), default="exact")
    return parser.parse_args()


if __name__ == "__main__":
    main()
