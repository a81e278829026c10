"""`python -m mergelib.reproduce figures|reproduce`: execute the notebooks in order, from the ledger or from nothing.

With `--scale ViT-B-32` they run on the published CLIP experts and data sets, those that make sense there.
"""

import argparse
import ast
import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import nbformat
import papermill
from tqdm.auto import tqdm

from .. import adapt  # noqa: F401  (it adds its methods to the registry)
from ..measure.ledger import Ledger
from ..methods import METHODS, TEST_PICTURES
from ..networks.clip import PAPER_TOWERS, TOWERS
from ..papers.preflight import check_preflight
from ..paths import FIGURES, RESULTS, ROOT, write_atomically
from ..suites.store import read_manifest
from ..suites.suite import load_suite, zoo_folder
from .golden import golden_report, models_measured, seconds_per_model

NOTEBOOKS = ROOT / "notebooks"
BEFORE = ROOT / "build" / "results-before"      # the ledger as it was when `reproduce` began
SLOW = 600                                      # seconds of a merge that only `reproduce --all` repeats
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
    if options.what == "reproduce":
        set_ledger_aside(not options.only, options.all)
    if options.out:
        os.environ["MERGELIB_FIGURES"] = str((options.out / "figures").resolve())
    with time_left() if options.what == "reproduce" else nullcontext():
        for notebook in (bar := tqdm(notebooks, "notebooks")):
            bar.set_postfix_str(notebook.stem)
            execute(notebook, options.out or NOTEBOOKS, dict(options.parameter))
    if options.what == "reproduce" and not options.only:
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


def before_merging(suite):
    """Say how long a CPU will take, and stop with a CheckpointError if base and experts do not measure as published."""
    if next(iter(suite.heads.values())).device.type == "cpu":
        hours, count = seconds_per_model(suite.subset(suite.tasks[:8])) / 3600, models_measured()
        print(f"There is no GPU in use. One model takes about {hours:.1f} hours on the test pictures of eight tasks here, and "
              f"for eight tasks the notebooks measure about {count} models: {hours * count:.0f} hours or more, for some "
              f"methods learn. MERGELIB_DEVICE=cuda uses a GPU. Ctrl-C is safe; the next call resumes.")
    report = golden_report(suite)
    print(report.round(1).to_string(index=False))
    check_preflight(report)


def execute(notebook, folder, parameters, without=None):
    """Run one notebook with papermill; the executed copy replaces `folder/<name>` once every cell has run.

    Cells with the tag `without` are left out. Raises ValueError for a parameter that the notebook does not have, which
    papermill itself would let pass.
    """
    known = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{notebook.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}.")
    start = time.monotonic()
    target = folder / notebook.name
    write_atomically(target, lambda part: _papermill(notebook, part, parameters, without))
    tqdm.write(f"{notebook.name}: {time.monotonic() - start:.0f} s")


def cells_without(notebook, tag):
    """The cells of a notebook file but those with a tag."""
    return [cell for cell in nbformat.read(notebook, as_version=4).cells if tag not in cell.metadata.get("tags", [])]


def _papermill(notebook, part, parameters, without):
    """Execute into `part` and clean what papermill adds, so that unchanged results leave the file unchanged."""
    chosen = nbformat.read(notebook, as_version=4)
    chosen.cells = cells_without(notebook, without)
    papermill.execute_notebook(chosen, str(part), parameters={k: _literal(v) for k, v in parameters.items()},
                               cwd=str(NOTEBOOKS), progress_bar=False, kernel_name="python3", coalesce_streams=True)
    nbformat.write(clean(nbformat.read(part, as_version=4)), part)


def _literal(text):
    """A command line value as the Python literal it looks like."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def clean(notebook):
    """Drop timestamps, injected cells and progress bars; keep text and pictures."""
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                         "language_info": {"name": "python"}}
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags" and value}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _noise(output)]
    return notebook


def _noise(output):
    """Whether an output is a progress bar."""
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def _keep(slow):
    """Put back into the ledger the numbers of models whose weights are not shipped, and if asked for those that take long."""
    manifests = {tower: read_manifest(zoo_folder(tower)) for tower in TOWERS}
    bare = {tower for tower, manifest in manifests.items() if not manifest.get("shipped", True)}
    bare |= {(tower, name.split("-")[0]) for tower, manifest in manifests.items()
             for name, entry in manifest["experts"].items() if not entry.get("shipped", True)}
    rows = [row for row in Ledger(BEFORE).rows.values()
            if row["model"] in bare or (row["model"], row["method"]) in bare or (slow and takes_long(row))]
    for experiment in {row["experiment"] for row in rows}:
        Ledger(RESULTS).record(experiment, [row for row in rows if row["experiment"] == experiment])


def takes_long(row):
    """Whether a number belongs to those that take a day together: other seeds, twenty tasks, slow merges, most learned ones."""
    learns = row["method"] in METHODS and TEST_PICTURES in METHODS[row["method"]].needs
    slow = row["seconds"] > SLOW or (learns and row["experiment"] != "learned")
    return row["seed"] != "0" or row["suite"] == "sketch-20" or slow


def set_ledger_aside(everything, slow=False):
    """Move the ledger away, so that all is measured again (what takes long only if `slow`).

    When an earlier `reproduce` was interrupted, go on with it.
    """
    if not everything:
        return
    if BEFORE.exists():
        print(f"Going on with the reproduction that was interrupted (the earlier ledger is in {BEFORE}).")
        return
    print(f"Measuring everything again; until that is finished the present ledger is kept in {BEFORE}.")
    BEFORE.parent.mkdir(exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    os.replace(RESULTS, BEFORE)
    _keep(not slow)


@contextmanager
def time_left(every=30):
    """A bar of how much of what the ledger lacks has been measured again, with an estimate of the time left."""
    there, done = Ledger(RESULTS).rows, threading.Event()
    goal = {key: row for key, row in Ledger(BEFORE).rows.items() if key not in there} if BEFORE.exists() else {}

    def work(rows):      # seconds: a share of a merge for eight tasks, and of evaluating one, which has one row or three
        return sum((0.6 + row["seconds"] / 8) / (1 if row["split"] == "validation" else 3)
                   for key, row in rows.items() if key in goal)

    def watch():
        with tqdm(total=work(goal), desc="measured", position=1, leave=False, smoothing=0,
                  bar_format="{desc}: {percentage:.0f}% |{bar}| about {remaining} left") as bar:
            while not done.wait(every):
                bar.update(max(0, work(Ledger(RESULTS).rows) - bar.n))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()

