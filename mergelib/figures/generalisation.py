"""How good are merged models on tasks that were not merged? DOGE Tab. 5 and its siblings."""

from .base import legend_below, new_figure
from .style import STYLE


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
    legend_below(figure, axes[0])
    return figure
