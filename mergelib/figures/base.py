"""How do all figures look, and where do they go? The house style, and what several figures draw."""

from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib import font_manager, get_data_path

from ..paths import FIGURES, write_atomically
from .style import STYLE

KINDS = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}     # without metadata

# matplotlib's own DejaVu Sans goes before the system's, which differs, so that figures are alike on every machine.
OWN = sorted(Path(get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf"))
for file in OWN:
    font_manager.fontManager.addfont(file)
font_manager.fontManager.ttflist.sort(key=lambda font: Path(font.fname) not in OWN)


def new_figure(width=6.4, height=4.0, **grid):
    """A figure and its axes in the house style (`grid` as for `plt.subplots`)."""
    sns.set_theme(context="paper", style="whitegrid", palette="colorblind", font="DejaVu Sans",
                  rc={"savefig.dpi": 110, "figure.dpi": 80, "pdf.fonttype": 42, "axes.titlesize": 10})
    return plt.subplots(figsize=(width, height), layout="constrained", **grid)


def save(figure, name):
    """Write `figures/<name>.png` and `.pdf` without timestamps (the same figure gives the same bytes) and close it."""
    for kind, metadata in KINDS.items():
        write_atomically(FIGURES / f"{name}.{kind}",
                         lambda part, kind=kind, metadata=metadata: figure.savefig(part, format=kind, metadata=metadata))
    plt.close(figure)


def show(figure, name, alt):
    """Save a figure under a paper item's name and display what was saved, with a text for those who cannot see it."""
    from IPython.display import Image, display
    save(figure, name)
    display(Image(FIGURES / f"{name}.png", alt=alt))


def lines(axis, table, x, y, error=None):
    """One line per `label` of a table, in the house colours and markers."""
    for name, part in table.groupby("label", sort=False):
        colour, marker = STYLE[name]
        axis.errorbar(part[x], part[y], yerr=None if error is None else part[error], label=name, color=colour,
                      marker=marker, markersize=5, linewidth=1.4, capsize=2, elinewidth=0.9)


def heat(axis, table, colours, centre=None, digits=2):
    """An annotated heat map of a DataFrame."""
    sns.heatmap(table, ax=axis, cmap=colours, center=centre, annot=True, fmt=f".{digits}f", annot_kws={"size": 7},
                square=True, cbar_kws={"shrink": 0.8}, linewidths=0.4)
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="x", rotation=40)


def legend_below(figure, axis, columns=4):
    """One legend for the whole figure, below it."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=7)
