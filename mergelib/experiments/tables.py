"""Which rows do the papers' main tables have? Every method in one harness, each with the setting it gets."""

import json

import pandas as pd

from .choosing import DOGE, LAMBDAS, choose, chosen_jobs, chosen_rows, setting
from .measuring import Job, measure, reference_rows

LEARNED = tuple((method, preset) for method in ("adamerging-taskwise", "adamerging-taskwise++", "adamerging", "adamerging++")
                for preset in ("paper", "code")) + tuple(("doge-am", preset) for preset in DOGE)
LAMS = LAMBDAS[1:11]
WIDE_LAMS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0)
RATIOS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
MASK_LAMS = (0.2, 0.3, 0.4, 0.5, 0.6)
FEW = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)


def mask_lams(suite, **how):
    """TALL masks' lam of each task: the best of `MASK_LAMS` for the compressed model on the task's validation pictures."""
    jobs = [Job("tall-compression", "", {"mask_lam": lam}, split="validation") for lam in MASK_LAMS]
    table = measure("selection-all", suite, jobs, **how).query("metric == 'accuracy'")
    best = table.loc[table.groupby("task", sort=False)["value"].idxmax()]
    return {row.task: json.loads(row.options)["mask_lam"] for row in best.itertuples()}


def wide_selection(suite, tried, **how):
    """As `selection`, for the methods that notebook 05 does not compare; `tried`: what `selection` gave.

    What a method takes over from another is set to what was chosen for that one: TATR's lam to that of task arithmetic or TIES.
    """
    lam, ties_lam = ({"lam": setting(tried, name)} for name in ("Task Arithmetic", "Ties-Merging (code)"))
    masks = {"mask_lam": mask_lams(suite, **how)}
    grids = [
        ("dare", "", "lam", LAMS, {}), ("dare-ties", "", "lam", LAMS, {}),
        ("consensus-ta", "", "lam", WIDE_LAMS, masks), ("consensus-ties", "", "lam", WIDE_LAMS, masks),
        ("awd-ta", "", "lam", LAMS, {}), ("pcb", "paper", "lam", WIDE_LAMS, {}), ("pcb", "code", "lam", WIDE_LAMS, {}),
        ("tatr-zero-shot", "", "ratio", RATIOS, lam), ("ties+tatr-zero-shot", "", "ratio", RATIOS, ties_lam),
        *(("doge-ties", preset, "lam", FEW, {}) for preset in DOGE),
        *((method, "", "lam", WIDE_LAMS, {}) for method in ("tsv-m", "iso-c", "iso-cts", "knots")),
        ("wudi", "paper", "lr", (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2), {}),
        ("regmean", "", "alpha", (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0), {}),
        ("tatr", "", "ratio", RATIOS, lam), ("tatr-ntk", "", "ratio", RATIOS, lam),
        ("ties+tatr", "", "ratio", RATIOS, ties_lam)]
    return choose("selection-all", suite, grids, **how)


def fixed_jobs(suite, tried, **how):
    """Methods without a number of their own to choose, or with the one that was chosen for another."""
    lam = {"lam": setting(tried, "Task Arithmetic")}
    return [Job("tatr-positive", "", lam), Job("tatr-negative", "", lam), Job("fisher"), Job("wudi", "exact"),
            Job("emr", "paper"), Job("emr", "code"), *(Job("doge-emr", preset) for preset in DOGE),
            Job("tall-compression", "", {"mask_lam": mask_lams(suite, **how)})]


def built_jobs(tried, wide):
    """What is built on other merges, each with what was chosen for that merge: TATR's learners, surgery, routers."""
    lam, eta = {"lam": setting(tried, "Task Arithmetic")}, {"eta": setting(tried, "DOGE TA (code)"), "preset": "code"}
    ratio = {name: {"ratio": setting(wide, name)} for name in ("TATR", "TATR zero-shot", "Ties-Merging & TATR",
                                                              "Ties-Merging & TATR zero-shot")}
    def below(options):
        return {"below_options": options}
    return [Job("awd-am"), Job("adamerging+++tatr", "", ratio["Ties-Merging & TATR"]),
            Job("adamerging+++tatr-zero-shot", "", ratio["Ties-Merging & TATR zero-shot"]),
            Job("surgery", "task-arithmetic", below(lam)), Job("surgery", "weight-average"), Job("surgery", "adamerging"),
            Job("surgery", "doge-ta", below(eta)), Job("surgery+tatr", "tatr", below({**lam, **ratio["TATR"]})),
            Job("surgery+tatr-zero-shot", "tatr-zero-shot", below({**lam, **ratio["TATR zero-shot"]})),
            Job("twin", "task-arithmetic", below(lam)), Job("twin", "doge-ta", below(eta)),
            Job("wemoe", "task-arithmetic"), Job("wemoe", "doge-ta", below(eta)),
            Job("concrete-ta"), Job("concrete-am-taskwise"), Job("concrete-am")]


def learned_rows(suite, **how):
    """The forms of AdaMerging and DOGE AM, all tasks merged, on the test pictures.

    Nothing is chosen: the settings are the published ones, and DOGE AM's eta follows the papers' rule (mean coefficient 0.3).
    """
    return measure("learned", suite, [Job(method, preset) for method, preset in LEARNED], **how)


def literal_eta_rows(suite, **how):
    """DOGE AM with the printed eta of 0.07, before the first step of learning and after the last."""
    jobs = [Job("doge-am", "exact", {"eta": 0.07, **steps}) for steps in ({"steps": 0}, {})]
    return measure("literal-eta", suite, jobs, **how)


def main_rows(suite, tried, **how):
    """The rows of notebook 05's methods: no merge, data-free with the chosen setting, learned."""
    return pd.concat([reference_rows(suite, **how), chosen_rows(suite, tried, **how), learned_rows(suite, **how)])


def other_rows(suite, tried, **how):
    """The rows of all other methods that merge without learning on test pictures."""
    jobs = [*chosen_jobs(wide_selection(suite, tried, **how)), *fixed_jobs(suite, tried, **how)]
    return measure("all-methods", suite, jobs, **how)


def printed_rows(suite, tried, **how):
    """The rows of the methods that have a number to choose, with all numbers as printed: what choosing is worth."""
    every = pd.concat([tried, wide_selection(suite, tried, **how)]).drop_duplicates(["method", "preset"])
    return measure("printed-settings", suite, [Job(row.method, row.preset) for row in every.itertuples()], **how)


def built_rows(suite, tried, **how):
    """The rows of all other methods that learn on test pictures or build on another one's merge: minutes each."""
    return measure("all-methods", suite, built_jobs(tried, wide_selection(suite, tried, **how)), **how)
