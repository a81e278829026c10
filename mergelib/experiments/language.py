"""Which rows do DOGE's Tables 3 and 4 have? LoRA experts of a text-to-text model, every method with an equal budget."""

import re

import pandas as pd

from ..merging.work import stream
from ..methods import ENCODER_MATRICES, METHODS
from ..methods.linear import eta_by_rule
from .ablations import ablation
from .choosing import DOGE, LAMBDAS, choose, chosen_jobs
from .measuring import Job, measure, reference_rows

LAMS = LAMBDAS[1:11]
MEANS = tuple(round(0.2 * i, 1) for i in range(1, 11))      # lam of what averages the experts that agree
WIDE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5)
GUARD = {"lam_max": 1.0}    # on a matrix that an adapter hardly touched, no task vector becomes longer than its expert's
OTHER_RANK = {"paper": "matrix", "code": "numerical", "exact": "numerical"}
ANSWERS = ("generated", "first")            # whose entropy counts, see `texts.answer_entropy`
LEARNED = (         # method, preset, what the row's name says of it, options
    ("concrete-ta", "", "", {}), ("concrete-am", "", "", {}), ("adamerging", "paper", "", {}),
    ("adamerging++", "paper", "", {}), *(("doge-am", preset, f"{preset}, ", GUARD) for preset in DOGE),
    ("doge-am", "exact", "exact, damped 0.1, ", {**GUARD, "damping": 0.1}))


def language_grids(suite):
    """What is tried on the validation questions, ten values each: name of the row -> grid of `choose`.

    DOGE TA's readings have the guard `lam_max`. Beside them: without it, with the other meaning of rank, and damped.
    """
    etas = etas_like(suite, LAMS)

    def eta(method, preset, **fixed):
        return method, preset, "eta", etas, fixed

    damped = {damping: {**GUARD, "damping": damping} for damping in (0.1, 1.0)}
    return {
        "Task Arithmetic": ("task-arithmetic", "", "lam", LAMS, {}),
        "Ties-Merging (paper)": ("ties", "paper", "lam", MEANS, {}),
        "Ties-Merging (code)": ("ties", "code", "lam", LAMS, {}),
        "Norm-based lambda": eta("norm-lambda", "code", **GUARD),
        "Norm-based lambda (no guard)": eta("norm-lambda", "code"),
        "KnOTS-TIES": ("knots", "", "lam", MEANS, {}),
        "TSV-M": ("tsv-m", "", "lam", WIDE, {}),
        **{f"DOGE TA ({preset})": eta("doge-ta", preset, **GUARD) for preset in DOGE},
        **{f"DOGE TA (exact, damped {damping})": eta("doge-ta", "exact", **fixed) for damping, fixed in damped.items()},
        **{f"DOGE TA ({preset}, no guard)": eta("doge-ta", preset) for preset in ("paper", "code")},
        **{f"DOGE TA ({preset}, {rank} rank)": eta("doge-ta", preset, **GUARD, rank=rank)
           for preset, rank in OTHER_RANK.items()},
        "DOGE TA (exact, damped 0.1, numerical rank)": eta("doge-ta", "exact", **damped[0.1], rank="numerical"),
    }


def etas_like(suite, lams):
    """The values of eta, two digits each, at which the guarded coefficients are `lams` on average (DOGE App. B)."""
    tensors = [*stream(suite.base, suite.experts, [name for name in suite.base if re.search(ENCODER_MATRICES, name)])]
    return tuple(float(f"{eta_by_rule(lambda: tensors, lam, **GUARD):.2g}") for lam in lams)


def language_selection(suite, **how):
    """The one number of each data-free method on the validation questions: what `choose` gives, labelled by row."""
    grids = language_grids(suite)
    tried = choose("language-selection", suite, list(grids.values()), **how)
    return tried.assign(label=[name for name, (_, _, _, values, _) in grids.items() for _ in values])


def language_rows(suite, tried, **how):
    """The rows of a text suite on the test questions that learn nothing there: no merge, data-free as chosen in `tried`."""
    jobs = {"Weight Averaging": Job("weight-average"), **dict(zip(tried.loc[tried["chosen"], "label"], chosen_jobs(tried)))}
    return pd.concat([reference_rows(suite, **how), _named(jobs, suite, **how)])


def answer_rows(suite, **how):
    """The methods that learn on unlabelled questions, by the entropy of generated answers and by that of first tokens.

    Nothing is chosen: the settings are the published ones, and DOGE AM's eta follows the papers' rule (mean coefficient 0.3).
    """
    jobs = {f"{METHODS[method].title} ({reading}{answer})": Job(method, preset, {**fixed, "answer": answer})
            for method, preset, reading, fixed in LEARNED for answer in ANSWERS}
    return _named(jobs, suite, **how)


def _named(jobs, suite, **how):
    """The rows of jobs that have names of their own."""
    table = measure("language", suite, list(jobs.values()), **how)
    return table.assign(label=[name for name in jobs for _ in range(len(table) // len(jobs))],
                        group=table["group"].replace("test pictures", "test questions"))


def language_ablation(suite, **how):
    """The language column of DOGE Tab. 6: as `ablation`, with the guard, and the exact reading damped."""
    readings = {"code": ("code", {}), "exact, damped 0.1": ("exact", {"damping": 0.1})}
    return ablation(suite, readings, etas_like(suite, LAMS), GUARD, **how)
