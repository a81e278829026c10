"""Are base and experts in the papers' regime? Criteria on the models alone, fixed before methods are compared."""

import pandas as pd

from ..checkpoints.states import flatten_state
from ..tasks.language import GRADED, TEXT_EIGHT
from ..tasks.language.tasks import ANSWERS
from .choosing import best_of
from .measuring import Job, accuracy_table, measure
from .vectors import task_cosines

LAMBDAS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def regime_table(suite, **how):
    """Per task: zero-shot, expert, task arithmetic (percent), and the task vector's relative norm and mean |cosine|.

    Task arithmetic uses the coefficient that is best on the validation pictures. The last row holds the means.
    """
    tried = measure("regime", suite, [Job("task-arithmetic", "", {"lam": lam}, split="validation") for lam in LAMBDAS], **how)
    merged = measure("regime", suite, [Job("task-arithmetic", "", best_of(tried))], **how)
    ends = measure("reference", suite, [Job("pretrained"), Job("individual")], **how)
    rows = accuracy_table(pd.concat([ends, merged])).T.drop("Avg")
    theta_0, cosines = flatten_state(suite.base), task_cosines(suite)
    table = rows.rename(columns={"Pre-trained": "zero-shot", "Individual": "expert", "Task Arithmetic": "task arithmetic"})
    table["relative norm"] = {task: ((flatten_state(expert) - theta_0).norm() / theta_0.norm()).item()
                              for task, expert in suite.experts.items()}
    table["mean |cos|"] = (cosines.abs().sum() - 1) / (len(cosines) - 1)
    return pd.concat([table, table.mean().rename("mean").to_frame().T])


def regime_of(suite):
    """The `regime_table` that was noted when a network was trained; of one of which nothing is noted it is measured."""
    return regime_table(suite) if suite.regime is None else suite.regime


def regime_verdict(table):
    """The design's criteria with what was found: a DataFrame of criterion, found, holds."""
    mean, tasks = table.loc["mean"], table.drop("mean")
    gain = tasks["expert"] - tasks["zero-shot"]
    rows = [
        ("zero-shot average 35 to 60 %", f"{mean['zero-shot']:.1f}", 35 <= mean["zero-shot"] <= 60),
        ("every expert 30 points above zero-shot, or above 90 %",
         f"worst gain {gain.min():.1f}, worst expert {tasks['expert'].min():.1f}",
         bool(((gain >= 30) | (tasks["expert"] > 90)).all())),
        ("individual average at least 92 %", f"{mean['expert']:.1f}", mean["expert"] >= 92),
        ("relative norm of a few percent", f"{tasks['relative norm'].min():.3f} to {tasks['relative norm'].max():.3f}",
         bool(tasks["relative norm"].between(0.005, 0.08).all())),
        ("mean |cosine| below 0.2", f"{mean['mean |cos|']:.3f}", mean["mean |cos|"] < 0.2),
        ("task arithmetic ten points from zero-shot and from individual", f"{mean['task arithmetic']:.1f}",
         mean["zero-shot"] + 10 <= mean["task arithmetic"] <= mean["expert"] - 10)]
    return pd.DataFrame(rows, columns=["criterion", "found", "holds"])


def text_chance():
    """What guessing among a task's answers gives (percent, a Series); numbers that are guessed have no rank correlation."""
    return pd.Series({task: 0.0 if task in GRADED else 100 / len(ANSWERS[task]) for task in TEXT_EIGHT})


def off_format(table):
    """The tasks whose base is below chance by more than four points, two standard errors: it does not answer in their words."""
    tasks = table.drop("mean")
    return list(tasks.index[tasks["zero-shot"] < text_chance()[tasks.index] - 4])


def text_verdict(table):
    """The criteria for language models: a base that is weak but answers in the right words, experts that know their tasks."""
    mean, tasks = table.loc["mean"], table.drop("mean")
    above = tasks["zero-shot"] - text_chance()[tasks.index]
    rows = [
        ("zero-shot average 45 to 70", f"{mean['zero-shot']:.1f}", 45 <= mean["zero-shot"] <= 70),
        ("no task below chance without training", f"{above.min():+.1f} ({above.idxmin()})", not off_format(table)),
        ("individual average at least 88", f"{mean['expert']:.1f}", mean["expert"] >= 88),
        ("no expert below 75", f"{tasks['expert'].min():.1f} ({tasks['expert'].idxmin()})", tasks["expert"].min() >= 75),
        ("task arithmetic between zero-shot and individual", f"{mean['task arithmetic']:.1f}",
         mean["zero-shot"] < mean["task arithmetic"] < mean["expert"])]
    return pd.DataFrame(rows, columns=["criterion", "found", "holds"])
