"""Is what is measured on corrupted pictures merged, evaluated, kept and checked under their condition, and no other?"""

import numpy as np
import pytest
from conftest import accuracies

from mergelib import experiments as ex
from mergelib import tasks
from mergelib.adapt.learning import merged_identity
from mergelib.experiments import Job
from mergelib.merging.work import stream
from mergelib.tasks import EIGHT, SPLITS, corruptions

CONDITIONS = ("clean", "contrast 5 cifar", "pixelate 3 imagenet")


def under_conditions(suite, ledger, method, preset="", options=None):
    job = Job(method, preset, options or {}, ("digits", "signs"), conditions=CONDITIONS)
    return accuracies(ex.measure("test", suite, [job], ledger))


@pytest.mark.parametrize("method, pictures", [("task-arithmetic", False), ("fisher", True), ("tatr", True)])
def test_what_learns_nothing_on_test_pictures_is_merged_once_and_measured_under_every_condition(
        suite, ledger, fakes, method, pictures):
    table = under_conditions(suite, ledger, method)
    (model,) = fakes.merged
    assert ("pictures" in model) == pictures
    expected = [(condition, task) for condition in CONDITIONS for task in ("signs", "digits")]
    assert sorted(zip(table["condition"], table["task"])) == sorted(expected)
    assert sorted(where[1:3] for where in fakes.evaluated) == sorted(expected)
    for row in table.itertuples():
        assert row.value == pytest.approx(100 * fakes.accuracy(model, row.condition, row.task, "test"), abs=1e-4)


@pytest.mark.parametrize("method, preset", [("adamerging", "paper"), ("concrete-ta", ""), ("adamerging+++tatr", ""),
                                            ("surgery", "task-arithmetic")])
def test_what_learns_on_test_pictures_learns_under_every_condition_anew(suite, ledger, fakes, method, preset):
    table = under_conditions(suite, ledger, method, preset)
    assert [model["condition"] for model in fakes.merged] == [*CONDITIONS]
    assert all({*model["pictures"]} == {*model["tasks"]} == {"digits", "signs"} for model in fakes.merged)
    assert len(fakes.evaluated) == 6 and all(model["condition"] == where for model, where, *_ in fakes.evaluated)
    for row in table.itertuples():
        model = fakes.merged[CONDITIONS.index(row.condition)]
        assert row.value == pytest.approx(100 * fakes.accuracy(model, row.condition, row.task, "test"), abs=1e-4)


def test_numbers_of_clean_pictures_are_not_taken_for_those_of_corrupted_ones(suite, ledger, fakes):
    first, second = (accuracies(ex.measure("test", suite, [Job("weight-average", conditions=(name,))], ledger))
                     for name in CONDITIONS[:2])
    assert set(first["condition"]) == {"clean"} and set(second["condition"]) == {"contrast 5 cifar"}
    assert len(fakes.evaluated) == 2 * len(EIGHT) and first["value"].tolist() != second["value"].tolist()


def test_a_spot_check_measures_under_the_condition_of_the_row(suite, ledger, fakes):
    under_conditions(suite, ledger, "task-arithmetic", options={"lam": 0.4})
    ex.measure("test", suite, [Job("pretrained", on=("flags",), conditions=CONDITIONS)], ledger)
    del fakes.evaluated[:]
    checked = ex.spot_check(suite, count=100, ledger=ledger)
    assert len(checked) == 9 and (checked["value"] == checked["fresh"]).all()
    assert sorted(where[1:3] for where in fakes.evaluated) == sorted(zip(checked["condition"], checked["task"]))


@pytest.fixture
def drawn_here(monkeypatch, tmp_path):
    """Pictures are drawn for this test, not read."""
    for module in (tasks, corruptions):
        monkeypatch.setattr(module, "CACHE", tmp_path)


def test_only_test_pictures_are_corrupted(suite, drawn_here):
    under = suite.under("contrast 5 cifar")
    for split in sorted(SPLITS, key="test".__eq__):         # the test split last
        (ours, labels), (clean, right) = (each.pictures("digits", split, 5) for each in (under, suite))
        assert np.array_equal(labels, right) and ours.shape == clean.shape
        assert np.array_equal(ours, clean) == (split != "test")
    deviations = [pixels.std(axis=(1, 2)) for pixels in (ours, clean)]
    # contrast 5 draws values to 0.15 of their distance from the mean; grey levels are rounded to one
    np.testing.assert_allclose(deviations[0], 0.15 * deviations[1], atol=0.5)


def test_a_part_of_a_suite_is_under_the_same_condition(suite):
    under = suite.under("contrast 5 cifar")
    assert (under.condition, suite.condition, under.under("clean")) == ("contrast 5 cifar", "clean", suite)
    part = under.subset(("digits", "signs"))
    assert part.condition == "contrast 5 cifar" and part.tasks == ("signs", "digits")
    assert (under.digest, under.tasks, part.digest) == (suite.digest, suite.tasks, suite.digest)


def test_a_condition_gives_what_is_learned_another_name(tiny_suite):
    def identity(condition):
        tiny_suite.condition = condition
        return merged_identity(tensors, tiny_suite, "settings")
    tensors = list(stream(tiny_suite.base, tiny_suite.experts, list(tiny_suite.base)))
    assert identity("clean") != identity("contrast 5 cifar") and identity("clean") == identity("clean")
