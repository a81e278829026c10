"""How does accuracy fall as tasks are added? DOGE Fig. 1."""

import numpy as np

from .base import lines, new_figure


def task_count(table):
    """DOGE Fig. 1: average accuracy against the number of merged tasks, with 95 % intervals."""
    figure, axis = new_figure(6.6, 4.2)
    labels = list(dict.fromkeys(table["label"]))
    gap = min(0.05, 0.8 / len(labels))
    shift = {name: (i - (len(labels) - 1) / 2) * gap for i, name in enumerate(labels)}
    lines(axis, table.assign(place=table["size"] + table["label"].map(shift)), "place", "accuracy", "half")
    axis.set(xlabel="number of merged tasks", ylabel="average accuracy on the merged tasks (%)",
             xticks=sorted(table["size"].unique()), ylim=np.clip(axis.get_ylim(), 0, 100))
    axis.legend(fontsize=7, ncols=2)
    return figure
