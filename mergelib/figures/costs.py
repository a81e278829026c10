"""How long does a merge take, what does it need, what does its model keep? DOGE Tab. 10, the rebuttal."""

from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from .base import new_figure
from .style import PALETTE, STYLE

OTHERS = {"mergelib": (PALETTE[0], "D"), "mergekit": (PALETTE[1], "s"), "published": ("0.3", "o")}


def cost(table, row):
    """Seconds and memory side by side; columns: `row` (names the axis), label, seconds, memory (MB). Hollow: published."""
    figure, axes = new_figure(8.4, 3.2, ncols=2, sharey=True)
    rows = list(dict.fromkeys(table[row]))
    for axis, quantity, name in zip(axes, ("seconds", "memory"), ("time (s)", "memory (MB)")):
        for label, part in table.groupby("label", sort=False):
            colour, marker = STYLE.get(label) or OTHERS[label]
            axis.plot(part[quantity], [rows.index(value) for value in part[row]], linestyle="", color=colour, marker=marker,
                      markersize=8, markerfacecolor="none" if label == "published" else colour, label=label)
        axis.set(xscale="log", xlabel=name)
        _plain_ticks(axis.xaxis)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set(ylabel=row, ylim=(len(rows) - 0.5, -0.5))
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def growth(panels):
    """Seconds against what grows: name of that -> table with columns label, x, seconds; dashed: in proportion to it."""
    figure, axes = new_figure(8.4, 3.6, ncols=len(panels))
    for axis, (name, table) in zip(axes, panels.items()):
        for label, part in table.groupby("label", sort=False):
            colour, marker = STYLE[label]
            axis.plot(part["x"], part["seconds"], color=colour, marker=marker, label=label)
            axis.plot(part["x"], part["x"] * (part["seconds"] / part["x"]).iloc[0], color=colour, linestyle="--", linewidth=0.7)
        axis.set(xscale="log", yscale="log", xlabel=name, ylabel="time (s)")
        _plain_ticks(axis.xaxis)
        _plain_ticks(axis.yaxis)
    axes[0].legend(fontsize=7)
    return figure


def _plain_ticks(axis):
    """Ticks at 1, 2, 5, 10, ... written out, on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


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
