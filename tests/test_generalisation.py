"""Do the measurements on unseen tasks and corrupted pictures ask for and sum up what they say, with settings chosen apart?"""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import accuracies

from mergelib import METHODS
from mergelib import experiments as ex
from mergelib.experiments import FOUR, corruptions, generalisation
from mergelib.experiments.choosing import GRIDS, choose
from mergelib.experiments.measuring import label
from mergelib.measure.scoring import pack_hits
from mergelib.methods import TEST_PICTURES
from mergelib.tasks import EIGHT
from mergelib.tasks.corruptions import CONSTANTS, CORRUPTIONS, SEVERITIES, parse_condition

SWEPT = {label(*grid[:2]) for grid in GRIDS if grid[0] != "norm-lambda"}


# --- the hyper-parameters of some of the tasks

def test_hyper_parameters_can_be_chosen_on_some_of_the_tasks(suite, ledger, fakes):
    right = {task: 0.2 if task in FOUR[:2] else 0.5 for task in EIGHT}
    fakes.accuracy = lambda model, condition, task, split: 1 - abs(model["options"]["lam"] - right[task])
    grid = ("task-arithmetic", "", "lam", (0.2, 0.3, 0.5), {})
    few, every = (choose("test", suite, [grid], tasks, ledger=ledger) for tasks in (FOUR[:2], None))
    assert ex.setting(few, "Task Arithmetic") == 0.2 and ex.setting(every, "Task Arithmetic") == 0.5
    assert {where[2] for where in fakes.evaluated[:6]} == {*FOUR[:2]} and len(fakes.evaluated) == 3 * 2 + 3 * 8
    assert [{*model["tasks"]} for model in fakes.merged] == [{*FOUR[:2]}] * 3 + [{*EIGHT}] * 3
    assert few["accuracy"].tolist() == pytest.approx([100, 90, 70])
    assert {where[3] for where in fakes.evaluated} == {"validation"}


# --- unseen tasks

@pytest.mark.parametrize("unseen", [ex.UNSEEN[0], ex.UNSEEN[2]])
def test_unseen_tasks_are_measured_and_have_no_part_in_anything_else(suite, ledger, fakes, unseen):
    table = accuracies(ex.unseen_rows(suite, unseen, ledger=ledger))
    seen = tuple(task for task in EIGHT if task not in unseen)
    assert {model["tasks"] for model in fakes.merged} == {seen} == {m["pictures"] for m in fakes.merged if "pictures" in m}
    for name, part in table.groupby("label"):
        assert part["task"].tolist() == [*EIGHT], name
        assert set(part["tasks"]) == {"" if name == "Pre-trained" else "+".join(seen)}
    tried = [row for row in ledger.rows.values() if row["split"] == "validation"]
    assert {row["task"] for row in tried} == {*seen} and {row["tasks"] for row in tried} == {"+".join(seen)}
    assert set(table["split"]) == {"test"}


def test_unseen_tasks_meet_every_method_with_what_was_chosen_without_them(suite, ledger, fakes):
    table = accuracies(ex.unseen_rows(suite, ex.UNSEEN[0], ledger=ledger))
    options = {name: json.loads(part["options"].iloc[0]) for name, part in table.groupby("label")}
    chosen = ex.selection(suite, tuple(task for task in EIGHT if task not in ex.UNSEEN[0]), ledger=ledger)
    learned = {label(*which) for which in generalisation.LEARNED}
    assert set(options) == SWEPT | learned | {"Pre-trained", "Weight Averaging", "TATR"}
    assert all(options[row.label] == {row.option: row.setting} for row in chosen[chosen["chosen"]].itertuples()
               if row.label in SWEPT)
    assert options["TATR"]["lam"] == options["Task Arithmetic"]["lam"] and len(options["TATR"]) == 2


def hits(label, right, condition="clean"):
    """Rows as `measure` gives them: which pictures of some tasks were right."""
    return [{"label": label, "task": task, "seed": 0, "metric": metric, "condition": condition, "value": np.mean(each),
             "hits": pack_hits(np.array(each, bool)) if metric == "accuracy" else "", "count": len(each)}
            for task, each in right.items() for metric in ("accuracy", "loss")]


def test_averages_of_seen_and_unseen_tasks_by_hand():
    table = pd.DataFrame(hits("A", {"digits": [1, 1, 0, 0], "flags": [1, 0, 0, 0], "signs": [1, 1, 1, 1]})
                         + hits("B", {"digits": [1, 0, 0, 0], "flags": [1, 1, 1, 1], "signs": [0, 0, 0, 0]}))
    found = ex.seen_and_unseen(table, ("flags",))
    assert found["seen", "accuracy"].to_dict() == {"A": 75, "B": 12.5}
    assert found["unseen", "accuracy"].to_dict() == {"A": 25, "B": 100}
    # the variances of the means are 1/4 / 4 and 0, averaged over two tasks; and 3/16 / 4 for one
    assert found["seen", "half"]["A"] == pytest.approx(196 * (1 / 16) ** 0.5 / 2)
    assert found["unseen", "half"].to_dict() == pytest.approx({"A": 196 * (3 / 64) ** 0.5, "B": 0})


# --- corruptions

def test_conditions_are_the_clean_pictures_and_every_corruption_once(suite):
    for severities, definitions in (((5,), tuple(CONSTANTS)), (SEVERITIES, tuple(CONSTANTS)), ((5,), ("cifar",))):
        clean, *others = corruptions.conditions(suite, severities, definitions)
        assert clean == "clean" and len({*others}) == len(others) == 7 * len(severities) * len(definitions)
        assert {parse_condition(each) for each in others} == {
            (name, severity, definition) for name in CORRUPTIONS for severity in severities for definition in definitions}
    assert corruptions.conditions(suite) == corruptions.conditions(suite, (5,), ("cifar", "imagenet"))


def test_clean_pictures_are_severity_zero_of_every_corruption():
    right = {"clean": [1, 1, 1, 0], "contrast 3 cifar": [1, 0, 0, 0], "contrast 3 imagenet": [0, 0, 0, 0]}
    table = pd.DataFrame([row for name in "AB" for condition, each in right.items()
                          for row in hits(name, {"digits": each, "signs": [1, 1, 0, 0]}, condition)])
    found = ex.by_condition(table)
    clean, others = found[found["condition"] == "clean"], found[found["condition"] != "clean"]
    for name in "AB":
        places = clean[clean["label"] == name]
        assert sorted(zip(places["corruption"], places["definition"])) == sorted(product(CORRUPTIONS, CONSTANTS))
    assert set(clean["severity"]) == {0} and set(clean["accuracy"]) == {62.5}
    columns = ["label", "corruption", "severity", "definition", "accuracy"]
    assert sorted(others[columns].itertuples(index=False, name=None)) == [
        (name, "contrast", 3, *rest) for name in "AB" for rest in (("cifar", 37.5), ("imagenet", 25.0))]


def test_what_is_drawn_as_a_curve_is_measured_at_every_severity_and_the_rest_at_the_worst(suite, ledger, asked):
    ex.robustness(suite, ledger=ledger)
    conditions = {label(job.method, job.preset): job.conditions for job in asked}
    assert len(asked) == len(conditions) and {(job.tasks, job.split) for job in asked} == {(FOUR, "test")}
    assert set(conditions) == SWEPT | {"Pre-trained", "Individual", "Weight Averaging", "Fisher Merging"}
    for name, found in conditions.items():
        worst = {each for each in found if each == "clean" or parse_condition(each)[1] == 5}
        assert len(worst) == 15 and len(found) == (71 if name in corruptions.CURVES else 15), name
    assert not any(TEST_PICTURES in METHODS[job.method].needs for job in asked if job.method in METHODS)


def test_settings_under_corruptions_are_chosen_on_clean_validation_pictures_of_the_four(suite, ledger, asked, fakes):
    ex.robustness(suite, ledger=ledger)
    rows = ledger.rows.values()
    assert {(row["split"], row["condition"]) for row in rows} == {("validation", "clean")}
    assert {row["task"] for row in rows} == {*FOUR}
    options = {label(job.method, job.preset): job.options for job in asked}
    tried = ex.selection(suite, FOUR, ledger=ledger)
    assert all(options[row.label] == {row.option: row.setting} for row in tried[tried["chosen"]].itertuples()
               if row.method != "norm-lambda")


def test_what_adapts_to_test_pictures_does_so_under_each_of_the_milder_definition_s_worst(suite, asked):
    ex.adapted(suite)
    assert all(len(job.conditions) == 1 and job.tasks == FOUR and TEST_PICTURES in METHODS[job.method].needs for job in asked)
    found = [(job.method, job.preset, *job.conditions) for job in asked]
    places = ["clean", *(f"{name} 5 cifar" for name in CORRUPTIONS)]
    assert sorted(found) == sorted((*which, place) for which in corruptions.LEARNED for place in places)
