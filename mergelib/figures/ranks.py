"""What does the shared subspace's size, and delta's direction, do? DOGE Fig. 4 and Tab. 7."""

from .base import new_figure
from .style import PALETTE

DIRECTIONS = {"orthogonal": (PALETTE[0], "o"), "along": (PALETTE[3], "s"), "free": ("0.4", "")}


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
