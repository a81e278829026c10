"""Where do tasks conflict, and what is a trust region worth? TATR Fig. 2 to 6."""

import numpy as np

from .base import legend_below, new_figure
from .style import PALETTE, STYLE, TASK_MARKERS

PARTS = {"orthogonal": (PALETTE[0], "o"), "positive": (PALETTE[3], "^"), "negative": (PALETTE[2], "v"), "base": ("0.2", "*")}


def component_bars(table):
    """TATR Fig. 2a: accuracy of each task (rows) when only some entries are merged (columns, in the order given)."""
    figure, axis = new_figure(7.4, 3.4)
    places, width = np.arange(len(table)), 0.8 / len(table.columns)
    for i, (name, values) in enumerate(table.items()):
        shift = (i - (len(table.columns) - 1) / 2) * width
        axis.bar(places + shift, values, width, label=name, color=PALETTE[(7, 3, 2, 0)[i % 4]])
    axis.set_xticks(places, table.index, rotation=25)
    axis.set(ylabel="accuracy (%)", ylim=(0, 100))
    axis.legend(fontsize=7, ncols=len(table.columns))
    return figure


def landscapes(points, base, columns=4):
    """TATR Fig. 2b, 2c, 5, 6: contours of the loss on the plane of the three components, a panel per title."""
    titles = list(dict.fromkeys(points["title"]))
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    figure, axes = new_figure(2.5 * columns + 0.6, 2.5 * rows + 0.5, nrows=rows, ncols=columns, squeeze=False)
    for axis, title in zip(axes.flat, titles):
        grid = points[points["title"] == title].pivot(index="y", columns="x", values="loss")
        drawn = axis.contourf(grid.columns, grid.index, grid, 14, cmap="cividis")
        figure.colorbar(drawn, ax=axis, shrink=0.8).ax.tick_params(labelsize=6)
        place = base[base["title"] == title].iloc[0]
        for name, at in {"orthogonal": (0, 0), "positive": (1, 0), "negative": (0, 1), "base": (place.x, place.y)}.items():
            colour, marker = PARTS[name]
            axis.plot(*at, marker=marker, color=colour, markeredgecolor="white", markersize=8, linestyle="", label=name)
        axis.set(title=title, xlim=(-0.2, 1.2), ylim=(-0.2, 1.2))
    axes[-1, 0].set(xlabel="towards the positive part", ylabel="towards the negative part")
    legend_below(figure, axes[0, 0])
    return figure


def trust(exemplars, ratios, level):
    """TATR Fig. 3: accuracy against the number of exemplars and against the fraction left out; `level`: task arithmetic's."""
    figure, (left, right) = new_figure(8.6, 3.4, ncols=2, sharey=True)
    left.errorbar(exemplars["examples"], exemplars["accuracy"], yerr=exemplars["half"], color=PALETTE[0], marker="o",
                  capsize=2)
    left.set(xscale="log", xlabel="exemplars per task", ylabel="average accuracy on eight tasks (%)")
    left.set_xticks(exemplars["examples"], exemplars["examples"])
    for i, (name, part) in enumerate(ratios.groupby("label", sort=False)):
        right.errorbar(100 * part["ratio"], part["accuracy"], yerr=part["half"], color=PALETTE[(0, 3)[i]], marker="os"[i],
                       capsize=2, label=name)
    right.set(xlabel="entries left out (%)")
    for axis in (left, right):
        axis.axhline(level, color=STYLE["Task Arithmetic"][0], linestyle="--", label="Task Arithmetic")
        axis.minorticks_off()
    right.legend(fontsize=7)
    return figure


def sensitivity(table):
    """TATR Fig. 4: mean sensitivity of each data set (columns) to the other task vectors, tensor by tensor (rows)."""
    figure, axis = new_figure(9.6, 4.2)
    for i, (task, values) in enumerate(table.items()):
        axis.plot(range(len(values)), values, color=PALETTE[i], marker=TASK_MARKERS[i], markersize=3, linewidth=0.7, label=task)
    axis.set_xticks(range(len(table)), table.index, rotation=90, fontsize=4.5)
    axis.set(yscale="log", xlabel="tensor, from the input to the output", ylabel="mean sensitivity of an entry")
    axis.legend(fontsize=7, ncols=4)
    return figure
