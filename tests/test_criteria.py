"""Does the benchmark stand where the papers' does? Each criterion on made-up tables, and the table on a small suite."""

import numpy as np
import pandas as pd
import pytest
import torch

from mergelib.experiments import criteria, measuring, standing
from mergelib.experiments.criteria import linear_probe, truncated
from mergelib.measure.ledger import Ledger
from mergelib.suites.sketch import SketchSuite
from mergelib.tasks import EIGHT


def table_with(pair=("housenumbers", 0.18), **changes):
    """A table that meets every criterion, with some columns changed: a number, or (value of one task, value of the rest).

    `pair`: the task that is closest to digits, and their cosine.
    """
    columns = {"zero-shot": 46.0, "probe": 85.0, "expert": 92.0, "kept": 91.5, "weight averaging": 66.0,
               "task arithmetic": 70.0, "lam": 0.3, "norm": 0.02, "cosine": 0.04} | changes
    table = pd.DataFrame({name: [value[0], *[value[1]] * 7] if isinstance(value, tuple) else value
                          for name, value in columns.items()}, index=list(EIGHT))
    means = table.mean().rename("mean")
    table["closest"], table["to closest"] = "signs", 0.05
    table.loc["digits", ["closest", "to closest"]] = pair
    return pd.concat([table, means.to_frame().T])


def violated(*tables):
    verdict = criteria(*tables)
    return verdict.loc[~verdict["holds"].astype(bool), "criterion"].tolist()


def test_a_table_in_the_regime_violates_nothing():
    at_twenty = table_with(**{"weight averaging": 60.0, "task arithmetic": 60.0})
    assert violated(table_with()) == violated(table_with(), at_twenty) == []
    assert len(criteria(table_with(), at_twenty)) == len(criteria(table_with())) + 1 == 11


@pytest.mark.parametrize("criterion, changes", [
    ("experts' average", {"expert": 87.0}),
    ("worst expert", {"expert": (79.0, 94.0)}),
    ("zero-shot", {"zero-shot": 36.0}),
    ("zero-shot", {"zero-shot": 60.0}),
    ("linear probe", {"probe": 77.0}),
    ("a tenth of the directions", {"kept": 89.0}),
    ("averaging, task arithmetic, normalised, 8 tasks", {"weight averaging": 60.0}),
    ("averaging, task arithmetic, normalised, 8 tasks", {"task arithmetic": 76.0}),
    ("best lambda", {"lam": 0.2}),
    ("longest task vector", {"norm": (0.031, 0.02)}),
    ("mean cosine", {"cosine": 0.11}),
    ("the closest pair", {"pair": ("signs", 0.2)})])
def test_each_criterion_is_flagged_alone(criterion, changes):
    (found,) = violated(table_with(**changes))
    assert found.startswith(criterion)


def test_at_twenty_tasks_the_merges_have_bounds_of_their_own():
    (found,) = violated(table_with(), table_with())
    assert found.endswith("20 tasks")


class Pictures(SketchSuite):
    """A suite whose network is one matrix: features are pixels times it, classes lie along its first columns."""

    def pictures(self, task, split, count=None):
        draw = np.random.default_rng([sum(task.encode()), len(split)])
        labels = np.arange(90) % 3
        pixels = draw.integers(0, 60, (90, 2, 2, 3)).astype(np.uint8)
        pixels.reshape(90, 12)[np.arange(90), 3 * (task == "digits") + labels] += 190
        return pixels[:count], labels[:count]

    def features(self, state, pixels):
        return torch.as_tensor(np.asarray(pixels), dtype=torch.float32).flatten(1) / 255 @ state["w"]


def test_a_probe_finds_classes_that_the_head_does_not_know():
    base = torch.zeros(12, 4)
    base[0, 1], base[1, 2], base[2, 0] = 1.0, 1.0, 1.0          # every class where the head looks for another
    suite = Pictures("tiny", "none", 0, {"w": base}, {"signs": {"w": base}}, {"signs": torch.eye(4)[:, :3]}, "0123abcd")
    assert suite.measured(suite.base, "signs", "test")[1].mean() < 0.2 and linear_probe(suite, "signs") > 95


def test_an_expert_keeps_a_tenth_of_its_directions_and_all_of_its_vectors():
    base = {"w": torch.zeros(20, 20), "b": torch.zeros(3)}
    expert = {"w": torch.diag(torch.arange(20.0, 0, -1)), "b": torch.ones(3)}
    kept = truncated(SketchSuite("tiny", "none", 0, base, {"signs": expert}, {}, "0123abcd"), "signs")
    assert torch.allclose(kept["w"], torch.diag(torch.tensor([20.0, 19.0, *[0.0] * 18])), atol=1e-5)
    assert torch.equal(kept["b"], expert["b"])


def test_the_table_is_measured_with_the_lambda_that_is_best_on_validation_pictures(monkeypatch, tmp_path, one_process):
    def evaluate(state, suite, tasks, split, hits):
        step = state["w"] - suite.base["w"]
        merged = (step > 0).sum() > 1
        best = 0.25 if split == "validation" else 0.5
        accuracy = 0.8 - (step.max().item() - best) ** 2 if merged else 0.95 if step.any() else 0.4
        found = {"accuracy": accuracy, "loss": 1.0, "entropy": 1.0, "n": 90, "hits": ""}
        return pd.DataFrame([{"task": task, **found} for task in tasks])
    monkeypatch.setattr(measuring, "evaluate", evaluate)
    base, tasks = torch.zeros(12, 4), ("signs", "digits")
    steps = [torch.zeros(12, 4).index_put_((torch.tensor(row), torch.tensor(0)), torch.tensor(1.0)) for row in (0, 3)]
    experts = {task: {"w": base + step} for task, step in zip(tasks, steps)}
    suite = Pictures("tiny", "none", 0, {"w": base + 1e-3}, experts, {t: torch.eye(4)[:, :3] for t in tasks}, "0123abcd")
    table = standing(suite, ledger=Ledger(tmp_path))
    assert list(table.index) == [*tasks, "mean"] and table["lam"].tolist() == [0.25] * 3
    assert table["task arithmetic"].tolist() == pytest.approx([100 * (0.8 - 0.25**2)] * 3, abs=0.1)
    assert table["weight averaging"].tolist() == pytest.approx([80.0] * 3, abs=0.1)
    assert table.loc[list(tasks), "closest"].tolist() == ["digits", "signs"]
