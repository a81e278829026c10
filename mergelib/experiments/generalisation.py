"""How good is a merged model on tasks whose experts were not merged? Measurements of notebook 06."""

import pandas as pd

from .choosing import GRIDS, choose, chosen_jobs, setting
from .gaps import averages
from .measuring import Job, measure
from .tables import RATIOS

UNSEEN = (("digits", "landuse"), ("aerial", "housenumbers"), ("scenes", "vehicles", "textures"))
LEARNED = (("adamerging", "paper"), ("doge-am", "exact"), ("adamerging++", "paper"))


def unseen_rows(suite, unseen, **how):
    """Every method on the six or five other tasks' experts, measured on all tasks: rows of `measure`.

    `unseen`: tasks that are not merged; AdaMerging++, which the split of five and three is not printed for, is left out there.
    Hyper-parameters are chosen on the validation pictures of the merged tasks alone, and what learns on test pictures sees
    those of the merged tasks alone.
    """
    seen = tuple(task for task in suite.tasks if task not in unseen)
    where = {"tasks": seen, "on": suite.tasks}
    tried = choose("selection", suite, [(*grid, {}) for grid in GRIDS if grid[0] != "norm-lambda"], seen, **how)
    lam = {"lam": setting(tried, "Task Arithmetic")}
    trusted = choose("selection-all", suite, [("tatr", "", "ratio", RATIOS, lam)], seen, **how)
    jobs = [Job("pretrained"), Job("weight-average", **where), *chosen_jobs(tried, **where), *chosen_jobs(trusted, **where),
            *(Job(method, preset, **where) for method, preset in LEARNED[:3 if len(unseen) == 2 else 2])]
    return measure("unseen", suite, jobs, **how)


def seen_and_unseen(table, unseen):
    """Average accuracy (percent) of each label on the merged and on the other tasks, with half widths: see `averages`."""
    parts = {"seen": table[~table["task"].isin(unseen)], "unseen": table[table["task"].isin(unseen)]}
    both = {name: averages(part).set_index("label")[["accuracy", "half"]] for name, part in parts.items()}
    return pd.concat(both, axis=1)
