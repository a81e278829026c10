"""How do entropy and learned coefficients look? AdaMerging Fig. 3 to 5 and 7 to 11."""

import seaborn as sns

from .base import new_figure
from .style import PALETTE, TASK_MARKERS


def entropy_groups(groups, rho):
    """AdaMerging Fig. 3: mean loss by entropy group over all tasks, and Spearman's correlation by task (`rho`, a Series)."""
    figure, (left, right) = new_figure(8.6, 3.4, ncols=2)
    left.bar(range(len(groups)), groups["loss"], color=PALETTE[0])
    left.set_xticks(range(len(groups)), [f"{edge:.1f}" for edge in groups.index])
    left.set(xlabel="entropy from (nats)", ylabel="mean loss (nats)")
    right.bar(range(len(rho)), rho, color=[PALETTE[0]] * (len(rho) - 1) + [PALETTE[4]])
    right.set_xticks(range(len(rho)), rho.index, rotation=35, ha="right")
    right.set(ylabel="Spearman correlation", ylim=(0, 1))
    return figure


def entropy_by_task(groups):
    """AdaMerging Fig. 11: mean loss by entropy group, a panel per task (first level of the index)."""
    figure, axes = new_figure(8.6, 4.2, nrows=2, ncols=4, sharex=True)
    for axis, (name, part) in zip(axes.flat, groups.groupby(level="task", sort=False)):
        axis.bar(part.index.get_level_values("group"), part["loss"], width=0.08, align="edge", color=PALETTE[0])
        axis.set_title(name)
    figure.supxlabel("entropy from (nats)", fontsize=9)
    figure.supylabel("mean loss (nats)", fontsize=9)
    return figure


def coefficient_paths(table):
    """AdaMerging Fig. 4: task-wise coefficients against steps, a panel per method and a line per task vector."""
    labels = list(dict.fromkeys(table["label"]))
    figure, axes = new_figure(8.6, 3.6, ncols=len(labels), sharey=True)
    for axis, name in zip(axes, labels):
        for i, (task, part) in enumerate(table[table["label"] == name].groupby("task", sort=False)):
            axis.plot(part["step"], part["lam"], color=PALETTE[i], marker=TASK_MARKERS[i], markevery=10, markersize=4,
                      label=task)
        axis.set(title=name, xlabel="steps")
    axes[0].set_ylabel("coefficient of the task vector")
    axes[0].legend(fontsize=7, ncols=2)
    return figure


def coefficient_heat(table):
    """AdaMerging Fig. 5, 7 to 10: layer-wise coefficients, a panel per method; rows are task vectors, columns tensors."""
    labels = list(dict.fromkeys(table["label"]))
    figure, axes = new_figure(9.6, 2.5 * len(labels) + 0.6, nrows=len(labels), squeeze=False)
    low, high = table["lam"].min(), table["lam"].max()
    for axis, name in zip(axes[:, 0], labels):
        wide = table[table["label"] == name].pivot_table(index="task", columns="tensor", values="lam", sort=False)
        sns.heatmap(wide, ax=axis, cmap="cividis", vmin=low, vmax=high, xticklabels=True, cbar_kws={"label": "coefficient"})
        axis.tick_params(axis="x", labelsize=4.5, rotation=90)
        axis.set(title=name, xlabel="", ylabel="")
    axes[-1, 0].set_xlabel("tensor, from the input to the output")
    return figure
