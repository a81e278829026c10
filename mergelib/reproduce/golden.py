"""Are the papers' base and experts in order before anything is merged, and how long would measuring them take here?"""

import time

import numpy as np

from ..experiments.measuring import Job, measure
from ..measure.ledger import Ledger
from ..measure.scoring import raw_features
from ..papers.preflight import preflight


def golden_report(suite, **how):
    """The pre-flight (see `preflight`) of a suite of the papers: the base on every task, each expert on its own."""
    table = measure("reference", suite, [Job("pretrained"), Job("individual")], **how).query("metric == 'accuracy'")
    base, experts = (table[table["method"] == method].set_index("task")["value"].to_dict()
                     for method in ("pretrained", "individual"))
    return preflight(base, experts, suite.model, suite.family)


def seconds_per_model(suite):
    """How long one model takes on all test pictures of a suite: a few black ones are timed."""
    task, side = suite.tasks[0], suite.pictures(suite.tasks[0], "test")[0].shape[1]
    pixels = np.zeros((16, side, side, 3), np.uint8)
    raw_features(suite.base, suite, task, pixels)       # the first call sets things up
    start = time.perf_counter()
    raw_features(suite.base, suite, task, pixels)
    each = (time.perf_counter() - start) / len(pixels)
    return each * sum(len(suite.pictures(task, "test")[1]) for task in suite.tasks)


def models_measured(ledger=None):
    """About how many models on all eight tasks the notebooks measure: as many as on the embedded benchmark."""
    rows = (Ledger() if ledger is None else ledger).rows.values()
    return sum(row["metric"] == "accuracy" and row["suite"] == "sketch-8" and row["model"] == "main" and row["seed"] == "0"
               and (row["condition"] == "clean" or row["condition"].endswith("5 cifar")) for row in rows) // 8
