"""How long do the everyday steps take? Prints a table; `--save` also writes it to benchmarks/speed.md.

Each step runs several times in one process (imports: in fresh ones); the table gives the smallest and the median time.
Run it on an otherwise idle machine: `.venv/bin/python benchmarks/speed.py`.
"""

import argparse
import datetime
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import mergelib as ml
from mergelib.tasks import picture

ADAM = {"preset": "code", "eta": 0.05}
EXACT = {"preset": "exact", "eta": 0.05}


def main():
    """Time every step and print the table."""
    suite = ml.load_suite("sketch-8")
    experts = suite.experts
    ml.evaluate(suite.base, suite)                 # draws the pictures if they are not on disk yet, warms up
    steps = {
        "import mergelib (fresh process)": (5, lambda: subprocess.run([sys.executable, "-c", "import mergelib"], check=True)),
        "load base and eight experts, checksums verified": (5, lambda: ml.load_suite("sketch-8")),
        "evaluate one model on 8 x 600 test pictures": (5, lambda: ml.evaluate(suite.base, suite)),
        "merge: task arithmetic": (5, lambda: ml.merge("task-arithmetic", suite.base, experts)),
        "merge: TIES": (5, lambda: ml.merge("ties", suite.base, experts)),
        "merge: DOGE TA, exact (32 conjugate-gradient steps)": (5, lambda: ml.merge("doge-ta", suite.base, experts, **EXACT)),
        "merge: DOGE TA, code (400 Adam steps)": (3, lambda: ml.merge("doge-ta", suite.base, experts, **ADAM)),
        "merge: AdaMerging, 50 of its 500 steps": (
            3, lambda: ml.merge("adamerging", suite.base, experts, suite=suite, steps=50)),
        "draw 100 pictures of one task": (5, lambda: [picture("scenes", "test", i) for i in range(100)]),
    }
    matrix = torch.randn(2048, 2048)
    rate = 2 * 2048**3 / min(clock(lambda: matrix @ matrix) for _ in range(5)) / 1e9
    lines = [f"Measured on {datetime.date.today()}, {platform.processor() or platform.machine()}, "
             f"{torch.get_num_threads()} threads that multiply matrices at {rate:.0f} GFLOP/s (fp32), "
             f"torch {torch.__version__}, Python {platform.python_version()}.", "",
             "| step | smallest (s) | median (s) | runs |", "|---|---|---|---|"]
    for name, (runs, step) in steps.items():
        times = [clock(step) for _ in range(runs)]
        lines.append(f"| {name} | {min(times):.2f} | {statistics.median(times):.2f} | {runs} |")
        print(lines[-1], flush=True)
    if parse().save:
        Path(__file__).with_suffix(".md").write_text("\n".join(["# Speed", "", *lines, ""]))


def clock(step):
    """Seconds that one call takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="also write benchmarks/speed.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
