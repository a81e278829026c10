"""How do corrupted pictures look, and what do they cost? AdaMerging Fig. 6, DOGE Tab. 8."""

from ..tasks.corruptions import CORRUPTIONS, SEVERITIES, condition
from .base import legend_below, lines, new_figure


def corrupted(suite, tasks, definition, severities=(1, 3, 5)):
    """AdaMerging Fig. 6: a test picture of each task, clean and under every corruption (rows) at some severities."""
    figure, axes = new_figure(len(tasks) * len(severities) * 0.55, 4.9, nrows=8, ncols=len(tasks) * len(severities))
    for row, name in zip(axes, ("clean", *CORRUPTIONS)):
        for k, axis in enumerate(row):
            task, severity = tasks[k // len(severities)], severities[k % len(severities)]
            under = suite.under("clean" if name == "clean" else condition(name, severity, definition))
            axis.imshow(under.pictures(task, "test", len(tasks))[0][k // len(severities)], interpolation="nearest")
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
    legend_below(figure, axes[0, 0], 5)
    return figure
