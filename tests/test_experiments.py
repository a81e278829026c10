"""Are measurements asked for, made and summed up as they should be? On a suite of three numbers per checkpoint."""

import json
import zlib
from dataclasses import replace

import pandas as pd
import pytest
import torch

from mergelib import METHODS, CheckpointError
from mergelib import experiments as ex
from mergelib.experiments import Job, measuring, tables
from mergelib.experiments.choosing import GRIDS, LAMBDAS, best_of, choose
from mergelib.experiments.measuring import ROWS, label
from mergelib.experiments.tables import mask_lams
from mergelib.measure.ledger import Ledger
from mergelib.suites.sketch import SketchSuite

TASKS = ("digits", "flags", "signs")
AVERAGE, ARITHMETIC = Job("weight-average"), Job("task-arithmetic", "", {"lam": 0.5})


@pytest.fixture
def suite():
    draw = torch.Generator().manual_seed(0)
    base, *experts = ({"w": torch.randn(3, generator=draw)} for _ in range(1 + len(TASKS)))
    return SketchSuite("tiny", "none", 0, base, dict(zip(TASKS, experts)), {}, "0123abcd")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


class FakeEvaluation:
    """Stands in for `evaluate`: an accuracy that depends on weights, task and split; `seen` counts, `left` limits the calls."""

    def __init__(self):
        self.seen, self.left = [], None

    def __call__(self, state, suite, tasks, split, hits):
        if self.left == len(self.seen):
            raise KeyboardInterrupt
        self.seen += tasks
        number = zlib.crc32(repr((state["w"].tolist(), tasks, split)).encode()) % 600 / 600
        found = {"accuracy": number, "loss": 2 - number, "entropy": 1.0, "n": 600, "hits": "AA=="}
        return pd.DataFrame([{"task": task, **found} for task in tasks])


@pytest.fixture(autouse=True)
def evaluation(monkeypatch, one_process):
    monkeypatch.setattr(measuring, "evaluate", fake := FakeEvaluation())
    return fake


# --- the ledger is asked first

def test_what_is_known_is_not_measured_again(suite, tmp_path, evaluation):
    first = ex.measure("test", suite, [AVERAGE], Ledger(tmp_path))
    assert evaluation.seen == [*TASKS] and len(first) == len(TASKS) * 3       # three metrics
    second = ex.measure("test", suite, [AVERAGE, ARITHMETIC], Ledger(tmp_path))
    assert evaluation.seen == [*TASKS] * 2
    third = ex.measure("another", suite, [ARITHMETIC, AVERAGE], Ledger(tmp_path))
    assert evaluation.seen == [*TASKS] * 2
    assert second["value"][:9].tolist() == first["value"].tolist() == third["value"][9:].tolist()


def test_of_validation_pictures_losses_are_kept_only_if_asked(suite, ledger, evaluation):
    job = replace(AVERAGE, split="validation")
    assert set(ex.measure("test", suite, [job], ledger)["metric"]) == {"accuracy"}
    assert set(ex.measure("test", suite, [replace(job, losses=True)], ledger)["metric"]) == {"accuracy", "loss", "entropy"}
    assert evaluation.seen == [*TASKS] * 2         # the losses were not there yet


def test_recompute_measures_again_and_corrects_the_ledger(suite, tmp_path, evaluation):
    ex.measure("test", suite, [AVERAGE], Ledger(tmp_path))
    wrong = Ledger(tmp_path)
    right = [dict(row) for row in wrong.rows.values()]
    wrong.record("test", [row | {"value": 0.5} for row in right])
    table = ex.measure("test", suite, [AVERAGE], Ledger(tmp_path), recompute=True)
    assert evaluation.seen == [*TASKS] * 2
    assert [row["value"] for row in Ledger(tmp_path).rows.values()] == [row["value"] for row in right]
    scale = {"accuracy": 100, "loss": 1, "entropy": 1}
    assert sorted(table["value"]) == sorted(scale[row["metric"]] * row["value"] for row in right)


def test_an_interrupted_run_goes_on_where_it_was(suite, tmp_path, evaluation):
    jobs = [AVERAGE, ARITHMETIC, Job("pretrained"), Job("individual")]
    evaluation.left = 2 * len(TASKS) + 1          # killed within the third job
    with pytest.raises(KeyboardInterrupt):
        ex.measure("test", suite, jobs, Ledger(tmp_path))
    evaluation.seen, evaluation.left = [], None
    table = ex.measure("test", suite, jobs, Ledger(tmp_path))
    assert evaluation.seen == [*TASKS] * 2 and len(table) == len(jobs) * len(TASKS) * 3


@pytest.mark.parametrize("change", [{"zoo": "ffffffff"}, {"seed": 1}, {"suite": "other"}, {"model": "other"}, {"version": 0}])
def test_rows_of_another_zoo_or_version_do_not_count(suite, tmp_path, evaluation, change):
    ex.measure("test", suite, [AVERAGE], Ledger(tmp_path))
    file = tmp_path / "test.csv"
    pd.read_csv(file, keep_default_na=False).assign(**change).to_csv(file, index=False)
    ex.measure("test", suite, [AVERAGE], Ledger(tmp_path))
    assert evaluation.seen == [*TASKS] * 2


def test_jobs_merge_and_evaluate_what_they_say(suite, ledger, monkeypatch):
    def evaluate(state, suite, tasks, split, hits):
        asked.append((state["w"], tasks, split))
        return FakeEvaluation()(state, suite, tasks, split, hits)
    asked = []
    monkeypatch.setattr(measuring, "evaluate", evaluate)
    ex.measure("test", suite, [Job("weight-average", tasks=("flags", "signs"), on=("digits",), split="validation"),
                               Job("individual", on=("flags",)), Job("pretrained", on=("signs",))], ledger)
    (merged, *where), (individual, *_), (pretrained, *_) = asked
    torch.testing.assert_close(merged, (suite.experts["flags"]["w"] + suite.experts["signs"]["w"]) / 2)
    assert where == [["digits"], "validation"]
    assert torch.equal(individual, suite.experts["flags"]["w"]) and torch.equal(pretrained, suite.base["w"])


def test_a_model_of_all_tasks_is_a_row_where_there_is_one(suite, ledger):
    assert set(ex.reference_rows(suite, ledger=ledger)["label"]) == {"Pre-trained", "Individual"}
    joint = replace(suite, joint={"mtl": {"w": torch.full((3,), 7.0)}}, digest="other")
    table = ex.reference_rows(joint, ledger=ledger)
    found = table[(table["label"] == "Traditional MTL") & (table["metric"] == "accuracy")]
    assert found["task"].tolist() == [*TASKS] and set(found["tasks"]) == {"+".join(TASKS)}
    expected = FakeEvaluation()(joint.joint["mtl"], joint, ["flags"], "test", True)["accuracy"].item()
    assert found.set_index("task")["value"]["flags"] == pytest.approx(100 * expected, abs=1e-4)


def test_what_was_measured_on_weights_that_are_not_shipped_can_be_read_and_nothing_more(suite, tmp_path, evaluation):
    before = ex.measure("test", suite, [AVERAGE], Ledger(tmp_path))
    bare = replace(suite, base={}, experts=dict.fromkeys(TASKS), model="large")
    with pytest.raises(CheckpointError, match="lacks 1 measurements .test. on the tower 'large'.*TOWER=large.*MERGELIB_ZOO"):
        ex.measure("test", bare, [AVERAGE], Ledger(tmp_path))
    after = ex.measure("test", replace(bare, model=suite.model), [AVERAGE], Ledger(tmp_path))
    assert after["value"].tolist() == before["value"].tolist()


# --- labels, tables, and a check of committed numbers

def test_methods_with_several_readings_are_named_with_the_preset():
    assert [label("ties", preset) for preset in ("paper", "code")] == ["Ties-Merging (paper)", "Ties-Merging (code)"]
    assert (label("task-arithmetic"), label("pretrained")) == ("Task Arithmetic", "Pre-trained")
    labels = [label(name, preset) for name, spec in METHODS.items() for preset in spec.presets or [""]]
    assert len({*labels, *ROWS.values()}) == len(labels) + len(ROWS)


def test_the_average_is_that_of_the_tasks(suite, ledger):
    table = ex.measure("test", suite, [AVERAGE, ARITHMETIC], ledger)
    wide = ex.accuracy_table(table)
    accuracy = table[table["metric"] == "accuracy"]["value"].to_numpy().reshape(2, 3)
    assert list(wide.index) == ["Weight Averaging", "Task Arithmetic"] and list(wide.columns) == [*TASKS, "Avg"]
    assert wide["Avg"].to_numpy() == pytest.approx(accuracy.mean(axis=1))


def test_a_spot_check_finds_the_row_that_was_falsified(suite, tmp_path):
    jobs = [AVERAGE, ARITHMETIC, Job("pretrained"), Job("individual"), Job("ties", "code", {"lam": 0.2}, TASKS[:2], TASKS)]
    ex.measure("test", suite, jobs, Ledger(tmp_path))
    honest = ex.spot_check(suite, count=100, ledger=Ledger(tmp_path))
    assert len(honest) == 5 * len(TASKS) and (honest["value"] == honest["fresh"]).all()

    file = tmp_path / "test.csv"
    rows = pd.read_csv(file, keep_default_na=False)
    rows.loc[30, "value"] += 0.01                # an accuracy of the individual models
    rows.to_csv(file, index=False)
    checked = ex.spot_check(suite, count=100, ledger=Ledger(tmp_path))
    (found,) = checked[checked["value"] != checked["fresh"]].to_dict("records")
    assert (found["method"], found["task"]) == tuple(rows.loc[30, ["method", "task"]])
    assert len(ex.spot_check(suite, count=4, ledger=Ledger(tmp_path))) == 4
    rows.assign(zoo="another").to_csv(file, index=False)          # the numbers of other models cannot be checked
    assert ex.spot_check(suite, count=4, ledger=Ledger(tmp_path)).empty


def test_a_spot_check_leaves_out_what_learns_for_minutes(suite, tmp_path):
    ex.measure("test", suite, [AVERAGE, ARITHMETIC], Ledger(tmp_path))
    ledger = Ledger(tmp_path)
    ledger.record("test", [row | {"method": "doge-am"} for row in ledger.rows.values() if row["method"] == "weight-average"])
    ledger = Ledger(tmp_path)
    assert {row["method"] for row in ledger.rows.values()} == {"weight-average", "task-arithmetic", "doge-am"}
    assert set(ex.spot_check(suite, count=100, ledger=ledger)["method"]) == {"weight-average", "task-arithmetic"}


# --- selection

@pytest.fixture
def settings_as_weights(monkeypatch):
    """A merge that costs nothing: the merged weights are the settings."""
    def merge(method, base, experts, preset=None, **options):
        return {"w": torch.tensor([len(method) + len(preset or ""), *options.values()])}
    monkeypatch.setattr(measuring, "merge", merge)


def test_exactly_one_setting_per_method_is_chosen_and_it_is_the_best(suite, ledger, settings_as_weights):
    tried = ex.selection(suite, ledger=ledger)
    assert len(tried) == sum(len(values) for *_, values in GRIDS)
    for (method, preset, option, values), (_, part) in zip(GRIDS, tried.groupby(["method", "preset"], sort=False)):
        assert part["setting"].tolist() == list(values) and set(part["option"]) == {option}
        assert part["chosen"].sum() == 1
        assert part.loc[part["chosen"], "accuracy"].item() == part["accuracy"].max()
        assert set(part["label"]) == {label(method, preset)}
    assert {row["split"] for row in ledger.rows.values()} == {"validation"}


def test_the_chosen_settings_are_what_is_run_on_the_test_pictures(suite, ledger, settings_as_weights):
    tried = ex.selection(suite, ledger=ledger)
    rows = ex.chosen_rows(suite, tried, ledger=ledger)
    best = {"Weight Averaging": {}} | {row.label: {row.option: row.setting} for row in tried[tried["chosen"]].itertuples()}
    assert {name: json.loads(options) for name, options in zip(rows["label"], rows["options"])} == best
    assert set(rows["split"]) == {"test"}


def test_what_is_fixed_is_fixed_and_only_the_option_is_chosen(suite, ledger, settings_as_weights):
    grids = [("tatr-zero-shot", "", "ratio", (0.01, 0.02), {"lam": 0.15}), ("iso-c", "", "lam", (1.0, 2.0), {})]
    tried = choose("test", suite, grids, ledger=ledger)
    assert tried["option"].tolist() == ["ratio", "ratio", "lam", "lam"]
    jobs = ex.chosen_jobs(tried)
    best = [part.loc[part["accuracy"].idxmax()] for _, part in tried.groupby("method", sort=False)]
    assert [job.options for job in jobs] == [{"lam": 0.15, "ratio": best[0]["setting"]}, {"lam": best[1]["setting"]}]
    assert ex.setting(tried, "Iso-C") == best[1]["setting"]


def test_as_printed_every_method_runs_once_and_nothing_is_chosen(suite, monkeypatch):
    wide = pd.DataFrame({"method": ["dare", "dare", "doge-ties", "doge-ties"], "preset": ["", "", "paper", "code"]})
    monkeypatch.setattr(tables, "wide_selection", lambda suite, tried: wide)
    monkeypatch.setattr(tables, "measure", lambda experiment, suite, jobs: jobs)
    jobs = ex.printed_rows(suite, pd.DataFrame({"method": "ties", "preset": ["paper", "paper", "code"]}))
    assert jobs == [Job("ties", "paper"), Job("ties", "code"), Job("dare"), Job("doge-ties", "paper"), Job("doge-ties", "code")]


def test_each_task_has_the_mask_that_is_best_on_its_own_validation_pictures(suite, ledger, monkeypatch):
    def evaluate(state, suite, tasks, split, hits):
        (task,), lam = tasks, float(state["w"])
        right = {"digits": 0.5, "flags": 0.2, "signs": 0.6}[task]
        return FakeEvaluation()(state, suite, tasks, split, hits).assign(accuracy=1 - abs(lam - right))
    monkeypatch.setattr(measuring, "merge", lambda *_, mask_lam, **how: {"w": torch.tensor(mask_lam)})
    monkeypatch.setattr(measuring, "evaluate", evaluate)
    assert mask_lams(suite, ledger=ledger) == {"digits": 0.5, "flags": 0.2, "signs": 0.6}


def test_a_row_whose_weights_are_not_shipped_is_read_and_not_measured_again(suite, tmp_path, evaluation):
    joint = replace(suite, joint={"pcgrad": {"w": torch.full((3,), 7.0)}})
    before = ex.reference_rows(joint, ledger=Ledger(tmp_path))
    bare = replace(suite, joint={"pcgrad": {}})
    after = ex.reference_rows(bare, ledger=Ledger(tmp_path), recompute=True)
    assert "MTL with PCGrad" in set(after["label"]) and after["value"].tolist() == before["value"].tolist()
    with pytest.raises(CheckpointError, match="ledger lacks .* not all shipped"):
        ex.reference_rows(bare, ledger=Ledger(tmp_path / "other"))


def test_the_best_options_have_the_highest_mean_accuracy():
    values = {0.1: (0.9, 0.1), 0.2: (0.6, 0.7), 0.3: (0.5, 0.5)}
    signs = {"accuracy": 1, "loss": -9}
    table = pd.DataFrame([{"metric": metric, "options": json.dumps({"lam": lam}), "value": sign * value}
                          for lam, pair in values.items() for value in pair for metric, sign in signs.items()])
    assert best_of(table) == {"lam": 0.2}


# --- conflicts and sweeps

def test_conflict_is_the_loss_with_all_minus_the_loss_without_one():
    losses = {"a+b+c": (1.0, 2.0, 3.0), "b+c": (4.0, 1.5, 2.0), "a+c": (0.5, 6.0, 3.0), "a+b": (1.0, 2.5, 9.0)}
    table = pd.DataFrame([{"metric": "loss", "tasks": tasks, "task": task, "value": value}
                          for tasks, values in losses.items() for task, value in zip("abc", values)])
    matrix = ex.conflict_matrix(table, ("a", "b", "c"))          # columns: who is added; rows: who suffers
    assert matrix["a"].tolist() == [-3.0, 0.5, 1.0]
    assert matrix["b"].tolist() == [0.5, -4.0, 0.0]
    assert matrix["c"].tolist() == [0.0, -0.5, -6.0]


def test_conflict_losses_are_what_the_matrix_needs(suite, ledger):
    matrix = ex.conflict_matrix(ex.conflict_losses(suite, ledger=ledger), suite.tasks)
    assert matrix.shape == (3, 3) and matrix.notna().all(axis=None)


def test_a_sweep_is_averaged_by_lambda_and_method(suite, ledger):
    table = ex.lambda_sweep(suite, ledger=ledger)
    wide = ex.sweep_averages(table)
    assert list(wide.columns) == ["Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)"]
    assert wide.index.tolist() == sorted(LAMBDAS)
    cells = table[table["metric"] == "accuracy"].groupby(["options", "label"])["value"].mean()
    assert wide.loc[0.25, "Task Arithmetic"] == pytest.approx(cells['{"lam": 0.25}', "Task Arithmetic"])
