"""Which hyper-parameter does each method get? The best on the validation pictures; all that was tried is kept."""

import json

import numpy as np
import pandas as pd

from .measuring import SCORES, Job, label, measure

DOGE = ("paper", "code", "exact")       # DOGE TA's presets, all shown wherever it is a row
LAMBDAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ETAS = (0.01, 0.03, 0.05, 0.07, 0.09, 0.12, 0.15, 0.2, 0.3)
GRIDS = (        # what is tried on the validation pictures: method, preset, option, values
    ("task-arithmetic", "", "lam", LAMBDAS[1:11]),
    ("ties", "paper", "lam", (0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)),
    ("ties", "code", "lam", LAMBDAS[1:11]),
    *(("norm-lambda", preset, "eta", ETAS) for preset in ("paper", "code")),
    *(("doge-ta", preset, "eta", ETAS) for preset in DOGE),
)


def selection(suite, tasks=None, **how):
    """The one hyper-parameter of each of notebook 05's methods on the validation pictures: see `choose`."""
    return choose("selection", suite, [(*grid, {}) for grid in GRIDS], tasks, **how)


def choose(experiment, suite, grids, tasks=None, **how):
    """Methods' hyper-parameters on the validation pictures of the merged `tasks`, default all: DataFrame of all that was tried.

    `grids`: (method, preset, option, values, fixed options). Columns: method, preset, label, option, setting, fixed, accuracy
    (percent,
    mean over tasks), chosen (the best of its grid).
    """
    tried = pd.DataFrame([{"method": method, "preset": preset, "label": label(method, preset), "option": option,
                           "setting": value, "fixed": fixed}
                          for method, preset, option, values, fixed in grids for value in values])
    jobs = _jobs(tried, tasks=tasks, split="validation")
    table = measure(experiment, suite, jobs, **how).query("metric in @SCORES")
    tried["accuracy"] = table["value"].to_numpy().reshape(len(jobs), -1).mean(axis=1)
    grid = np.repeat(np.arange(len(grids)), [len(values) for _, _, _, values, _ in grids])
    tried["chosen"] = tried.groupby(grid)["accuracy"].transform("idxmax") == tried.index
    return tried


def best_of(table):
    """The options (a dict) of the job with the highest mean accuracy in a table that `measure` returned."""
    mean = table[table["metric"].isin(SCORES)].groupby("options", sort=False)["value"].mean()
    return json.loads(mean.idxmax())


def setting(tried, name):
    """The setting that was chosen for a method, by its label."""
    return tried.loc[tried["chosen"] & (tried["label"] == name), "setting"].item()


def chosen_jobs(tried, **where):
    """A job per method with the setting that was chosen; `where`: tasks, on, split."""
    return _jobs(tried[tried["chosen"]], **where)


def _jobs(tried, **where):
    """A job per row of what was, or is to be, tried."""
    return [Job(row.method, row.preset, {**row.fixed, row.option: row.setting}, **where) for row in tried.itertuples()]


def chosen_rows(suite, tried, **how):
    """Averaging, and every method with its chosen setting, all tasks merged, on the test pictures."""
    return measure("chosen", suite, [Job("weight-average"), *chosen_jobs(tried)], **how)
