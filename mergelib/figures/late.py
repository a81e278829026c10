"""How do the items of notebooks 06 to 11, 15 and 16 look? One function per figure: a DataFrame goes in, a Figure comes out."""

import numpy as np
import seaborn as sns

from ..benchmark.corruptions import CORRUPTIONS, SEVERITIES, condition
from ..style import PALETTE, STYLE
from .base import lines, new_figure

TASK_MARKERS = "osv^dXP*"
READINGS = {"code": STYLE["DOGE TA (code)"], "exact": STYLE["DOGE TA (exact)"], "paper": STYLE["DOGE TA (paper)"],
            "": STYLE["Norm-based lambda (code)"]}
DIRECTIONS = {"orthogonal": (PALETTE[0], "o"), "along": (PALETTE[3], "s"), "free": ("0.4", "")}
PARTS = {"orthogonal": (PALETTE[0], "o"), "positive": (PALETTE[3], "^"), "negative": (PALETTE[2], "v"), "base": ("0.2", "*")}


def _legend_below(figure, axis, columns=4):
    """One legend for the whole figure, below it."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=7)


# --- notebook 06 ------------------------------------------------------------------------------------------------------

def unseen(tables):
    """Accuracy on unseen against seen tasks, a panel per split (title -> what `seen_and_unseen` gives), with 95 % intervals."""
    figure, axes = new_figure(9.6, 4.4, ncols=len(tables))
    for axis, (title, table) in zip(axes, tables.items()):
        for row in table.itertuples():
            (colour, marker), (name, x, dx, y, dy) = STYLE[row[0]], row
            axis.errorbar(x, y, xerr=dx, yerr=dy, color=colour, marker=marker, label=name, linestyle="", elinewidth=0.7)
        axis.axhline(table.loc["Pre-trained", ("unseen", "accuracy")], color="0.6", linestyle="--", linewidth=0.8)
        axis.set_title(title)
    axes[0].set_ylabel("average accuracy on unseen tasks (%)")
    axes[1].set_xlabel("average accuracy on merged tasks (%)")
    _legend_below(figure, axes[0])
    return figure


# --- notebooks 07, 08 and 15 ------------------------------------------------------------------------------------------

def ablation(table):
    """DOGE Tab. 6: average accuracy without a part; columns without, reading, accuracy, half."""
    figure, axis = new_figure(6.4, 2.8)
    names = list(dict.fromkeys(table["without"]))
    for (reading, part), shift in zip(table.groupby("reading", sort=False), (-0.12, 0.12, 0)):
        colour, marker = READINGS[reading]
        places = [names.index(name) + shift for name in part["without"]]
        axis.errorbar(part["accuracy"], places, xerr=part["half"], color=colour, marker=marker, linestyle="", capsize=2,
                      label=f"DOGE TA ({reading})" if reading else "no delta")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlabel="average accuracy on eight tasks (%)", ylabel="left out")
    axis.legend(fontsize=7)
    return figure


def eta(table, published):
    """The rebuttal's sensitivity: test accuracy against eta, and the published values (a Series by eta)."""
    figure, axis = new_figure(6.4, 4.0)
    lines(axis, table, "eta", "accuracy", "half")
    axis.plot(published.index, published, color="0.4", marker="o", markerfacecolor="none", linestyle=":", label="published")
    axis.set(xscale="log", xlabel="eta", ylabel="average accuracy on eight tasks (%)", ylim=(0, 90))
    axis.set_xticks([0.01, 0.03, 0.05, 0.1, 0.2, 0.3], ["0.01", "0.03", "0.05", "0.1", "0.2", "0.3"])
    axis.minorticks_off()
    axis.legend(fontsize=7)
    return figure


def rank(table, explained):
    """DOGE Fig. 4: accuracy against the rank ratio by direction, a panel per reading; dotted: what the directions explain."""
    readings = list(dict.fromkeys(table["preset"]))
    figure, axes = new_figure(8.6, 3.8, ncols=len(readings), sharey=True)
    for axis, reading in zip(axes, readings):
        for direction, part in table[table["preset"] == reading].groupby("direction", sort=False):
            colour, marker = DIRECTIONS[direction]
            if direction == "free":
                axis.axhline(part["accuracy"].iloc[0], color=colour, linestyle="--", label="without a subspace")
            else:
                axis.errorbar(part["rank_ratio"], part["accuracy"], yerr=part["half"], color=colour, marker=marker,
                              markersize=4, capsize=2, label=f"delta {direction}")
        axis.plot(explained.index, 100 * explained["bases"], color="0.6", linestyle=":", label="explained (%)")
        axis.set(title=f"DOGE TA ({reading})", xlabel="rank ratio of the shared subspace")
    axes[0].set_ylabel("average accuracy on eight tasks (%)")
    axes[0].legend(fontsize=7)
    return figure


def directions(table):
    """DOGE Tab. 7: accuracy of each task (rows) for each direction (columns), as lines from task to task."""
    figure, axis = new_figure(6.4, 3.4)
    for name, (colour, marker) in DIRECTIONS.items():
        axis.plot(range(len(table)), table[name], color=colour, marker=marker or "D", linestyle="", markersize=8, label=name)
    axis.set_xticks(range(len(table)), table.index, rotation=25)
    axis.set(ylabel="accuracy (%)")
    axis.legend(title="delta", fontsize=7)
    return figure


def changes(table):
    """Notebook 15: what one change towards the text costs; columns change, chosen, accuracy, half."""
    figure, axis = new_figure(6.8, 3.4)
    names = list(dict.fromkeys(table["change"]))
    for chosen, colour, marker, shift in (("as released", PALETTE[4], "X", -0.12), ("anew", PALETTE[0], "o", 0.12)):
        part = table[table["chosen"] == chosen]
        places = [names.index(name) + shift for name in part["change"]]
        axis.errorbar(part["accuracy"], places, xerr=part["half"], color=colour, marker=marker, linestyle="", capsize=2,
                      label=f"eta {chosen}".replace("anew", "chosen anew"))
    axis.axvline(table["accuracy"].iloc[0], color="0.6", linestyle="--", linewidth=0.8)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlabel="average accuracy on eight tasks (%)")
    axis.legend(fontsize=7)
    return figure


# --- notebook 09 ------------------------------------------------------------------------------------------------------

def corrupted(suite, tasks, definition, severities=(1, 3, 5)):
    """AdaMerging Fig. 6: a test picture of each task, clean and under every corruption (rows) at some severities."""
    figure, axes = new_figure(len(tasks) * len(severities) * 0.55, 4.9, nrows=8, ncols=len(tasks) * len(severities))
    for row, name in zip(axes, ("clean", *CORRUPTIONS)):
        for k, axis in enumerate(row):
            task, severity = tasks[k // len(severities)], severities[k % len(severities)]
            under = suite.under("clean" if name == "clean" else condition(name, severity, definition))
            axis.imshow(under.pictures(task, "test")[0][k // len(severities)], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if name == "clean":
                axis.set_title(f"{severity}", fontsize=7)
        row[0].set_ylabel(name, fontsize=7, rotation=0, ha="right", va="center")
    return figure


def severities(table):
    """Accuracy against severity, a panel per corruption (columns) and definition (rows); severity 0 is clean."""
    figure, axes = new_figure(11.0, 4.6, nrows=2, ncols=len(CORRUPTIONS), sharex=True, sharey=True)
    for row, (definition, part) in zip(axes, table.groupby("definition", sort=False)):
        for axis, name in zip(row, CORRUPTIONS):
            lines(axis, part[part["corruption"] == name].sort_values("severity"), "severity", "accuracy")
        row[0].set_ylabel(f"accuracy (%), {definition}")
    for axis, name in zip(axes[0], CORRUPTIONS):
        axis.set_title(name)
    axes[0, 0].set(xticks=(0, *SEVERITIES), ylim=(0, 100))
    axes[1, 3].set_xlabel("severity")
    _legend_below(figure, axes[0, 0], 5)
    return figure


# --- notebook 10 ------------------------------------------------------------------------------------------------------

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


# --- notebook 11 ------------------------------------------------------------------------------------------------------

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
    _legend_below(figure, axes[0, 0])
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


# --- notebook 16 ------------------------------------------------------------------------------------------------------

def settings(tables):
    """Each task between base and expert, a panel per setting (title -> `panel.Sample.merged`); hollow: not merged."""
    figure, axes = new_figure(2.2 * len(tables) + 2, 3.2, ncols=len(tables), sharey=True, squeeze=False)
    for (title, table), axis in zip(tables.items(), axes[0]):
        axis.hlines(table.index, table["base"], table["expert"], color="0.8", zorder=0)
        axis.plot(table["base"], table.index, color=STYLE["Pre-trained"][0], marker="|", markersize=9, linestyle="",
                  label="Pre-trained")
        axis.plot(table["expert"], table.index, color=STYLE["Individual"][0], marker=STYLE["Individual"][1], linestyle="",
                  label="Individual")
        for row in table.itertuples():
            colour, marker = STYLE[row.label]
            axis.errorbar(row.accuracy, row.Index, xerr=[[row.accuracy - row.low], [row.high - row.accuracy]], color=colour,
                          marker=marker, markerfacecolor=colour if row.chosen else "white", markersize=6, capsize=2)
        axis.set(title=title, xlabel="accuracy (%)", xlim=(0, 102))
        axis.grid(visible=False, axis="y")
    axes[0, 0].invert_yaxis()
    _legend_below(figure, axes[0, 0])
    return figure
