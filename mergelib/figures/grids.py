"""How do small matrices look side by side? Every entry is written down; blue is positive, orange negative."""

import numpy as np
import seaborn as sns
from matplotlib.patches import Rectangle

from .base import new_figure
from .style import PALETTE

SIGNS = sns.blend_palette([PALETTE[1], "white", PALETTE[0]], as_cmap=True)
CELL, GAP = 0.46, 0.4       # inches


def matrices(named, decimals=1):
    """Matrices of one height (name -> rows x columns) in a row, on one scale of colours, their names above them."""
    arrays = {name: np.asarray(values, dtype=float) for name, values in named.items()}
    largest = max(np.abs(values).max() for values in arrays.values()) or 1.0
    height = CELL * max(len(values) for values in arrays.values())
    width = sum(CELL * values.shape[1] + GAP for values in arrays.values()) - GAP
    figure, axis = new_figure(width + 0.3, height + 0.5)
    left = 0.0
    for name, values in arrays.items():
        written = [[f"{x:z.{decimals}f}" for x in row] for row in values]
        cells(axis, shades(values, largest), (left, height), CELL, texts=written)
        axis.text(left + CELL * values.shape[1] / 2, height + 0.1, name, ha="center", va="bottom", fontsize=9)
        left += CELL * values.shape[1] + GAP
    axis.set(xlim=(-0.1, width + 0.1), ylim=(-0.05, height + 0.4), aspect="equal")
    axis.set_axis_off()
    return figure


def shades(values, largest):
    """The colour of each entry, rows x columns: pale if it is small beside `largest`, so that what is written on it is read."""
    return [[SIGNS(0.5 + 0.35 * x / largest) for x in row] for row in values]


def cells(axis, colours, corner, size, gap=0.0, texts=None, fontsize=8):
    """Coloured squares (rows x columns) from their upper left `corner` on, with a `gap` between rows and words in them."""
    for i, row in enumerate(colours):
        for j, colour in enumerate(row):
            x, y = corner[0] + j * size, corner[1] - (i + 1) * size - i * gap
            axis.add_patch(Rectangle((x, y), size, size, facecolor=colour, edgecolor="0.6", linewidth=0.6))
            if texts is not None:
                faint = set(texts[i][j]) <= set("-0.")
                axis.text(x + size / 2, y + size / 2, texts[i][j], ha="center", va="center", fontsize=fontsize,
                          color="0.6" if faint else "0.1")
