"""What happens when more tasks are merged: are the subsets fair, and are the intervals Student's?"""

from collections import Counter
from itertools import groupby
from types import SimpleNamespace

import pandas as pd
import pytest

from mergelib.experiments import by_task_count, learned_task_count, task_subsets
from mergelib.tasks import EIGHT, TASKS


@pytest.mark.parametrize("seed", range(5))
def test_subsets_use_every_task_about_equally_at_every_size(seed):
    subsets = task_subsets(EIGHT, per_size=6, seed=seed)
    sizes = {size: list(part) for size, part in groupby(subsets, key=len)}
    assert {size: len(part) for size, part in sizes.items()} == dict.fromkeys(range(2, 8), 6) | {8: 1}
    assert len(set(map(frozenset, subsets))) == len(subsets)
    for part in sizes.values():
        uses = Counter(task for subset in part for task in subset)
        assert max(uses.values()) - min(uses[task] for task in EIGHT) <= 1
        assert all(list(subset) == sorted(subset, key=EIGHT.index) for subset in part)


def test_of_twenty_tasks_subsets_are_drawn_without_listing_them_all():
    subsets = task_subsets(TASKS)
    assert Counter(map(len, subsets)) == dict.fromkeys(range(2, 20), 4) | {20: 1}
    assert len(set(subsets)) == len(subsets)
    for size in range(2, 20):       # as evenly as a thousand candidates allow; four random subsets of ten differ by 3 or 4
        uses = Counter(task for subset in subsets if len(subset) == size for task in subset)
        assert max(uses.values()) - min(uses[task] for task in TASKS) <= 2


def test_subsets_are_those_of_the_seed():
    assert task_subsets(EIGHT, seed=1) == task_subsets(EIGHT, seed=1) != task_subsets(EIGHT, seed=2)


def test_few_tasks_have_few_subsets():
    assert sorted(task_subsets("abc", per_size=6)) == [("a", "b"), ("a", "b", "c"), ("a", "c"), ("b", "c")]


def accuracies(label, values):
    """Ledger rows: `values` maps the merged tasks to the accuracy of each of them, measured on 400 pictures."""
    return pd.DataFrame([{"label": label, "metric": metric, "tasks": tasks, "task": task, "value": 100 * value, "count": 400}
                         for tasks, numbers in values.items() for task, value in zip(tasks.split("+"), numbers)
                         for metric in ("accuracy", "loss")])


def test_intervals_by_hand():
    table = pd.concat([accuracies("one", {"a+b": (0.4, 0.6), "a+c": (0.7, 0.5), "b+c": (0.8, 0.6), "a+b+c": (0.5, 0.8, 0.9)}),
                       accuracies("two", {"a+b": (0.3, 0.3)})])
    pairs, triple, other = by_task_count(table).to_dict("records")
    # Subset averages 0.5, 0.6, 0.7: standard deviation 0.1; Student's 97.5 % quantile with two degrees of freedom: 4.302653.
    assert pairs == {"label": "one", "size": 2, "subsets": 3, "accuracy": pytest.approx(60),
                     "half": pytest.approx(100 * 4.302653 * 0.1 / 3**0.5, rel=1e-6)}
    # One subset: the binomial variance of each task on 400 pictures, summed and divided by three squared.
    spread = (0.5 * 0.5 / 400 + 0.8 * 0.2 / 400 + 0.9 * 0.1 / 400) ** 0.5 / 3
    assert triple == {"label": "one", "size": 3, "subsets": 1, "accuracy": pytest.approx(220 / 3),
                      "half": pytest.approx(196 * spread)}
    assert (other["label"], other["size"], other["accuracy"]) == ("two", 2, pytest.approx(30))


def test_two_subsets_have_the_interval_of_their_pictures():
    (found,) = by_task_count(accuracies("one", {"a+b": (0.5, 0.5), "c+d": (0.9, 0.9)})).to_dict("records")
    spread = ((0.5 * 0.5 / 800) ** 0.5 + (0.9 * 0.1 / 800) ** 0.5) / 2         # of one subset, two means of 400 pictures
    assert found["accuracy"] == pytest.approx(70) and found["half"] == pytest.approx(196 * spread)


def test_methods_that_learn_run_on_the_first_subsets_of_each_size(monkeypatch):
    def measure(experiment, suite, jobs):
        return [(job.method, job.tasks) for job in jobs]
    monkeypatch.setattr("mergelib.experiments.scaling.measure", measure)
    tried = pd.DataFrame([{"method": method, "preset": preset, "label": label, "option": "lam", "setting": 0.3, "fixed": {},
                           "chosen": True}
                          for method, preset, label in (("task-arithmetic", "", "Task Arithmetic"),
                                                        ("ties", "code", "Ties-Merging (code)"))])
    suite, every = SimpleNamespace(tasks=EIGHT), task_subsets(EIGHT, per_size=4, step=2)
    jobs = learned_task_count(suite, tried, per_size=4, most=2, step=2)
    assert Counter(method for method, _ in jobs) == {"weight-average": 7, "task-arithmetic": 7, "adamerging": 7, "doge-am": 21}
    by_size = [[s for s in every if len(s) == size][:2] for size in (2, 4, 6, 8)]
    assert list(dict.fromkeys(tasks for _, tasks in jobs)) == [subset for subsets in by_size for subset in subsets]
