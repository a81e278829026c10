"""How do the main tables look as one figure?"""

import pandas as pd

from .base import new_figure
from .style import style_of


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
