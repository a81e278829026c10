"""`python -m mergelib.reproduce figures|reproduce`: execute the notebooks, from the ledger or from nothing.

With `--scale ViT-B-32` they run on the published CLIP experts and data sets, those that make sense there.
"""

import argparse
import os
import shutil
import sys
from functools import partial
from pathlib import Path

from ..networks.clip import PAPER_TOWERS
from ..paths import FIGURES, RESULTS, ROOT
from ..suites import load_suite
from ..workers import cores
from .aside import BEFORE, set_ledger_aside, time_left
from .golden import before_merging
from .notebooks import NOTEBOOKS, execute, execute_all

EMBEDDED = "embedded"       # tag of the cells that are of the embedded benchmark alone


def on(tower, **more):
    """The parameters with which a notebook runs on a tower."""
    return {"model": tower, **more}


AT_SCALE = {        # the notebooks that run at the papers' scale: how many tasks they merge, their parameters for a tower
    "02-task-vectors": (8, on),
    "03-doge-by-hand": (8, on),
    "04-vision-tables": (8, lambda tower: {"towers": [tower], "seeds": [0]}),
    "05-task-count": (20, on),
    "06-unseen-tasks": (8, on),
    "07-ablation": (20, on),
    "08-rank-and-directions": (8, on),
    "09-corruptions": (8, partial(on, severities=[5])),
    "10-learned-coefficients": (8, on),
    "11-trust-region": (8, on),
    "14-static-or-dynamic": (8, on),
    "15-paper-and-code": (8, on)}


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m mergelib.reproduce", description=__doc__)
    parser.add_argument("what", choices=("figures", "reproduce"))
    parser.add_argument("--all", action="store_true", help="reproduce also what takes a day, not an afternoon: the other "
                        "fine-tuning seeds, the suite of twenty, merges of over ten minutes, and what learns on test "
                        "pictures outside notebook 04's tables")
    parser.add_argument("--only", default="", help="run the notebooks whose name begins with this, for example 05")
    parser.add_argument("--scale", choices=PAPER_TOWERS, help="run on the published experts of this size, fetched from the "
                        "Hugging Face Hub; what the ledger has is not measured again. Needs a GPU or patience")
    parser.add_argument("--out", type=Path, help="write notebooks and figures below this folder, not into the checkout")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="a parameter of the notebooks, for example: -p seed 1")
    options = parser.parse_args()
    notebooks = [file for file in sorted(NOTEBOOKS.glob("[!.]*.ipynb")) if file.name.startswith(options.only)]
    if not notebooks:
        sys.exit(f"No notebook in {NOTEBOOKS} begins with {options.only!r}.")
    if options.scale:
        return run_at_scale(options)
    if options.out:
        os.environ["MERGELIB_FIGURES"] = str((options.out / "figures").resolve())
    where = options.out or NOTEBOOKS, dict(options.parameter)
    if options.what == "figures":
        execute_all(notebooks, *where, together=cores())
    else:       # what is measured anew has all cores
        set_ledger_aside(not options.only, options.all)
        with time_left():
            execute_all(notebooks, *where)
        if not options.only:
            shutil.rmtree(BEFORE)
    print(f"Figures: {os.environ.get('MERGELIB_FIGURES', FIGURES)}")


def run_at_scale(options):
    """Check the published base and experts, then run the notebooks on them, into a folder of their own."""
    tower, out = options.scale, options.out or ROOT / "build" / options.scale
    chosen = {name: how for name, how in AT_SCALE.items() if name.startswith(options.only)}
    if not chosen:
        sys.exit(f"At the papers' scale these notebooks run: {', '.join(AT_SCALE)}.")
    os.environ["MERGELIB_FIGURES"] = str((out / "figures").resolve())
    before_merging(load_suite(max(count for count, _ in chosen.values()), tower))
    for name, (_, parameters) in chosen.items():
        execute(NOTEBOOKS / f"{name}.ipynb", out, parameters(tower) | dict(options.parameter), without=EMBEDDED)
    print(f"Notebooks and figures: {out}. Numbers: {RESULTS}.")


if __name__ == "__main__":
    main()
