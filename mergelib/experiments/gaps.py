"""Is one method better than another? Gaps between average accuracies with paired-bootstrap intervals."""

import numpy as np
import pandas as pd

from ..evaluate import unpack_hits


def paired_gaps(table, pairs, draws=2000, seed=0):
    """Gaps of the average accuracy (points) of pairs of labels: DataFrame of method, over, gap, low, high.

    `table`: rows of `measure`, of one or more fine-tuning seeds; `pairs`: (method, over) labels. Each draw resamples every
    task's pictures, the same ones for both methods and all seeds; low and high are the 2.5 and 97.5 % quantiles.
    """
    hits = _hits(table)
    rows = []
    for method, over in pairs:
        rng = np.random.default_rng(seed)
        difference = [mine - theirs for mine, theirs in zip(hits[method], hits[over])]          # per task, over pictures
        drawn = sum(d[rng.integers(len(d), size=(draws, len(d)))].mean(axis=1) for d in difference) / len(difference)
        low, high = np.quantile(drawn, (0.025, 0.975))
        gap = np.mean([d.mean() for d in difference])
        rows.append({"method": method, "over": over, "gap": 100 * gap, "low": 100 * low, "high": 100 * high})
    return pd.DataFrame(rows)


def _hits(table):
    """Per label a list with a vector per task: how often each picture was right, averaged over the fine-tuning seeds."""
    rows = table[table["metric"] == "accuracy"].sort_values(["task", "seed"])
    return {name: [np.mean([unpack_hits(text, int(n)) for text, n in zip(task["hits"], task["count"])], axis=0)
                   for _, task in part.groupby("task")] for name, part in rows.groupby("label")}
