"""What does a setting do to every task? A panel of sliders that merges the embedded benchmark anew when one is moved.

It looks at a few validation pictures per task, so that an answer takes a second or two: good for finding a setting, which is
then measured on all test pictures with `evaluate`.
"""

import base64
import html
import io

import matplotlib.pyplot as plt
import pandas as pd

from ..measure.scoring import score
from ..merging.loop import merge
from ..methods import METHODS
from .base import legend_below, new_figure
from .style import STYLE

CHOICES = {         # name as in the figures: method, and what the sliders leave as it is
    "Task Arithmetic": ("task-arithmetic", {}),
    "Ties-Merging (code)": ("ties", {"preset": "code"}),
    "DOGE TA (exact)": ("doge-ta", {"preset": "exact", "damping": 1.0}),
}
SLIDERS = {         # option: its name on the panel, where it starts, lowest, highest, step
    "lam": ("lambda", 0.15, 0.0, 1.0, 0.05),
    "eta": ("eta", 0.15, 0.01, 0.5, 0.01),
    "rank_ratio": ("rank ratio", 1 / 6, 0.0, 1.0, 1 / 12),
}


class Sample:
    """The first `count` validation pictures of every task of a suite, and how many the base and the experts get right."""

    def __init__(self, suite, count=100):
        self.suite, self.count = suite, count
        self.pictures = {task: suite.pictures(task, "validation", count) for task in suite.tasks}
        self.base, self.experts = self._measure(suite.base)["accuracy"], self._measure(suite.experts)["accuracy"]

    def merged(self, label, tasks, **settings):
        """Merge the experts of some tasks and measure all tasks.

        `label`: in `CHOICES`; `settings`: see `SLIDERS`, those that the method does not have are left out. Returns a
        DataFrame, a row per task: label, chosen (was it merged?), base, expert, accuracy, low, high (%, 95 % Wilson interval
        over the pictures). Raises ValueError if there is no task.
        """
        method, fixed = CHOICES[label]
        known = {name: value for name, value in settings.items() if name in METHODS[method].options}
        experts = {task: self.suite.experts[task] for task in tasks}
        table = self._measure(merge(method, self.suite.base, experts, **fixed, **known))
        chosen = [task in experts for task in table.index]
        return table.assign(label=label, chosen=chosen, base=self.base, expert=self.experts)

    def _measure(self, model):
        """Accuracy with its interval of each task, in percent."""
        rows = {task: score(self.suite.logits(model, task, pixels), labels)
                for task, (pixels, labels) in self.pictures.items()}
        return 100 * pd.DataFrame(rows).T[["accuracy", "low", "high"]]


def panel(sample):
    """The panel of a `Sample`, a widget for the last line of a cell; every move of a control merges and measures anew."""
    import ipywidgets as widgets

    answer = widgets.HTML()
    method = widgets.Dropdown(options=list(CHOICES), description="method")
    sliders = {option: widgets.FloatSlider(value, min=low, max=high, step=step, description=name, continuous_update=False)
               for option, (name, value, low, high, step) in SLIDERS.items()}
    boxes = {task: widgets.Checkbox(True, description=task) for task in sample.suite.tasks}

    def update(change=None):
        for option, slider in sliders.items():
            slider.disabled = option not in METHODS[CHOICES[method.value][0]].options
        answer.value = "<p>merging ...</p>"
        tasks = [task for task, box in boxes.items() if box.value]
        settings = {option: slider.value for option, slider in sliders.items()}
        try:
            answer.value = describe(sample.merged(method.value, tasks, **settings), sample.count)
        except ValueError as error:
            answer.value = f"<p>{html.escape(str(error))}</p>"

    for control in (method, *sliders.values(), *boxes.values()):
        control.observe(update, "value")
    update()
    return widgets.HBox([widgets.VBox([method, *sliders.values(), *boxes.values()]), answer])


def describe(table, count):
    """A table of `Sample.merged` as HTML: the average over the merged tasks with its error, the picture, and both in words."""
    tasks = table[table["chosen"]]
    hits = tasks["accuracy"] / 100
    half = 196 * (hits * (1 - hits) / count).sum() ** 0.5 / len(tasks)      # normal approximation, tasks independent
    words = ", ".join(f"{task} {value:.0f}" for task, value in table["accuracy"].items())
    figure = settings({"": table})
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    plt.close(figure)
    return (f"<p><b>{tasks['accuracy'].mean():.1f} &plusmn; {half:.1f} %</b> on the merged tasks "
            f"({len(tasks)}; {count} validation pictures each, 95 % interval)</p>"
            f'<img alt="Accuracy (%): {words}" src="data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}">')


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
    legend_below(figure, axes[0, 0])
    return figure
