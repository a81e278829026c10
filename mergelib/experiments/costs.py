"""What does a merge cost, what does its model keep, and what does a picture cost it? Measurements of notebooks 13 and 14."""

import time

import pandas as pd

from ..merging.loop import merge
from ..methods import METHODS
from ..paths import ROOT
from .measuring import ROWS, Job, from_ledger, label, ledger_rows, valued

SHORT = {"surgery": {"steps": 0}, "wemoe": {"steps": 0}}      # what a picture costs does not depend on how long was learned
REPEATS, PICTURES = 5, 200


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


def inference_ratios(suite, methods=("emr", "surgery", "twin", "wemoe"), ledger=None, recompute=False):
    """Time for some pictures of one task over a plain model's, in the same run: a Series by label.

    Each model is built once and timed `REPEATS` times in turn with the plain one; the smallest times count. What was measured
    is in the ledger (metric "inference ratio").
    """
    found = from_ledger("inference", suite, methods, _ratio_keys, _ratio, ledger, recompute)
    return pd.Series({label(row["method"], row["preset"]): row["value"] for (row,) in found}, name="inference ratio")


def _ratio_keys(suite, method):
    """The ledger key of one method's ratio."""
    job = Job(method, next(iter(METHODS[method].presets)), on=suite.tasks[:1])
    yield next(ledger_rows(suite, job)) | {"metric": "inference ratio"}


def _ratio(suite, method):
    """The smallest time of a method's model over the smallest of the base, the two taking turns: a ledger row."""
    data = {"suite": suite} if METHODS[method].data else {}
    models = (suite.base, merge(method, suite.base, suite.experts, **data, **SHORT.get(method, {})))
    pixels, times = suite.pictures(suite.tasks[0], "test", PICTURES)[0], ([], [])
    for _ in range(REPEATS):
        for model, found in zip(models, times):
            start = time.perf_counter()
            suite.logits(model, suite.tasks[0], pixels)
            found.append(time.perf_counter() - start)
    return [valued(row, min(times[1]) / min(times[0]), PICTURES, digits=3) for row in _ratio_keys(suite, method)]
