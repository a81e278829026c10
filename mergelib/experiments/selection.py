"""Which hyper-parameter does each method get? The best on the validation pictures; all that was tried is kept."""

import json

from .measure import Job, measure

DOGE = ("paper", "code", "exact")       # DOGE TA's presets, all shown wherever it is a row
LAMBDAS = tuple(round(0.05 * i, 2) for i in range(21))
ETAS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.12, 0.15, 0.2)
GRIDS = (        # what is tried on the validation pictures: method, preset, option, values
    ("task-arithmetic", "", "lam", LAMBDAS[1:13]),
    ("ties", "paper", "lam", LAMBDAS[2:21:2]),
    ("ties", "code", "lam", LAMBDAS[1:13]),
    ("norm-lambda", "", "eta", ETAS),
    *(("doge-ta", preset, "eta", ETAS) for preset in DOGE),
)


def selection(suite, **how):
    """The one hyper-parameter of each method on the validation pictures: DataFrame of all that was tried.

    Columns: method, preset, label, option, setting, accuracy (mean over tasks, fraction), chosen (the best of its method).
    """
    jobs = [Job(method, preset, {option: value}, split="validation")
            for method, preset, option, values in GRIDS for value in values]
    table = measure("selection", suite, jobs, **how)
    mean = table[table["metric"] == "accuracy"].groupby(["method", "preset", "label", "options"], sort=False)["value"].mean()
    tried = mean.rename("accuracy").reset_index()
    pairs = [json.loads(options).popitem() for options in tried.pop("options")]
    tried["option"], tried["setting"] = zip(*pairs)
    tried["chosen"] = tried.groupby(["method", "preset"])["accuracy"].transform("idxmax") == tried.index
    return tried


def chosen_jobs(tried, **where):
    """A job per method with the setting that `selection` chose, weight averaging first; `where`: tasks, on, split."""
    best = tried[tried["chosen"]].itertuples()
    return [Job("weight-average", **where),
            *(Job(row.method, row.preset, {row.option: row.setting}, **where) for row in best)]


def chosen_rows(suite, tried, **how):
    """Every method with its chosen setting, all tasks merged, on the test pictures."""
    return measure("chosen", suite, chosen_jobs(tried), **how)
