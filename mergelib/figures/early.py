"""How do the items of notebooks 01 to 05 and 14 look? One function per figure: a tidy DataFrame goes in, a Figure comes out."""

import numpy as np
import pandas as pd
import seaborn as sns

from ..benchmark import load_pictures, load_task
from ..style import PALETTE, STYLE, style_of
from .base import heat, lines, new_figure

# --- notebook 01 ------------------------------------------------------------------------------------------------------

def contact_sheet(name, columns=12):
    """Every class of a task: its web picture above, a field picture below, the class name under both."""
    task = load_task(name)
    count, rows = len(task.classes), -(-len(task.classes) // columns)
    (web, _), (field, _) = load_pictures(name, "web", count), load_pictures(name, "train", count)
    figure, axes = new_figure(columns * 0.62, rows * 1.55, nrows=rows, ncols=columns, squeeze=False)
    for k, axis in enumerate(axes.flat):
        axis.axis("off")
        if k < count:
            axis.imshow(np.concatenate([web[k], np.full((2, 32, 3), 255, np.uint8), field[k]]), interpolation="nearest")
            words = task.classes[k].split()
            half = (len(words) + 1) // 2
            axis.set_title(" ".join(words[:half]) + "\n" + " ".join(words[half:]), fontsize=5, y=-0.25)
    return figure


def overview(names, columns=8):
    """A row of field pictures per task, of different classes."""
    figure, axes = new_figure(columns * 0.45, len(names) * 0.38, nrows=len(names), ncols=columns, squeeze=False)
    for name, row in zip(names, axes):
        pixels, _ = load_pictures(name, "train", len(load_task(name).classes))
        for k, axis in enumerate(row):
            axis.imshow(pixels[k * len(pixels) // columns], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=6, rotation=0, ha="right", va="center")
    return figure


def regime(table):
    """Zero-shot, task arithmetic and expert accuracy of each task (the embedded benchmark's regime)."""
    figure, axis = new_figure(6.4, 3.4)
    rows = table.drop("mean")
    places = np.arange(len(rows))
    for column, name in (("zero-shot", "Pre-trained"), ("task arithmetic", "Task Arithmetic"), ("expert", "Individual")):
        colour, marker = STYLE[name]
        axis.plot(places, rows[column], marker=marker, linestyle="", markersize=9, color=colour, label=name)
    axis.vlines(places, rows["zero-shot"], rows["expert"], color="0.8", zorder=0)
    axis.set_xticks(places, rows.index, rotation=25)
    axis.set(ylabel="accuracy on test pictures (%)", ylim=(0, 102))
    axis.legend(loc="lower right")
    return figure


# --- notebook 02 ------------------------------------------------------------------------------------------------------

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


# --- notebook 03 ------------------------------------------------------------------------------------------------------

def convergence(table):
    """The rebuttal's convergence curves: DOGE's loss, relative to its start, against solver steps.

    Solvers of one problem follow each other and share a colour.
    """
    figure, axis = new_figure()
    for i, (solver, part) in enumerate(table.groupby("solver", sort=False)):
        colour, middle = PALETTE[(0, 3)[i // 2]], part.groupby("step")["loss"]
        axis.plot(middle.median().index, middle.median(), ("-", "--")[i % 2], color=colour, label=f"{solver}, median")
        axis.fill_between(middle.median().index, middle.min(), middle.max(), alpha=0.15, color=colour, lw=0)
    axis.set(xscale="log", yscale="log", xlabel="steps", ylabel="loss / loss before the first step")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def solver_budget(table):
    """Accuracy of DOGE TA against solver steps, conjugate gradients and Adam."""
    figure, axis = new_figure()
    for solver, part in table.groupby("solver", sort=False):
        colour, marker = (STYLE["DOGE TA (exact)"] if solver == "conjugate gradients" else STYLE["DOGE TA (paper)"])
        axis.plot(part["steps"], part["accuracy"], marker=marker, color=colour, label=solver)
    axis.set(xscale="log", xlabel="steps", ylabel="average accuracy on eight tasks (%)")
    axis.legend()
    return figure


def taylor(table):
    """The rebuttal's Taylor check: change of each task's loss along the merged direction, first order and actual."""
    figure, axes = new_figure(8.4, 4.2, nrows=2, ncols=4, sharex=True)
    for axis, (name, part) in zip(axes.flat, table.groupby("task", sort=False)):
        axis.plot(part["lam"], part["actual"], "-o", markersize=3, color=PALETTE[0], label="actual")
        axis.plot(part["lam"], part["first order"], "--", color=PALETTE[1], label="first order")
        axis.set_title(name)
    axes[0, 0].legend(fontsize=7)
    figure.supxlabel("lambda")
    figure.supylabel("change of the loss (nats)")
    return figure


def selection(table, marks):
    """Validation accuracy against eta for the methods that have one; `marks`: name -> eta drawn as a vertical line."""
    figure, axis = new_figure()
    lines(axis, table.assign(percent=100 * table["accuracy"]), "setting", "percent")
    for (name, eta), style in zip(marks.items(), (":", "-.")):
        axis.axvline(eta, color="0.4", linestyle=style, label=name)
    axis.set(xscale="log", xlabel="eta", ylabel="average accuracy on validation pictures (%)")
    axis.legend(fontsize=7)
    return figure


# --- notebook 04 ------------------------------------------------------------------------------------------------------

def main_tables(tables):
    """The main tables' averages, a panel per tower (name -> rows of `averages` with `published`) and a row per method.

    Markers: measured, thin bars the 95 % interval over test pictures, thick bars from the lowest to the highest fine-tuning
    seed. Hollow circles: published.
    """
    labels = list(dict.fromkeys(pd.concat(tables)["label"]))
    figure, axes = new_figure(9.0, 0.2 * len(labels) + 0.9, ncols=len(tables), sharey=True, squeeze=False)
    for (title, table), axis in zip(tables.items(), axes[0]):
        for row in table.itertuples():
            place, (colour, marker) = labels.index(row.label), style_of(row.label)
            axis.plot([row.lowest, row.highest], [place, place], color=colour, linewidth=9, alpha=0.3, solid_capstyle="butt")
            axis.errorbar(row.accuracy, place, xerr=row.half, color=colour, marker=marker, markersize=4, capsize=2)
            axis.plot(row.published, place, marker="o", markerfacecolor="none", color="0.4")
        axis.set(title=title, xlabel="average accuracy (%)")
    axes[0, 0].set_yticks(range(len(labels)), labels, fontsize=7)
    axes[0, 0].set(ylabel="method", ylim=(len(labels) - 0.4, -0.6))
    return figure


# --- notebook 05 ------------------------------------------------------------------------------------------------------

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


# --- notebook 14 ------------------------------------------------------------------------------------------------------

def models_kept(table):
    """Accuracy against the models kept (the rebuttal's table): ours with 95 % intervals, hollow circles published."""
    figure, axis = new_figure(8.4, 4.4)
    for row in table.itertuples():
        colour, marker = STYLE[row.label]
        axis.plot([row.kept] * 2, [row.accuracy, row.published], color=colour, linewidth=0.7, linestyle=":")
        axis.plot(row.kept, row.published, marker="o", markerfacecolor="none", color=colour)
        axis.errorbar(row.kept, row.accuracy, yerr=row.half, color=colour, marker=marker, markersize=9, capsize=2, linestyle="",
                      label=row.label)
    axis.set(xscale="log", xlim=(0.9, 9.5), xlabel="models kept (1: one model of the experts' size)", ylim=(0, 100),
             ylabel="average accuracy on eight tasks (%)")
    axis.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axis.minorticks_off()
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
