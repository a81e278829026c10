"""How do the benchmark's tasks and its regime look?"""

import numpy as np

from ..tasks import load_pictures, load_task
from .base import new_figure
from .style import STYLE


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
