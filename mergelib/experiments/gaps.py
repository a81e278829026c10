"""Is one method better than another? Gaps between average accuracies by the paired bootstrap."""

import numpy as np
import pandas as pd

from ..evaluate import unpack_hits


def paired_gaps(table, pairs, draws=2000, seed=0):
    """Gaps of the average accuracy (points) of pairs of labels: DataFrame of method, over, gap, low, high.

    `table`: rows of `measure`, of one or more fine-tuning seeds; `pairs`: (method, over) labels. Each draw resamples every
    task's pictures, the same ones for both methods and all seeds; low and high are the 2.5 and 97.5 % quantiles.
    Raises ValueError unless both methods were measured once on the same tasks and seeds.
    """
    hits = _hits(table)
    rows = []
    for method, over in pairs:
        if hits[method].keys() != hits[over].keys():
            raise ValueError(f"{method} and {over} were not measured on the same tasks and seeds.")
        rng = np.random.default_rng(seed)
        tasks = {task for task, _ in hits[method]}
        difference = [np.mean([hits[method][key] - hits[over][key] for key in hits[method] if key[0] == task], axis=0)
                      for task in sorted(tasks)]          # per task, over its pictures
        drawn = sum(d[rng.integers(len(d), size=(draws, len(d)))].mean(axis=1) for d in difference) / len(difference)
        low, high = np.quantile(drawn, (0.025, 0.975))
        gap = np.mean([d.mean() for d in difference])
        rows.append({"method": method, "over": over, "gap": 100 * gap, "low": 100 * low, "high": 100 * high})
    return pd.DataFrame(rows)


def _hits(table):
    """Per label: (task, seed) -> which pictures were right, as zeros and ones; ValueError if a label has two answers."""
    rows = table[table["metric"] == "accuracy"]
    if rows.duplicated(["label", "task", "seed"]).any():
        raise ValueError("A method occurs with several settings, subsets or splits; give one measurement of each.")
    return {name: {(row.task, row.seed): unpack_hits(row.hits, int(row.n)).astype(float)
                   for row in part[["task", "seed", "hits", "count"]].rename(columns={"count": "n"}).itertuples()}
            for name, part in rows.groupby("label")}
