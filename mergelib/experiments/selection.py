"""Which hyper-parameter does each method get? The best on the validation pictures; all that was tried is kept."""

import json

import pandas as pd

from .measure import Job, measure, reference_rows

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

ADAMERGING = ("adamerging-taskwise", "adamerging-taskwise++", "adamerging", "adamerging++")
LEARNING = tuple((method, preset) for method in ADAMERGING for preset in ("paper", "code")) + tuple(
    ("doge-am", preset) for preset in DOGE)


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


def best_of(table):
    """The options (a dict) of the job with the highest mean accuracy in a table that `measure` returned."""
    mean = table[table["metric"] == "accuracy"].groupby("options", sort=False)["value"].mean()
    return json.loads(mean.idxmax())


def chosen_jobs(tried, **where):
    """A job per method with the setting that `selection` chose, weight averaging first; `where`: tasks, on, split."""
    best = tried[tried["chosen"]].itertuples()
    return [Job("weight-average", **where),
            *(Job(row.method, row.preset, {row.option: row.setting}, **where) for row in best)]


def chosen_rows(suite, tried, **how):
    """Every method with its chosen setting, all tasks merged, on the test pictures."""
    return measure("chosen", suite, chosen_jobs(tried), **how)


def learned_rows(suite, **how):
    """The methods that learn their coefficients on unlabelled test pictures, all tasks merged, on the test pictures.

    Nothing is chosen: the settings are the published ones, and DOGE AM's eta follows the papers' rule (mean coefficient 0.3).
    """
    return measure("learned", suite, [Job(method, preset) for method, preset in LEARNING], **how)


def literal_eta_rows(suite, **how):
    """DOGE AM with the printed eta of 0.07, before the first step of learning and after the last."""
    jobs = [Job("doge-am", "exact", {"eta": 0.07, **steps}) for steps in ({"steps": 0}, {})]
    return measure("literal-eta", suite, jobs, **how)


def main_rows(suite, tried, **how):
    """All rows of the papers' main tables that exist so far: no merge, data-free with the chosen setting, learned."""
    return pd.concat([reference_rows(suite, **how), chosen_rows(suite, tried, **how), learned_rows(suite, **how)])
