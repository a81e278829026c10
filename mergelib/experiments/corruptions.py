"""How good is a merged model on corrupted pictures? Measurements of notebook 09."""

import pandas as pd

from ..tasks.corruptions import CONSTANTS, CORRUPTIONS, SEVERITIES, condition, parse_condition
from .choosing import GRIDS, choose, chosen_jobs
from .gaps import averages
from .measuring import Job, measure

FOUR = ("vehicles", "landuse", "aerial", "signs")       # Cars, EuroSAT, RESISC45, GTSRB
DEFINITIONS, WORST = tuple(CONSTANTS), SEVERITIES[-1]
CURVES = ("Pre-trained", "Individual", "Task Arithmetic", "DOGE TA (code)", "DOGE TA (exact)")
LEARNED = (("adamerging", "paper"), ("doge-am", "exact"))


def conditions(suite, severities=(WORST,), definitions=DEFINITIONS):
    """The clean pictures and every corruption at some severities, by one or both definitions, as far as the suite has them."""
    every = (condition(name, severity, definition)
             for definition in definitions for name in CORRUPTIONS for severity in severities)
    return ("clean", *filter(suite.has_condition, every))


def robustness(suite, **how):
    """Methods that do not look at test pictures, four tasks merged, under every corruption at its worst: rows of `measure`.

    Hyper-parameters are chosen on clean validation pictures. The methods of `CURVES` are measured at all severities.
    """
    four = suite.named(*FOUR)
    tried = choose("selection", suite, [(*grid, {}) for grid in GRIDS if grid[0] != "norm-lambda"], four, **how)
    every, worst = ({"tasks": four, "conditions": conditions(suite, which)} for which in (SEVERITIES, (WORST,)))
    curves = tried["label"].isin(CURVES)
    jobs = [Job("pretrained", **every), Job("individual", **every), *chosen_jobs(tried[curves], **every),
            Job("weight-average", **worst), Job("fisher", **worst), *chosen_jobs(tried[~curves], **worst)]
    return measure("robustness", suite, jobs, **how)


def adapted(suite, **how):
    """Methods that learn on the test pictures, corrupted at the worst severity (definition "cifar") as in the papers.

    They learn under each condition anew.
    """
    jobs = [Job(method, preset, {}, suite.named(*FOUR), conditions=(name,))
            for name in conditions(suite, definitions=("cifar",)) for method, preset in LEARNED]
    return measure("robustness", suite, jobs, **how)


def by_condition(table):
    """Average accuracy (percent) with half width of each label and condition: label, corruption, severity, definition, ...

    The clean pictures count as severity 0 of every corruption.
    """
    rows = []
    for name, part in table.groupby("condition", sort=False):
        found = averages(part)[["label", "accuracy", "half"]].assign(condition=name)
        rows += [found.assign(corruption=c, severity=s, definition=d) for c, s, d in _places(name)]
    return pd.concat(rows, ignore_index=True)


def _places(name):
    """Where a condition is drawn: (corruption, severity, definition)."""
    if name == "clean":
        return [(corruption, 0, definition) for definition in DEFINITIONS for corruption in CORRUPTIONS]
    return [parse_condition(name)]
