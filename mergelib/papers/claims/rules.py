"""On what is a claim judged, and by which rule? The measurements, and what the judges share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import isnan

import numpy as np
import pandas as pd

from ... import experiments as ex
from ...experiments.measuring import measure
from ...suites import load_suite
from ...suites.text import TEXT_MODELS

HOLDS, DIRECTION, FAILS, ELSEWHERE = ("holds", "holds in direction only", "does not hold at this scale",
                                      "not measurable here")
PRESETS = {preset: f"DOGE TA ({preset})" for preset in ex.DOGE}
JUDGED = PRESETS["code"]        # where DOGE's presets disagree, the claim is judged on what was released


class Evidence:
    """The measurements that the judges look at, each taken from the ledger when it is first needed.

    `seeds`: the same suite with experts of other fine-tuning seeds, for the gaps of the main table.
    """

    def __init__(self, suite, seeds=(), **how):
        self.suite, self.seeds, self.how = suite, seeds, how

    @cached_property
    def sizes(self):
        """Accuracy (percent) by number of merged tasks (rows) and method (columns)."""
        rows = ex.by_task_count(ex.task_count(self.suite, self.tried, **self.how))
        return rows.pivot(index="size", columns="label", values="accuracy")

    @cached_property
    def tried(self):
        """Everything tried on the validation pictures."""
        return ex.selection(self.suite, **self.how)

    @cached_property
    def averages(self):
        """Average accuracy (percent) of every row of notebook 04, all tasks merged, over all fine-tuning seeds."""
        return pd.concat([self.first, *map(self._rows, self.seeds)], axis=1).mean(axis=1)

    @cached_property
    def first(self):
        """The same on the first suite's experts alone, to compare with what was measured on no others."""
        return self._rows(self.suite)

    def _rows(self, suite):
        tried = ex.selection(suite, **self.how)
        rows = [make(suite, tried, **self.how) for make in (ex.main_rows, ex.other_rows, ex.built_rows)]
        return ex.accuracy_table(pd.concat(rows))["Avg"]

    @cached_property
    def sweep(self):
        """Average accuracy (percent) by lambda (rows) and method (columns)."""
        return ex.sweep_averages(ex.lambda_sweep(self.suite, **self.how))

    @cached_property
    def cosines(self):
        """Cosine similarities of the task vectors."""
        return ex.task_cosines(self.suite)

    @cached_property
    def ablation(self):
        """Average accuracy (percent) of DOGE TA by what is left out and reading, each variant with its own best setting."""
        return self._averages(ex.ablation(self.suite, **self.how), "without", "reading")

    @cached_property
    def forms(self):
        """Average accuracy (percent) of task arithmetic by the form of its coefficients."""
        return self._averages(ex.lambda_rows(self.suite, **self.how), "form")

    @cached_property
    def rank_rows(self):
        """DOGE TA by rank ratio and direction of delta."""
        return ex.rank_rows(self.suite, ex.chosen_etas(self.tried), **self.how)

    @cached_property
    def per_task(self):
        """Average accuracy (percent) of DOGE TA by preset and by whether delta is universal."""
        return self._averages(ex.per_task_rows(self.suite, ex.chosen_etas(self.tried), **self.how), "preset", "delta")

    @cached_property
    def gradients(self):
        """Average accuracy (percent) of DOGE TA with true gradients, by label."""
        return self._averages(ex.gradient_rows(self.suite, **self.how), "label")

    @cached_property
    def adapters(self):
        """The language suites by model, one for each fine-tuning seed."""
        return {model: [load_suite("text-8", model, suite.seed) for suite in (self.suite, *self.seeds)]
                for model in TEXT_MODELS}

    @cached_property
    def language(self):
        """Average score (x 100) of every row of the language tables, over all fine-tuning seeds; a column per model."""
        return pd.DataFrame({model: pd.concat([self._language(suite) for suite in suites], axis=1).mean(axis=1)
                             for model, suites in self.adapters.items()})

    def _language(self, suite):
        rows = ex.language_rows(suite, ex.language_selection(suite, **self.how), **self.how)
        return ex.accuracy_table(pd.concat([rows, ex.answer_rows(suite, **self.how)]))["Avg"]

    @cached_property
    def language_ablation(self):
        """Average score (x 100) of DOGE TA on language by what is left out and reading."""
        return self._averages(ex.language_ablation(self.adapters["text-small"][0], **self.how), "without", "reading")

    def unseen(self, split):
        """Average accuracy (percent) on the unseen tasks of a split, by label."""
        return ex.seen_and_unseen(ex.unseen_rows(self.suite, split, **self.how), split)["unseen", "accuracy"]

    @cached_property
    def corrupted(self):
        """Average accuracy (percent) on four tasks by label and corruption, at the worst severity of the papers' definition."""
        rows = pd.concat([ex.robustness(self.suite, **self.how), ex.adapted(self.suite, **self.how)])
        worst = ex.by_condition(rows).query("severity == 5 and definition == 'cifar'")
        return worst.pivot(index="label", columns="corruption", values="accuracy")

    @cached_property
    def entropy(self):
        """Loss by group of entropy, and Spearman's correlation of both."""
        return ex.entropy_and_loss(self.suite, ex.setting(self.tried, "Task Arithmetic"), **self.how)

    @cached_property
    def coefficients(self):
        """Learned coefficients: task-wise ones by step, layer-wise ones at the end."""
        return ex.coefficients(self.suite, [*ex.PATHS, *ex.HEATS], **self.how)

    @cached_property
    def trust(self):
        """The fraction of entries that was chosen for TATR, and task arithmetic's lambda."""
        wide = ex.wide_selection(self.suite, self.tried, **self.how)
        return {"lam": ex.setting(self.tried, "Task Arithmetic"), "ratio": ex.setting(wide, "TATR")}

    @cached_property
    def exemplars(self):
        """Average accuracy (percent) of TATR by the number of exemplars."""
        return self._averages(ex.exemplar_rows(self.suite, **self.trust, **self.how), "examples")

    @cached_property
    def ratios(self):
        """Average accuracy (percent) of TATR by the fraction left out."""
        rows = ex.ratio_rows(self.suite, self.trust["lam"], **self.how)
        return self._averages(rows[rows["method"] == "tatr"], "ratio")

    @cached_property
    def corners(self):
        """Loss of each task, and of all, with the orthogonal, positive or negative entries merged."""
        targets = (*self.suite.tasks, "all tasks")
        return ex.corners(ex.landscapes(self.suite, targets, 0.01, self.trust["lam"], **self.how)[0])

    @cached_property
    def sensitivity(self):
        """Logarithm to base 10 of the mean sensitivity, tensors by tasks."""
        return np.log10(ex.layer_sensitivity(self.suite, **self.how))

    @staticmethod
    def _averages(rows, *columns):
        """Average accuracy (percent) by some columns of a table."""
        return ex.averages_by(rows, *columns).set_index(list(columns))["accuracy"]

    def accuracy(self, job):
        """Mean accuracy (percent) of one job."""
        table = measure("claims", self.suite, [job], **self.how)
        return table.loc[table["metric"] == "accuracy", "value"].mean()


@dataclass(frozen=True)
class Claim:
    """One statement of a paper, the notebook that measures it, and the rule that judges it."""

    paper: str
    item: str
    statement: str
    notebook: str
    judge: Callable      # Evidence -> (verdict, evidence in words)


def gap_rule(measured, published):
    """`HOLDS` when a gap is at least half the published one, `DIRECTION` when only its sign is right.

    Raises ValueError unless there is a published gap above zero and a measured one: without them nothing can be judged.
    """
    if not published > 0 or isnan(measured):
        raise ValueError(f"A claim cannot be judged: the published gap is {published}, the measured one {measured}. Give a "
                         f"claim that a paper prints, by the names of its tables.")
    return HOLDS if measured >= published / 2 else DIRECTION if measured > 0 else FAILS
