"""Do the later notebooks' measurements ask for and sum up what they say? Unseen tasks, corruptions, parts, conflicts."""

import json
import zlib
from importlib import import_module
from itertools import count, product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn.functional import cross_entropy

from mergelib import METHODS, benchmark, merge, training
from mergelib import experiments as ex
from mergelib.adapt import coefficients as adapted_coefficients
from mergelib.adapt.coefficients import merged_identity
from mergelib.adapt.gradients import loss_gradient, trainable_tower
from mergelib.benchmark import EIGHT, SPLITS, corruptions
from mergelib.benchmark.corruptions import CONSTANTS, CORRUPTIONS, SEVERITIES, parse_condition
from mergelib.evaluate import pack_hits
from mergelib.experiments import FOUR, Job
from mergelib.experiments.measure import label
from mergelib.experiments.selection import ETAS, GRIDS, choose
from mergelib.ledger import Ledger
from mergelib.merge import stream
from mergelib.methods import ENCODER_MATRICES, TEST_PICTURES
from mergelib.methods.doge import doge
from mergelib.models import build_clip, image_features, normalise_pixels
from mergelib.training import Recipe
from mergelib.zoo import Suite, train

ablation, learning, measuring, robustness, trust, unseen_tasks = (         # for some names the package has functions
    import_module(f"mergelib.experiments.{name}")
    for name in ("ablation", "learning", "measure", "robustness", "trust", "unseen"))
CONDITIONS = ("clean", "contrast 5 cifar", "pixelate 3 imagenet")
MATRICES = ("transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks.0.mlp.c_fc.weight")


@pytest.fixture
def suite():
    """The eight tasks' names on checkpoints of nine numbers."""
    draw = torch.Generator().manual_seed(0)
    base, *experts = ({"w": torch.randn(9, generator=draw)} for _ in range(1 + len(EIGHT)))
    return Suite("tiny", "none", 0, base, dict(zip(EIGHT, experts)), {}, "0123abcd")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "results")


class Fakes:
    """Stand in for `merge` and `evaluate`: a merged model is what it was made of, and what was evaluated is kept."""

    def __init__(self):
        self.merged, self.evaluated = [], []

    def merge(self, method, base, experts, preset=None, suite=None, **options):
        seen = {} if suite is None else {"pictures": suite.tasks, "condition": suite.condition}
        self.merged.append({"method": method, "preset": preset, "options": options, "tasks": tuple(experts), **seen})
        return self.merged[-1]

    def accuracy(self, model, condition, task, split):
        return zlib.crc32(repr((model, condition, task, split)).encode()) % 600 / 600

    def evaluate(self, model, suite, tasks, split, hits):
        (task,) = tasks
        self.evaluated.append((model, suite.condition, task, split))
        found = {"accuracy": self.accuracy(*self.evaluated[-1]), "loss": 1.0, "entropy": 1.0, "n": 600, "hits": "AA=="}
        return pd.DataFrame([{"task": task, **found}])


@pytest.fixture
def fakes(monkeypatch, one_process):
    found = Fakes()
    monkeypatch.setattr(measuring, "merge", found.merge)
    monkeypatch.setattr(measuring, "evaluate", lambda *arguments, hits: found.evaluate(*arguments, hits))
    return found


@pytest.fixture
def asked(monkeypatch, fakes):
    """The jobs that experiments want on test pictures; what `choose` wants is measured, with the fakes."""
    def measure(experiment, suite, wanted, **how):
        jobs.extend(wanted)
        return pd.DataFrame([vars(job) for job in wanted])
    jobs = []
    for module in (ablation, robustness):
        monkeypatch.setattr(module, "measure", measure)
    return jobs


def accuracies(table):
    return table[table["metric"] == "accuracy"]


# --- conditions

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
        assert row.value == pytest.approx(fakes.accuracy(model, row.condition, row.task, "test"), abs=1e-6)    # six digits


@pytest.mark.parametrize("method, preset", [("adamerging", "paper"), ("concrete-ta", ""), ("adamerging+++tatr", ""),
                                            ("surgery", "task-arithmetic")])
def test_what_learns_on_test_pictures_learns_under_every_condition_anew(suite, ledger, fakes, method, preset):
    table = under_conditions(suite, ledger, method, preset)
    assert [model["condition"] for model in fakes.merged] == [*CONDITIONS]
    assert all({*model["pictures"]} == {*model["tasks"]} == {"digits", "signs"} for model in fakes.merged)
    assert len(fakes.evaluated) == 6 and all(model["condition"] == where for model, where, *_ in fakes.evaluated)
    for row in table.itertuples():
        model = fakes.merged[CONDITIONS.index(row.condition)]
        assert row.value == pytest.approx(fakes.accuracy(model, row.condition, row.task, "test"), abs=1e-6)


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
    for module in (benchmark, corruptions):
        monkeypatch.setattr(module, "CACHE", tmp_path)


def test_only_test_pictures_are_corrupted(suite, drawn_here):
    under = suite.under("contrast 5 cifar")
    for split in SPLITS:
        (ours, labels), (clean, right) = (each.pictures("digits", split, 5) for each in (under, suite))
        assert np.array_equal(labels, right) and ours.shape == clean.shape
        assert np.array_equal(ours, clean) == (split != "test")
    deviations = [pixels.std(axis=(1, 2)) for pixels in (ours, clean)] if split == "test" else None
    # contrast 5 draws values to 0.15 of their distance from the mean; grey levels are rounded to one
    np.testing.assert_allclose(deviations[0], 0.15 * deviations[1], atol=0.5)


def test_a_part_of_a_suite_is_under_the_same_condition(suite):
    under = suite.under("contrast 5 cifar")
    assert (under.condition, suite.condition, under.under("clean")) == ("contrast 5 cifar", "clean", suite)
    part = under.subset(("digits", "signs"))
    assert part.condition == "contrast 5 cifar" and part.tasks == ("signs", "digits")
    assert (under.digest, under.tasks, part.digest) == (suite.digest, suite.tasks, suite.digest)


# --- what is being learned is told apart by condition

def corrupted(suite):
    return SimpleNamespace(**{**vars(suite), "condition": "contrast 5 cifar"})


def test_a_condition_gives_what_is_learned_another_name(tiny_suite):
    tensors = list(stream(tiny_suite.base, tiny_suite.experts, list(tiny_suite.base)))
    clean, other = (merged_identity(tensors, each, "settings") for each in (tiny_suite, corrupted(tiny_suite)))
    assert clean != other and clean == merged_identity(tensors, tiny_suite, "settings")


@pytest.fixture
def a_checkpoint_every_step(monkeypatch):
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=count(0, 60).__next__))      # a minute per look


class Entropy:
    """`entropy`, which counts its calls, one a step here, and is killed at one of them."""

    def __init__(self, kill_at=None):
        self.calls, self.kill_at, self.entropy = 0, kill_at, adapted_coefficients.entropy

    def __call__(self, *arguments):
        if self.calls == self.kill_at:
            self.kill_at = None
            raise KeyboardInterrupt
        self.calls += 1
        return self.entropy(*arguments)


def test_a_killed_run_is_not_continued_under_another_condition(tiny_suite, monkeypatch, a_checkpoint_every_step):
    def learn(suite):
        before = entropy.calls
        merge("adamerging", suite.base, suite.experts, suite=suite, steps=4, batch=4)
        return entropy.calls - before
    monkeypatch.setattr(adapted_coefficients, "entropy", entropy := Entropy(kill_at=3))
    with pytest.raises(KeyboardInterrupt):
        learn(tiny_suite)
    assert learn(corrupted(tiny_suite)) == 4 and learn(tiny_suite) == 1


# --- the hyper-parameters of some of the tasks

def test_hyper_parameters_can_be_chosen_on_some_of_the_tasks(suite, ledger, fakes):
    right = {task: 0.2 if task in FOUR[:2] else 0.5 for task in EIGHT}
    fakes.accuracy = lambda model, condition, task, split: 1 - abs(model["options"]["lam"] - right[task])
    grid = ("task-arithmetic", "", "lam", (0.2, 0.3, 0.5), {})
    few, every = (choose("test", suite, [grid], tasks, ledger=ledger) for tasks in (FOUR[:2], None))
    assert ex.setting(few, "Task Arithmetic") == 0.2 and ex.setting(every, "Task Arithmetic") == 0.5
    assert {where[2] for where in fakes.evaluated[:6]} == {*FOUR[:2]} and len(fakes.evaluated) == 3 * 2 + 3 * 8
    assert [{*model["tasks"]} for model in fakes.merged] == [{*FOUR[:2]}] * 3 + [{*EIGHT}] * 3
    assert few["accuracy"].tolist() == pytest.approx([1, 0.9, 0.7])
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
    grids = {label(*grid[:2]) for grid in GRIDS if grid[0] != "norm-lambda"}
    learned = {label(*which) for which in unseen_tasks.LEARNED}
    assert set(options) == grids | learned | {"Pre-trained", "Weight Averaging", "TATR"}
    assert all(options[row.label] == {row.option: row.setting} for row in chosen[chosen["chosen"]].itertuples()
               if row.label in grids)
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

def test_conditions_are_the_clean_pictures_and_every_corruption_once():
    for severities, definitions in (((5,), tuple(CONSTANTS)), (SEVERITIES, tuple(CONSTANTS)), ((5,), ("cifar",))):
        clean, *others = robustness.conditions(severities, definitions)
        assert clean == "clean" and len({*others}) == len(others) == 7 * len(severities) * len(definitions)
        assert {parse_condition(each) for each in others} == {
            (name, severity, definition) for name in CORRUPTIONS for severity in severities for definition in definitions}
    assert robustness.conditions() == robustness.conditions((5,), ("cifar", "imagenet"))


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
    grids = {label(*grid[:2]) for grid in GRIDS if grid[0] != "norm-lambda"}
    assert set(conditions) == grids | {"Pre-trained", "Individual", "Weight Averaging", "Fisher Merging"}
    for name, found in conditions.items():
        worst = {each for each in found if each == "clean" or parse_condition(each)[1] == 5}
        assert len(worst) == 15 and len(found) == (71 if name in robustness.CURVES else 15), name
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
    assert sorted(found) == sorted((*which, place) for which in robustness.LEARNED for place in places)


# --- parts of DOGE TA

BEST = {"nothing": 0.12, "shared subspace": 0.05, "task-aware lambda": 0.25, "delta": 0.2}


def left_out(model):
    """What of DOGE TA a merged model lacks."""
    if model["method"] == "norm-lambda":
        return "delta"
    options = model["options"]
    return ("shared subspace" if options.get("direction") == "free" else
            "task-aware lambda" if options.get("uniform") else "nothing")


def test_every_variant_of_the_ablation_lacks_one_part_and_has_its_own_best_coefficient(suite, ledger, fakes):
    fakes.accuracy = lambda model, condition, task, split: 1 - abs(model["options"]["eta"] - BEST[left_out(model)])
    table = accuracies(ex.ablation(suite, ledger=ledger))
    found = {(row.without, row.reading): (row.method, row.preset, json.loads(row.options)) for row in table.itertuples()}
    fixed = {"nothing": {}, "shared subspace": {"direction": "free"}, "task-aware lambda": {"uniform": True}}
    assert found == {("delta", ""): ("norm-lambda", "code", {"eta": 0.2})} | {
        (name, preset): ("doge-ta", preset, {"eta": BEST[name], **fixed[name]})
        for preset in ("code", "exact") for name in fixed}
    assert len(table) == len(found) * len(EIGHT) and set(table["split"]) == {"test"}
    assert {row["split"] for row in ledger.rows.values() if row["experiment"] == "ablation-selection"} == {"validation"}


def test_without_its_parts_doge_is_simpler_on_the_same_tensors(base, experts):
    def encoder(**options):
        return merge("doge-ta", base, experts, preset="exact", steps=0, **options)
    alone = merge("norm-lambda", base, experts, preset="code", eta=0.05)
    uniform = merge("task-arithmetic", base, experts, lam=0.3, keys=ENCODER_MATRICES)
    assert {name for name in base if not torch.equal(alone[name], base[name])} == {*MATRICES}
    for name in base:           # the same sums, in another order
        torch.testing.assert_close(encoder(eta=0.05)[name], alone[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(encoder(eta=0.3, uniform=True)[name], uniform[name], rtol=0, atol=1e-6)


def test_the_printed_ablation_has_the_full_method_s_eta_and_0_3_for_uniform_coefficients(suite, asked):
    eta = {"code": 0.05, "exact": 0.15}
    table = ex.printed_ablation(suite, eta)
    assert len(table) == len(asked) == 8
    for row in table.itertuples():
        model = {"method": row.method, "options": row.options}
        assert left_out(model) == row.without
        assert row.options["eta"] == (0.3 if row.without == "task-aware lambda" else eta[row.reading])
        assert row.preset == ("code" if row.without == "delta" else row.reading)
        assert len(row.options) == (1 if row.without in ("nothing", "delta") else 2)


def test_one_coefficient_per_task_is_on_average_one_of_the_others_values(suite, ledger, fakes):
    two = suite.subset(("digits", "signs"))
    ex.lambda_rows(two, ledger=ledger)
    etas = [model["options"]["eta"] for model in fakes.merged if model["options"].get("scope") == "task"]
    assert all(float(f"{eta:.2g}") == eta for eta in etas) and len(etas) == 10 + 1         # the best again, on test pictures
    columns = torch.stack([expert["w"] - two.base["w"] for expert in two.experts.values()], dim=1)
    for eta, lam in zip(etas, (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)):
        step = merge("norm-lambda", two.base, two.experts, preset="paper", scope="task", eta=eta)["w"] - two.base["w"]
        coefficients = torch.linalg.lstsq(columns, step[:, None]).solution
        assert coefficients.mean().item() == pytest.approx(lam, rel=0.05)      # eta has two digits: half of 0.1 in 1.0


def test_each_form_of_the_coefficients_is_chosen_by_itself(suite, ledger, fakes):
    table = accuracies(ex.lambda_rows(suite, ledger=ledger))
    found = {row.form: (row.method, row.preset, json.loads(row.options).get("scope")) for row in table.itertuples()}
    assert found == {
        "one lambda": ("task-arithmetic", "", None), "a lambda per task": ("norm-lambda", "paper", "task"),
        "per task and layer": ("norm-lambda", "paper", None), "per task and matrix": ("norm-lambda", "code", None)}
    assert len(table) == 4 * len(EIGHT)


def test_the_rank_is_never_swept_with_a_solver_that_cannot_stay_in_the_subspace(suite, base, experts, asked):
    ex.rank_rows(suite, {"code": 0.05, "exact": 0.15})
    settings = [METHODS[job.method].settings(job.preset, **job.options) for job in asked]
    assert {(each["solver"], each["steps"]) for each in settings} == {("adam", 400)}
    wanted = [(eta, direction, ratio) for eta in (0.05, 0.15) for direction in ("along", "orthogonal")
              for ratio in ablation.RANK_RATIOS] + [(eta, "free", 1 / 6) for eta in (0.05, 0.15)]
    assert sorted((each["eta"], each["direction"], each["rank_ratio"]) for each in settings) == sorted(wanted)
    along = next(job for job in asked if job.options["direction"] == "along" and job.preset == "exact")
    with pytest.raises(ValueError, match="there is no exact solution"):
        merge("doge-ta", base, experts, preset="exact", **{**along.options, "solver": "exact"})
    merge("doge-ta", base, experts, preset="exact", **{**along.options, "steps": 2})


def test_gradients_have_a_best_eta_of_their_own_in_every_reading(suite, ledger, asked, fakes):
    fakes.accuracy = lambda model, condition, task, split: -abs(
        model["options"]["eta"] - {"paper": 0.05, "code": 0.09, "exact": 0.3}[model["preset"]])
    ex.gradient_rows(suite, ledger=ledger)
    assert [(job.method, job.preset, job.options) for job in asked] == [
        ("doge-gradients", "paper", {"eta": 0.05}), ("doge-gradients", "code", {"eta": 0.09}),
        ("doge-gradients", "exact", {"eta": 0.3})]
    assert len(fakes.merged) == 3 * len(ETAS)


def shares_by_svd(base, experts, ratio):
    """The mean share of the singular values, over both matrices inside the transformer, all of which have rank 16."""
    found = {"bases": [], "task vectors": []}
    for name in MATRICES:
        taus = [(expert[name] - base[name]).numpy().astype(float) for expert in experts.values()]
        bases = [np.linalg.svd(tau, full_matrices=False)[0][:, :16 // len(taus)] for tau in taus]
        for of, matrix in (("bases", np.hstack(bases)), ("task vectors", sum(taus))):
            values = np.linalg.svd(matrix, compute_uv=False)
            found[of].append(sum(values[:int(16 * ratio)]) / sum(values))
    return {of: np.mean(each) for of, each in found.items()}


def test_what_a_rank_explains_is_what_an_svd_says(base, experts):
    ratios = (0.1, 1 / 6, 0.5, 0.9, 1.0)
    table = ex.explained(SimpleNamespace(base=base, experts=experts), ratios)
    assert table.index.tolist() == [*ratios]
    for ratio in ratios:        # bases are fp32
        assert table.loc[ratio].to_dict() == pytest.approx(shares_by_svd(base, experts, ratio), abs=1e-5)
    assert (table.diff().dropna() > 0).all(axis=None) and (table <= 1 + 1e-12).all(axis=None)
    assert table.loc[1.0].tolist() == pytest.approx([1, 1])


# --- a suite with labels

@pytest.fixture
def labelled(tiny_suite, one_process):
    """The tiny suite with a third task, labels of all pictures, and heads that are surer of some pictures than of others."""
    draw, rng, add = torch.Generator().manual_seed(5), np.random.default_rng(5), "flags"
    tiny_suite.seed, tiny_suite.tasks = 0, (*tiny_suite.tasks, add)
    tiny_suite.experts[add] = {name: tensor + 0.05 * torch.randn(tensor.shape, generator=draw)
                               for name, tensor in tiny_suite.base.items()}
    tiny_suite.heads = {task: (1.3 + i) * torch.randn(128, 5 + i, generator=draw) for i, task in enumerate(tiny_suite.tasks)}
    pixels = {(task, split): (rng.integers(216, size=(40, 1, 1, 3)) + rng.integers(40, size=(40, 32, 32, 3))).astype(np.uint8)
              for task in tiny_suite.tasks for split in SPLITS}
    labels = {task: rng.integers(head.shape[1], size=40) for task, head in tiny_suite.heads.items()}
    tiny_suite.pictures = lambda task, split, count=None: (pixels[task, split][:count], labels[task][:count])
    return tiny_suite


def loss(suite, state, task, split, count=None):
    """Loss of every picture."""
    pixels, labels = suite.pictures(task, split, count)
    with torch.no_grad():
        scores = image_features(trainable_tower(state, suite, task), normalise_pixels(pixels)) @ suite.heads[task]
    return cross_entropy(scores, torch.as_tensor(labels), reduction="none"), scores


def vectors(suite):
    return {task: {name: expert[name] - suite.base[name] for name in expert} for task, expert in suite.experts.items()}


# --- learned coefficients

@pytest.fixture
def few_steps(monkeypatch):
    """Twenty quick steps instead of hundreds, large enough to be seen."""
    for job in (*ex.PATHS, *ex.HEATS):
        for name, value in {"steps": 20, "batch": 4, "lr": 0.02}.items():
            monkeypatch.setitem(METHODS[job.method].options, name, value)


def assert_rebuilt(suite, job, lam):
    """The merge is theta_0 + sum_t lam_t tau_t; `lam(task, name)`."""
    merged, taus = merge(job.method, suite.base, suite.experts, preset=job.preset, suite=suite), vectors(suite)
    for name, theta_0 in suite.base.items():
        expected = theta_0 + sum(lam(task, name) * taus[task][name] for task in suite.tasks)
        # the ledger's five digits leave 5e-6 of task vectors below 0.25, for each of three tasks
        torch.testing.assert_close(merged[name], expected, rtol=0, atol=5e-6)


def test_a_path_starts_at_0_3_and_ends_with_what_is_merged(labelled, ledger, few_steps):
    table = ex.coefficients(labelled, ex.PATHS, ledger)
    for job, (name, part) in zip(ex.PATHS, table.groupby("label", sort=False), strict=True):
        assert name == label(job.method, job.preset) and set(part["tensor"]) == {""}
        wide = part.pivot(index="step", columns="task", values="lam")
        assert wide.index.tolist() == [0, 10, 20] and {*wide.columns} == {*labelled.tasks}
        assert (wide.loc[0] == 0.3).all() and ((wide.loc[20] - wide.loc[10]).abs() > 1e-3).any()
    lam = table[(table["label"] == "Task-wise AdaMerging (paper)") & (table["step"] == 20)].set_index("task")["lam"]
    assert_rebuilt(labelled, ex.PATHS[0], lambda task, name: lam[task])


def test_a_layer_wise_method_shows_what_every_tensor_gets(labelled, ledger, few_steps):
    table = ex.coefficients(labelled, ex.HEATS[:1], ledger)
    assert set(table["step"]) == {20} and len(table) == len(labelled.base) * 3
    lam = table.set_index(["task", "tensor"])["lam"]
    assert lam.std() > 0.01
    assert_rebuilt(labelled, ex.HEATS[0], lambda task, name: lam[task, learning.short(name)])


def test_a_method_that_merges_some_tensors_has_coefficients_of_these(labelled, ledger, few_steps, monkeypatch):
    monkeypatch.setitem(METHODS["doge-am"].options, "batch", 2)
    table = ex.coefficients(labelled, ex.HEATS[2:], ledger)
    assert set(table["tensor"]) == {f"0.{name}" for name in ("attn.in_proj_weight", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")}


def test_a_killed_run_has_the_path_of_one_that_was_not(labelled, few_steps, monkeypatch, tmp_path, a_checkpoint_every_step):
    whole = ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "whole"))
    monkeypatch.setattr(adapted_coefficients, "entropy", entropy := Entropy(kill_at=15))
    with pytest.raises(KeyboardInterrupt):
        ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "killed"))
    assert not Ledger(tmp_path / "killed").rows
    resumed = ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "killed"))
    assert entropy.calls == 20
    pd.testing.assert_frame_equal(resumed, whole)


def test_learned_coefficients_are_learned_once(labelled, few_steps, monkeypatch, tmp_path):
    first = ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "results"))
    monkeypatch.setattr(learning, "merge", None)
    pd.testing.assert_frame_equal(ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "results")), first)
    with pytest.raises(TypeError):
        ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "results"), recompute=True)


def test_looking_at_the_path_changes_nothing(tiny_suite):
    path, options = {}, {"suite": tiny_suite, "steps": 25, "batch": 4}
    watched, plain = (merge("adamerging", tiny_suite.base, tiny_suite.experts, **options, **more)
                      for more in ({"path": path}, {}))
    assert all(torch.equal(watched[name], plain[name]) for name in plain)
    assert {*path} == {*tiny_suite.base} and {steps.shape for steps in path.values()} == {(3, 2)}      # steps 0, 10, 20


# --- entropy and loss

def by_picture(suite, lam):
    """Entropy, loss and accuracy of every test picture under task arithmetic, in fp64 after the tower: task -> DataFrame."""
    taus, found = vectors(suite), {}
    state = {name: theta_0 + lam * sum(tau[name] for tau in taus.values()) for name, theta_0 in suite.base.items()}
    for task in suite.tasks:
        losses, scores = loss(suite, state, task, "test")
        p, labels = scores.double().softmax(dim=1).numpy(), suite.pictures(task, "test")[1]
        found[task] = pd.DataFrame({"entropy": -(p * np.log(p)).sum(axis=1), "loss": losses.numpy().astype(float),
                                    "accuracy": (p.argmax(axis=1) == labels).astype(float)})
    return found | {learning.ALL: pd.concat(found.values())}


@pytest.fixture
def groups(labelled, ledger):
    return ex.entropy_and_loss(labelled, 0.4, ledger)


def test_groups_by_entropy_are_those_of_the_pictures(labelled, groups):
    expected = by_picture(labelled, 0.4)
    assert {*groups[0].index.get_level_values("task")} == {*labelled.tasks, learning.ALL}
    for task, table in expected.items():
        edges = np.minimum(np.floor(10 * table["entropy"]) / 10, 1.0).round(1)
        reference = table.groupby(edges)[["loss", "accuracy"]].mean().assign(count=table.groupby(edges).size())
        ours = groups[0].loc[task].sort_index()
        assert ours.index.tolist() == reference.index.tolist() and len(ours) > 2
        assert ours["count"].tolist() == reference["count"].tolist()
        columns = ["loss", "accuracy"]
        np.testing.assert_allclose(ours[columns], reference[columns], atol=2e-5)     # five digits, and fp32


def test_no_picture_is_counted_twice_or_lost_and_no_group_is_empty(groups):
    counts = groups[0]["count"].groupby(level="task").sum()
    assert counts.to_dict() == {"digits": 40, "signs": 40, "flags": 40, learning.ALL: 120}
    assert (groups[0]["count"] > 0).all() and groups[0].notna().all(axis=None)
    assert len(groups[0]) < 4 * 11, "no group is empty here, so this shows nothing"


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_a_certain_picture_is_in_the_first_group(labelled, ledger):
    labelled.heads = {task: 1e6 * head for task, head in labelled.heads.items()}
    table = ex.entropy_and_loss(labelled, 0.4, ledger)[0]       # entropies are exactly zero
    assert {*table.index.get_level_values("group")} == {0.0} and table["count"].tolist() == [40, 40, 40, 120]


def test_the_correlation_of_entropy_and_loss_is_that_of_single_pictures(labelled, groups):
    expected = {task: spearmanr(table["entropy"], table["loss"])[0] for task, table in by_picture(labelled, 0.4).items()}
    assert groups[1].to_dict() == pytest.approx(expected, abs=1e-5)        # five digits
    assert len({*groups[1]}) == 4


def test_entropy_and_loss_are_measured_once(labelled, groups, ledger, monkeypatch):
    monkeypatch.setattr(learning, "logits", None)
    table, rho = ex.entropy_and_loss(labelled, 0.4, Ledger(ledger.folder))
    pd.testing.assert_frame_equal(table, groups[0])
    pd.testing.assert_series_equal(rho, groups[1])
    with pytest.raises(TypeError):              # another coefficient is another model
        ex.entropy_and_loss(labelled, 0.5, Ledger(ledger.folder))


# --- where tasks conflict

TARGETS = ("signs", trust.ALL)


def sums(suite, target, lam):
    """The vector of a target's components, and the gradient that decides on them."""
    taus, everything = vectors(suite), target == trust.ALL
    gradients = [loss_gradient(suite.base, suite, task, "train", 8) for task in (suite.tasks if everything else (target,))]
    others = [tau for task, tau in taus.items() if everything or task != target]
    return {name: (lam * sum(tau[name] for tau in others), sum(g[name] for g in gradients)) for name in suite.base}


@pytest.mark.parametrize("target", TARGETS)
def test_components_are_the_sum_of_the_others_taken_apart(labelled, target):
    parts, whole = trust.components(labelled, target, 0.02, 0.3, examples=8), sums(labelled, target, 0.3)
    entries, left = {part: 0 for part in parts}, 0.0
    for name, (vector, gradient) in whole.items():
        masks = {part: parts[part][name] != 0 for part in parts}
        assert sum(mask.int() for mask in masks.values()).max() <= 1
        torch.testing.assert_close(sum(parts[part][name] for part in parts), vector, rtol=0, atol=1e-7)     # fp32 around 0.02
        product = gradient * vector
        assert (product[masks["positive"]] > 0).all() and (product[masks["negative"]] < 0).all()
        left = max([left, *product[masks["orthogonal"]].abs().tolist()])
        entries = {part: n + masks[part].sum().item() for part, n in entries.items()}
    size = sum(vector.numel() for vector, _ in whole.values())
    assert entries["positive"] + entries["negative"] == int(0.02 * size) and min(entries.values()) > 0.005 * size
    taken = torch.cat([(gradient * (parts["positive"][name] + parts["negative"][name])).flatten()
                       for name, (_, gradient) in whole.items()]).abs()
    assert taken[taken > 0].min() > 0.999 * left         # the greatest are taken; gradients have roundings


@pytest.fixture
def coarse(monkeypatch):
    monkeypatch.setattr(trust, "AXIS", (0.0, 1.0))
    monkeypatch.setattr(trust, "PICTURES", 8)


def summed_loss(suite, target, state):
    tasks = suite.tasks if target == trust.ALL else (target,)
    return sum(loss(suite, state, task, "test", 8)[0].mean().item() for task in tasks)


def test_the_corners_of_a_landscape_are_the_base_with_one_part_each(labelled, ledger, coarse):
    points, base = ex.landscapes(labelled, TARGETS, 0.05, 0.6, ledger)
    assert len(points) == 2 * 4 and base["target"].tolist() == [*TARGETS]
    for target in TARGETS:
        parts = trust.components(labelled, target, 0.05, 0.6)
        found = points[points["target"] == target].set_index(["x", "y"])["loss"]
        states = {part: {name: labelled.base[name] + parts[part][name] for name in labelled.base} for part in parts}
        expected = {(0, 0): "orthogonal", (1, 0): "positive", (0, 1): "negative"}
        losses = {place: summed_loss(labelled, target, states[part]) for place, part in expected.items()}
        assert {place: found[place] for place in expected} == pytest.approx(losses, abs=3e-5)         # five digits, fp32
        assert len({round(value, 3) for value in losses.values()}) == 3, "the corners are alike, so this shows nothing"


def test_the_base_lies_on_the_plane_where_least_squares_put_it(labelled, ledger, coarse):
    base = ex.landscapes(labelled, TARGETS, 0.05, 0.6, ledger)[1].set_index("target")
    for target in TARGETS:
        parts = trust.components(labelled, target, 0.05, 0.6)
        orthogonal, positive, negative = (torch.cat([parts[part][name].flatten() for name in labelled.base]).double().numpy()
                                          for part in ("orthogonal", "positive", "negative"))
        axes = np.stack([positive - orthogonal, negative - orthogonal], axis=1)
        expected = np.linalg.lstsq(axes, -orthogonal, rcond=None)[0]
        np.testing.assert_allclose(base.loc[target, ["x", "y"]].astype(float), expected, atol=1e-5)       # five digits


def test_a_landscape_is_measured_once(labelled, ledger, coarse, monkeypatch):
    first = ex.landscapes(labelled, TARGETS[:1], 0.05, 0.6, ledger)
    monkeypatch.setattr(trust, "components", None)
    again = ex.landscapes(labelled, TARGETS[:1], 0.05, 0.6, Ledger(ledger.folder))
    for ours, theirs in zip(again, first):
        pd.testing.assert_frame_equal(ours, theirs)
    with pytest.raises(TypeError):
        ex.landscapes(labelled, TARGETS[:1], 0.05, 0.7, Ledger(ledger.folder))


def slow_sensitivity(suite, task, count):
    """Tensor -> mean over entries of the mean absolute gradient of a task's pictures times the others' sizes."""
    tower, taus = trainable_tower(suite.base, suite, task), vectors(suite)
    pixels, labels = suite.pictures(task, "train", count)
    found = dict.fromkeys(suite.base, 0.0)
    for i in range(count):
        tower.zero_grad()
        scores = image_features(tower, normalise_pixels(pixels[i:i + 1])) @ suite.heads[task]
        cross_entropy(scores, torch.as_tensor(labels[i:i + 1])).backward()
        for name, weight in tower.named_parameters():
            sizes = sum(tau[name].abs() for other, tau in taus.items() if other != task)
            found[name] += (weight.grad.abs() * sizes).mean().item() / count
    return found


def test_the_sensitivity_of_a_layer_is_that_of_its_entries(labelled, ledger):
    table = ex.layer_sensitivity(labelled, 3, ledger)
    assert table.index.tolist() == [learning.short(name) for name in labelled.base] and {*table} == {*labelled.tasks}
    for task in labelled.tasks:
        expected = slow_sensitivity(labelled, task, 3)
        # four digits; a tensor whose gradient is rounding alone (as the keys' biases') would differ more
        np.testing.assert_allclose(table[task], list(expected.values()), rtol=1e-3)


def test_sensitivities_are_measured_once(labelled, ledger, monkeypatch):
    first = ex.layer_sensitivity(labelled, 1, ledger)
    monkeypatch.setattr(trust, "absolute_gradient", None)
    pd.testing.assert_frame_equal(ex.layer_sensitivity(labelled, 1, Ledger(ledger.folder)), first)
    with pytest.raises(TypeError):
        ex.layer_sensitivity(labelled, 2, Ledger(ledger.folder))


# --- DOGE before its approximation

# the gradients of random towers hardly match any inner product
LARGE = pytest.mark.filterwarnings("ignore:.*the modification is .* as large as the task vectors")


def with_gradients(suite, **options):
    return merge("doge-gradients", suite.base, suite.experts, preset="exact", suite=suite, examples=6, eta=0.05, **options)


def doge_with_slopes(suite, name, **options):
    """DOGE TA of one tensor with the losses' gradients where it has task vectors."""
    slopes = torch.stack([loss_gradient(suite.base, suite, task, "train", 6)[name] for task in suite.tasks])
    (_, theta_0, taus), = stream(suite.base, suite.experts, [name])
    return doge(theta_0, taus, eta=0.05, solver="exact", steps=32, slopes=slopes, **options)


@LARGE
@pytest.mark.parametrize("inner_product", ["row", "tensor"])
def test_with_gradients_doge_is_doge_with_these_slopes(labelled, inner_product):
    merged = with_gradients(labelled, inner_product=inner_product)
    approximated = merge("doge-ta", labelled.base, labelled.experts, preset="exact", eta=0.05, inner_product=inner_product)
    changed = {name for name in labelled.base if not torch.equal(merged[name], labelled.base[name])}
    assert {*MATRICES} < changed and len(changed) == 4
    for name in MATRICES:       # conjugate gradients enlarge roundings of 1e-8
        expected = doge_with_slopes(labelled, name, inner_product=inner_product)
        torch.testing.assert_close(merged[name], expected, rtol=0, atol=1e-5)
        assert (merged[name] - approximated[name]).abs().max() > 1e-3


@pytest.mark.parametrize("preset", ["paper", "code"])
def test_with_gradients_doge_has_the_readings_of_doge(labelled, preset):
    merged = merge("doge-gradients", labelled.base, labelled.experts, preset=preset, suite=labelled, examples=2, steps=3)
    start = merge("doge-ta", labelled.base, labelled.experts, preset=preset, steps=0)
    differences = [(merged[name] - start[name]).abs().max().item() for name in MATRICES]
    assert 0 < min(differences) and max(differences) < 0.1         # three small steps from where both start


@LARGE
def test_a_mask_of_modified_vectors_judges_those_that_gradients_modified(labelled):
    (name,) = MATRICES[1:]      # of one tensor the whole checkpoint's threshold is the tensor's own
    merged = with_gradients(labelled, keys=r"mlp\.c_fc\.weight", mask="tau+delta", mask_scope="global")
    expected = doge_with_slopes(labelled, name, mask="tau+delta", mask_scope="tensor")
    torch.testing.assert_close(merged[name], expected, rtol=0, atol=1e-5)


def test_with_gradients_doge_needs_exemplars_and_products_of_single_tensors(labelled):
    with pytest.raises(ValueError, match="DOGE TA with gradients needs labelled exemplars. Give suite="):
        merge("doge-gradients", labelled.base, labelled.experts)
    with pytest.raises(ValueError, match="inner_product is 'global'; it can be 'row', 'tensor'"):
        with_gradients(labelled, inner_product="global")


# --- gradient surgery

def marked_pictures(task, split):
    """Pictures that say of which task and class they are: the second and the first value of their first pixel."""
    rng = np.random.default_rng(["signs", "dice"].index(task))
    pixels, labels = rng.integers(256, size=(20, 32, 32, 3), dtype=np.uint8), np.arange(20) % 3
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = labels, ["signs", "dice"].index(task)
    return pixels, labels


def projected_by_hand(visual, heads, images):
    """PCGrad's gradient of two tasks, each one's own from a pass of the whole batch; and the mean loss."""
    marks = ((images[:, :2, 0, 0] / 2 + 1) * 127.5).round().long()
    gradients, losses = [], []
    for i, head in enumerate(heads.values()):
        scores = image_features(visual, images) @ head
        own = marks[:, 1] == i
        losses.append(cross_entropy(scores[own], marks[own, 0]))
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(losses[-1], list(visual.parameters()))]))
    one, other = gradients
    assert one @ other < 0, "there is no conflict, so this shows nothing"
    return ((one - one @ other / (other @ other) * other) + (other - one @ other / (one @ one) * one)) / 2, sum(losses) / 2


def test_surgery_on_one_task_s_pictures_at_a_time_is_that_of_the_whole_batch(tiny_suite, monkeypatch, tmp_path):
    def fit(module, loss_of, recipe, checkpoint, title):
        value = loss_of(0, np.random.default_rng(0))
        value.backward()
        found.append((torch.cat([weight.grad.flatten() for weight in module.parameters()]), value))
    found, seen = [], []
    monkeypatch.setattr(train, "load_pictures", marked_pictures)
    monkeypatch.setattr(train, "augment", lambda images, rng: seen.append(images) or images)
    monkeypatch.setattr(train, "fit", fit)
    visual, head = build_clip("tiny").visual, 0.1 * torch.randn(128, 3, generator=torch.Generator().manual_seed(0))
    heads = {"signs": head, "dice": -head}
    train.finetune(visual, heads, ("signs", "dice"), Recipe(1, 6, 1e-3, 0.0), tmp_path / "pcgrad.pt", surgery=True)
    assert sum(len(images) for images in seen) == 12
    expected, loss = projected_by_hand(visual, heads, torch.cat(seen))
    # sums over pictures in another order: a few units in the seventh digit of the largest entries
    torch.testing.assert_close(found[0][0], expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert found[0][1].item() == pytest.approx(loss.item(), rel=1e-5)
