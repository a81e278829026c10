"""Are the papers' base and experts in order before anything is merged, and how long would measuring them take here?"""

import time

import numpy as np

from ..experiments.measuring import Job, measure
from ..measure.ledger import Ledger
from ..papers.preflight import check_preflight, preflight


def golden_report(suite, **how):
    """The pre-flight (see `preflight`) of a suite of the papers: the base on every task, each expert on its own."""
    table = measure("reference", suite, [Job("pretrained"), Job("individual")], **how).query("metric == 'accuracy'")
    base, experts = (table[table["method"] == method].set_index("task")["value"].div(100).to_dict()
                     for method in ("pretrained", "individual"))
    return preflight(base, experts, suite.model, suite.family)


def seconds_per_model(suite):
    """How long one model takes on all test pictures of a suite: a few black ones are timed."""
    side = suite.pictures(suite.tasks[0], "test")[0].shape[1]
    pixels = np.zeros((16, side, side, 3), np.uint8)
    suite.features(suite.base, pixels)       # the first call sets things up
    start = time.perf_counter()
    suite.features(suite.base, pixels)
    each = (time.perf_counter() - start) / len(pixels)
    return each * sum(len(suite.pictures(task, "test")[1]) for task in suite.tasks)


def models_measured(ledger=None):
    """About how many models on all eight tasks the notebooks measure: as many as on the embedded benchmark."""
    rows = (Ledger() if ledger is None else ledger).rows.values()
    return sum(row["metric"] == "accuracy" and row["suite"] == "sketch-8" and row["model"] == "main" and row["seed"] == "0"
               and (row["condition"] == "clean" or row["condition"].endswith("5 cifar")) for row in rows) // 8


def before_merging(suite):
    """Say how long a CPU will take, and stop with a CheckpointError if base and experts do not measure as published."""
    if suite.device.type == "cpu":
        hours, count = seconds_per_model(suite.subset(suite.tasks[:8])) / 3600, models_measured()
        print(f"There is no GPU in use. One model takes about {hours:.1f} hours on the test pictures of eight tasks here, and "
              f"for eight tasks the notebooks measure about {count} models: {hours * count:.0f} hours or more, for some "
              f"methods learn. MERGELIB_DEVICE=cuda uses a GPU. Ctrl-C is safe; the next call resumes.")
    report = golden_report(suite)
    print(report.round(1).to_string(index=False))
    check_preflight(report)
