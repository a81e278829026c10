"""On what is a claim judged? The measurements of a suite, each taken from the ledger when it is first needed."""

from functools import cached_property

import numpy as np
import pandas as pd

from ... import experiments as ex
from ...checkpoints.lazy import CheckpointError
from ...experiments.measuring import measure
from ...tasks.corruptions import CORRUPTIONS, condition

ALL = "all tasks"
MASKED = (0.01, 0.2)        # fractions of the entries that are counted as positive or negative in TATR's landscapes


class Evidence:
    """What the rules look at. Scores (percent) are drawn as `resampled` does: a row per draw, the first as measured.

    `seeds`: the same suite with experts of other fine-tuning seeds, for the main tables; `wide`: one of twenty tasks on the
    same tower; `small` and `large`: the language suites that stand for Flan-T5-base and -large, one for each seed.
    """

    def __init__(self, suite, seeds=(), wide=None, small=(), large=(), **how):
        self.suite, self.seeds, self.wide, self.how = suite, seeds, wide, how
        self.adapters = {"Flan-T5-base": small, "Flan-T5-large": large}

    # --- main tables and task vectors ---------------------------------------------------------------------------------

    @cached_property
    def tried(self):
        """Everything tried on the validation pictures."""
        return ex.selection(self.suite, **self.how)

    @cached_property
    def averages(self):
        """All tasks merged, every row of notebook 04, by label, over all fine-tuning seeds."""
        return ex.resampled(pd.concat(map(self._rows, (self.suite, *self.seeds))))

    @cached_property
    def first(self):
        """The same of the first suite's experts alone, to compare with what was measured on no others."""
        return ex.resampled(self._rows(self.suite))

    def _rows(self, suite):
        tried = ex.selection(suite, **self.how)
        return pd.concat([make(suite, tried, **self.how) for make in (ex.main_rows, ex.other_rows, ex.built_rows)])

    @cached_property
    def sizes(self):
        """By number of merged tasks and label."""
        rows = ex.task_count(self.suite, self.tried, **self.how)
        rows = rows.assign(size=rows["tasks"].str.count(r"\+") + 1)
        return _mean(ex.resampled(rows, "size", "label", "tasks"), "size", "label")

    @cached_property
    def sweep(self):
        """By label and lambda (0 for weight averaging)."""
        return ex.resampled(ex.lambda_sweep(self.suite, **self.how), "label", "lam")

    @cached_property
    def etas(self):
        """DOGE TA by preset and eta."""
        return ex.resampled(ex.eta_rows(self.suite, **self.how), "preset", "eta")

    @cached_property
    def weights(self):
        """The suite, if its weights are there to be looked at."""
        if not self.suite.has_weights():
            raise CheckpointError(f"The weights of the tower {self.suite.model!r} are not all shipped.")
        return self.suite

    @cached_property
    def cosines(self):
        """Cosine similarities of the task vectors."""
        return ex.task_cosines(self.weights)

    def scores(self, *jobs):
        """By label, of single jobs."""
        return ex.resampled(measure("claims", self.suite, jobs, **self.how))

    def converged(self, wide=False):
        """Adam's loss by step, relative to its start, median over matrices."""
        suite = self.wide if wide else self.suite
        if suite is None:
            raise CheckpointError("No suite of twenty tasks was given.")
        eta = ex.setting(ex.selection(suite, **self.how), "DOGE TA (exact)")
        loss = ex.solver_losses(suite, eta, **self.how)
        return loss[loss["solver"] == "Adam"].groupby("step")["loss"].median()

    # --- inside DOGE --------------------------------------------------------------------------------------------------

    @cached_property
    def ablation(self):
        """DOGE TA by what is left out and reading, each variant with its own best setting."""
        return ex.resampled(ex.ablation(self.suite, **self.how), "without", "reading")

    @cached_property
    def forms(self):
        """Task arithmetic by the form of its coefficients."""
        return ex.resampled(ex.lambda_rows(self.weights, **self.how), "form")

    @cached_property
    def rank_tasks(self):
        """DOGE TA by preset, direction of delta, rank ratio (0 without a subspace) and task."""
        rows = ex.rank_rows(self.suite, ex.chosen_etas(self.tried), **self.how)
        return ex.resampled(rows, "preset", "direction", "rank_ratio", "task")

    @cached_property
    def ranks(self):
        """The same averaged over tasks."""
        return _mean(self.rank_tasks, "preset", "direction", "rank_ratio")

    @cached_property
    def per_task(self):
        """DOGE TA by preset and by whether delta is universal."""
        return ex.resampled(ex.per_task_rows(self.suite, ex.chosen_etas(self.tried), **self.how), "preset", "delta")

    @cached_property
    def gradients(self):
        """DOGE TA with true gradients, by preset."""
        return ex.resampled(ex.gradient_rows(self.suite, **self.how), "preset")

    # --- language -----------------------------------------------------------------------------------------------------

    def language(self, model):
        """All rows of a language table by label, over all fine-tuning seeds."""
        self._adapters(model)
        return self._tables[model]

    @cached_property
    def _tables(self):
        given = {model: suites for model, suites in self.adapters.items() if suites}
        return {model: ex.resampled(pd.concat(map(self._language, suites))) for model, suites in given.items()}

    def _language(self, suite):
        rows = ex.language_rows(suite, ex.language_selection(suite, **self.how), **self.how)
        return pd.concat([rows, ex.answer_rows(suite, **self.how)])

    @cached_property
    def language_ablation(self):
        """DOGE TA on language by what is left out and reading."""
        return ex.resampled(ex.language_ablation(self._adapters("Flan-T5-base")[0], **self.how), "without", "reading")

    def _adapters(self, model):
        if not self.adapters[model]:
            raise CheckpointError(f"No suite was given that stands for {model}.")
        return self.adapters[model]

    # --- unseen tasks and corruptions ---------------------------------------------------------------------------------

    def unseen(self, split):
        """By label, on the unseen tasks of a split."""
        split = self.suite.named(*split)
        rows = ex.unseen_rows(self.suite, split, **self.how)
        return ex.resampled(rows[rows["task"].isin(split)])

    @cached_property
    def corrupted(self):
        """Four tasks by label, averaged over the corruptions at the worst severity of the papers' definition."""
        rows = pd.concat([ex.robustness(self.suite, **self.how), ex.adapted(self.suite, **self.how)])
        rows = rows[rows["condition"].isin([condition(name, 5, "cifar") for name in CORRUPTIONS])]
        return _mean(ex.resampled(rows, "label", "condition"), "label")

    # --- learned coefficients and the trust region --------------------------------------------------------------------

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
        """TATR by the number of exemplars."""
        return ex.resampled(ex.exemplar_rows(self.suite, **self.trust, **self.how), "examples")

    @cached_property
    def ratios(self):
        """TATR by the fraction left out; 0 is task arithmetic."""
        rows = ex.ratio_rows(self.suite, self.trust["lam"], **self.how)
        return ex.resampled(rows[rows["method"] == "tatr"], "ratio")

    @cached_property
    def corners(self):
        """Loss of each task, and of all, with the orthogonal, positive or negative entries merged."""
        return self._corners((*self.suite.tasks, ALL), MASKED[0])

    @cached_property
    def masked(self):
        """The loss of all tasks by the fraction of entries that counts as positive or negative."""
        return pd.DataFrame({share: self._corners((ALL,), share).loc[ALL] for share in MASKED}).T

    def _corners(self, targets, share):
        return ex.corners(ex.landscapes(self.suite, targets, share, self.trust["lam"], **self.how)[0])

    @cached_property
    def sensitivity(self):
        """Logarithm to base 10 of the mean sensitivity, tensors by tasks."""
        return np.log10(ex.layer_sensitivity(self.suite, **self.how))


def _mean(drawn, *levels):
    """The mean of drawn columns that agree in some levels."""
    return drawn.T.groupby(level=list(levels)).mean().T
