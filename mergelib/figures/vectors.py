"""How do the task vectors look, and what they do to each other? DOGE Fig. 2 and 3, TATR Def. 1, AdaMerging Fig. 1."""

import seaborn as sns

from .base import heat, lines, new_figure
from .style import PALETTE, STYLE


def cosines(table):
    """DOGE Fig. 2a: cosine similarity of the task vectors."""
    figure, axis = new_figure(5.6, 4.6)
    heat(axis, table, "cividis")
    return figure


def magnitudes(table):
    """DOGE Fig. 3: root mean square of the task vectors' elements, tasks by tensors."""
    figure, axis = new_figure(8.4, 3.2)
    sns.heatmap(table * 1e4, ax=axis, cmap="cividis", cbar_kws={"label": "rms of an element (1e-4)"})
    axis.set(xlabel="tensor, from the input to the output", ylabel="")
    axis.tick_params(axis="x", labelsize=6, rotation=90)
    return figure


def subspace_shares(table):
    """What DOGE Fig. 2b sketches, measured: the share of each task vector that lies in the shared subspace."""
    figure, axis = new_figure(6.4, 3.4)
    for i, (name, part) in enumerate(table.groupby("task", sort=False)):
        axis.plot(part["layer"], part["share"], marker="osv^dXP*"[i], markersize=4, color=PALETTE[i], label=name, lw=1)
    axis.plot(part["layer"], part["chance"], color="0.3", linestyle="--", label="a random subspace")
    axis.set(xlabel="matrix, from the input to the output", ylabel="share of squared norm inside", ylim=(0, 1.25))
    axis.tick_params(axis="x", labelsize=6, rotation=90)
    axis.legend(ncols=3, fontsize=7)
    return figure


def conflicts(matrix):
    """TATR Definition 1: how much adding task i (column) raises the loss of task j (row)."""
    figure, axis = new_figure(5.8, 4.8)
    heat(axis, matrix, "PuOr_r", centre=0)
    axis.set(xlabel="task added", ylabel="task that is measured")
    return figure


def lambda_sweep(table, levels):
    """AdaMerging Fig. 1: average accuracy against the coefficient, and methods without one as levels."""
    figure, axis = new_figure()
    lines(axis, table, "lam", "accuracy")
    for name, value in levels.items():
        crowded = any(value < other < value + 4 for other in levels.values())        # the name would lie on the next level
        axis.axhline(value, color=STYLE[name][0], linestyle="--", linewidth=1.2)
        axis.annotate(name, (1.0, value), textcoords="offset points", xytext=(0, -9 if crowded else 3), ha="right", fontsize=7)
    axis.set(xlabel="merging coefficient lambda", ylabel="average accuracy on eight tasks (%)", ylim=(0, 100))
    axis.legend(fontsize=7, loc="upper right", bbox_to_anchor=(1, 0.8))
    return figure
