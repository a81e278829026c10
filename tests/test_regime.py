"""Are base and experts in the papers' regime? The table that is measured, and each criterion on made-up tables."""


import pandas as pd
import pytest
import torch

from mergelib.experiments import measuring, regime_table, regime_verdict
from mergelib.measure.ledger import Ledger
from mergelib.suites.sketch import SketchSuite
from mergelib.tasks import EIGHT


def table_with(**changes):
    """A table that meets every criterion, with some columns changed: a number, or (value of one task, value of the rest)."""
    columns = {"zero-shot": 50.0, "expert": 97.0, "task arithmetic": 75.0, "relative norm": 0.03, "mean |cos|": 0.1} | changes
    table = pd.DataFrame({name: [value[0], *[value[1]] * 7] if isinstance(value, tuple) else value
                          for name, value in columns.items()}, index=list(EIGHT))
    return pd.concat([table, table.mean().rename("mean").to_frame().T])


def violated(table):
    verdict = regime_verdict(table)
    return verdict.loc[~verdict["holds"].astype(bool), "criterion"].tolist()


def test_a_table_in_the_regime_violates_nothing():
    assert violated(table_with()) == []
    assert violated(table_with(expert=(85, 97), **{"zero-shot": (54, 50)})) == []      # 31 points above zero-shot
    assert violated(table_with(expert=(91, 97), **{"zero-shot": (75, 50)})) == []      # above 90 %


@pytest.mark.parametrize("criterion, changes", [
    ("zero-shot average", {"zero-shot": 34}),
    ("zero-shot average", {"zero-shot": 61}),
    ("every expert", {"expert": (85, 97), "zero-shot": (60, 50)}),
    ("individual average", {"expert": 91}),
    ("relative norm", {"relative norm": (0.2, 0.03)}),
    ("relative norm", {"relative norm": (0.001, 0.03)}),
    ("mean |cosine|", {"mean |cos|": 0.25}),
    ("task arithmetic", {"task arithmetic": 59}),
    ("task arithmetic", {"task arithmetic": 88})])
def test_each_criterion_is_flagged_alone(criterion, changes):
    (found,) = violated(table_with(**changes))
    assert found.startswith(criterion)


def test_the_table_is_measured_with_the_lambda_that_is_best_on_validation_pictures(monkeypatch, tmp_path, one_process):
    def evaluate(state, suite, tasks, split, hits):
        step = state["w"] - suite.base["w"]
        if step.min() > 0:                                                   # merged: every entry moved by lambda
            best = 0.25 if split == "validation" else 0.5
            accuracy = 0.8 - (step.mean().item() - best) ** 2
        else:
            accuracy = 0.95 if step.any() else 0.4
        found = {"accuracy": accuracy, "loss": 1.0, "entropy": 1.0, "n": 600, "hits": ""}
        return pd.DataFrame([{"task": task, **found} for task in tasks])
    monkeypatch.setattr(measuring, "evaluate", evaluate)
    tasks, base = EIGHT[:4], torch.full((4,), 8.0)
    experts = {task: {"w": base + step} for task, step in zip(tasks, torch.eye(4))}
    suite = SketchSuite("tiny", "none", 0, {"w": base}, experts, {}, "0123abcd")

    table = regime_table(suite, ledger=Ledger(tmp_path))
    assert list(table.index) == [*tasks, "mean"]
    expected = {"zero-shot": 40, "expert": 95, "task arithmetic": 80 - 100 * 0.25**2, "relative norm": 1 / 16, "mean |cos|": 0}
    for name, value in expected.items():
        assert table[name].tolist() == pytest.approx([value] * 5, abs=1e-3), name       # the ledger keeps six digits
    assert violated(table) == []
