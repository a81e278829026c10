"""What happens when more tasks are merged? Measurements of notebook 05."""

import itertools
import math

import numpy as np
import pandas as pd
from scipy import stats

from .choosing import DOGE, chosen_jobs
from .measuring import Job, measure

LEARNED = (("adamerging", "paper"), *(("doge-am", preset) for preset in DOGE))
COMPARED = ("Task Arithmetic", "DOGE TA (code)")      # data-free methods that stand beside those that learn


def task_subsets(tasks, per_size=4, seed=0, step=1):
    """Subsets of sizes 2 to all by `step`: at most `per_size` of each, drawn so that all tasks occur about equally."""
    rng, chosen = np.random.default_rng(seed), []
    for size in range(2, len(tasks) + 1, step):
        options = _candidates(len(tasks), size, rng)
        uses = np.zeros(len(tasks))
        for _ in range(min(per_size, len(options))):
            order = rng.permutation(len(options))
            best = min(order, key=lambda i: sum(uses[t] ** 2 for t in options[i]))
            subset = options.pop(best)
            uses[list(subset)] += 1
            chosen.append(tuple(tasks[t] for t in sorted(subset)))
    return chosen


def _candidates(count, size, rng, most=1000):
    """Different subsets of `size` numbers below `count`: all of them, or about `most` random ones where there are more."""
    if math.comb(count, size) <= most:
        return [frozenset(c) for c in itertools.combinations(range(count), size)]
    return list(dict.fromkeys(frozenset(rng.permutation(count)[:size].tolist()) for _ in range(most)))


def task_count(suite, tried, per_size=4, seed=0, step=1, **how):
    """DOGE Fig. 1: the data-free methods it compares, on sampled subsets of the tasks (see `task_subsets`).

    Each keeps the setting that was chosen for all tasks.
    """
    compared = tried[tried["method"] != "norm-lambda"]
    jobs = [job for tasks in task_subsets(suite.tasks, per_size, seed, step)
            for job in (Job("weight-average", tasks=tasks), *chosen_jobs(compared, tasks=tasks))]
    return measure("task-count", suite, jobs, **how)


def learned_task_count(suite, tried, per_size=4, most=2, seed=0, step=1, **how):
    """AdaMerging and DOGE AM beside averaging and `COMPARED`, on the first `most` of `task_count`'s subsets of each size."""
    sizes = itertools.groupby(task_subsets(suite.tasks, per_size, seed, step), key=len)
    first = [tasks for _, subsets in sizes for tasks in itertools.islice(subsets, most)]
    compared = tried[tried["label"].isin(COMPARED)]
    jobs = [job for tasks in first for job in (Job("weight-average", tasks=tasks), *chosen_jobs(compared, tasks=tasks),
                                               *(Job(method, preset, tasks=tasks) for method, preset in LEARNED))]
    return measure("task-count", suite, jobs, **how)


def lower_start(suite, init=0.05, **how):
    """AdaMerging on all tasks with coefficients that start at `init` instead of 0.3."""
    return measure("lower-start", suite, [Job("adamerging", "paper", {"init": init})], **how)


def by_task_count(table):
    """Mean accuracy (percent) over subsets of each size with a 95 % interval: label, count, subsets, accuracy, half.

    The interval is Student's over the subsets' averages; where there are fewer than three, it is over their test pictures, as
    wide as for one of them, since they share tasks.
    """
    table = table[table["metric"] == "accuracy"].assign(size=lambda t: t["tasks"].str.count(r"\+") + 1)
    table["variance"] = table["value"] * (100 - table["value"]) / table["count"].astype(int)
    subset = table.groupby(["label", "size", "tasks"], sort=False).agg(
        accuracy=("value", "mean"), variance=("variance", lambda v: v.sum() / len(v) ** 2)).reset_index()
    rows = []
    for (name, size), part in subset.groupby(["label", "size"], sort=False):
        n = len(part)
        half = 1.96 * (part["variance"] ** 0.5).mean() if n < 3 else stats.t.ppf(0.975, n - 1) * part["accuracy"].sem()
        rows.append({"label": name, "size": size, "subsets": n, "accuracy": part["accuracy"].mean(), "half": half})
    return pd.DataFrame(rows)
