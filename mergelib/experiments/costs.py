"""What does a merge cost, what does its model keep, and what does a picture cost it? Measurements of notebooks 13 and 14."""

import time

import pandas as pd

from ..measure.ledger import Ledger
from ..measure.scoring import logits
from ..merging.loop import merge
from ..methods import METHODS
from ..paths import ROOT
from .measuring import ROWS, Job, label, ledger_rows

SHORT = {"surgery": {"steps": 0}, "wemoe": {"steps": 0}}      # what a picture costs does not depend on how long was learned
REPEATS = 5


def merging_costs():
    """What `benchmarks/merging.py` measured: its rows with `label`, and `memory` (MB) above interpreters that do nothing."""
    table = pd.read_csv(ROOT / "benchmarks" / "merging.csv", keep_default_na=False)
    idle = table["package"] == "nothing"
    rest = table[idle].set_index("workers")["memory"]
    table = table[~idle].reset_index(drop=True)
    labels = [label(row.method, row.preset) if row.package == "mergelib" else row.package for row in table.itertuples()]
    return table.assign(memory=table["memory"] - table["workers"].map(rest), label=labels)


def models_kept(suite, method):
    """How many models of the suite's size a method stores to serve all tasks: every expert for "individual"."""
    count = len(suite.tasks)
    if method in ROWS:
        return count if method == "individual" else 1
    spec = METHODS[method]
    return spec.stores(suite.base, count, **spec.settings()) if spec.stores else 1


def inference_ratios(suite, methods=("emr", "surgery", "twin", "wemoe"), pictures=200, ledger=None, recompute=False):
    """Time for some pictures of one task over a plain model's, in the same run: a Series by label.

    Each model is built once and timed `REPEATS` times in turn with the plain one; the smallest times count. What was measured
    is in the ledger (metric "inference ratio").
    """
    ledger, task = Ledger() if ledger is None else ledger, suite.tasks[0]
    ratios = {}
    for method in methods:
        job = Job(method, next(iter(METHODS[method].presets)), on=(task,))
        key = next(ledger_rows(suite, job)) | {"metric": "inference ratio"}
        row = None if recompute else ledger.find(key)
        if row is None:
            ratio = round(_ratio(suite, method, task, pictures), 3)
            row = {**key, "value": ratio, "count": pictures, "seconds": 0, "hits": ""}
            ledger.record("inference", [row])
        ratios[label(method, key["preset"])] = row["value"]
    return pd.Series(ratios, name="inference ratio")


def _ratio(suite, method, task, pictures):
    """The smallest time of a method's model over the smallest of the base, the two taking turns."""
    data = {"suite": suite} if METHODS[method].needs != "nothing" else {}
    models = (suite.base, merge(method, suite.base, suite.experts, **data, **SHORT.get(method, {})))
    pixels, times = suite.pictures(task, "test", pictures)[0], ([], [])
    for _ in range(REPEATS):
        for model, found in zip(models, times):
            start = time.perf_counter()
            logits(model, suite, task, pixels)
            found.append(time.perf_counter() - start)
    return min(times[1]) / min(times[0])
