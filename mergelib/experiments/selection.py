"""Which hyper-parameter does each method get? The best on the validation pictures; all that was tried is kept."""

import json

from ..merge import eta_for_mean_lambda
from .measure import Job, measure

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

LEARNING = (      # method, preset; the slowest first
    ("doge-am", "code"), ("adamerging", "paper"), ("doge-am", "exact"), ("adamerging++", "paper"), ("doge-am", "paper"))


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

    Nothing is chosen: AdaMerging's settings are the published ones. DOGE AM's delta is made for coefficients eta / ||tau_i||
    and then combined with ones that start at 0.3, so its eta follows the papers' rule that their mean is 0.3.
    """
    eta = round(eta_for_mean_lambda(suite.base, suite.experts, target=0.3), 3)
    jobs = [Job(method, preset, {"eta": eta} if method == "doge-am" else {}) for method, preset in LEARNING]
    return measure("learned", suite, jobs, **how)
