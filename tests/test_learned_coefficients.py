"""Are learned coefficients shown as they were learned, and is entropy, by which they are, compared with the loss rightly?"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import losses, set_defaults, vectors
from scipy.stats import spearmanr

from mergelib import CheckpointError, merge
from mergelib import experiments as ex
from mergelib.experiments import learning
from mergelib.experiments.measuring import label
from mergelib.measure.ledger import Ledger
from mergelib.merging.loop import first_pass
from mergelib.merging.work import stream
from mergelib.suites.sketch import SketchSuite

# --- coefficients and their paths

@pytest.fixture
def few_steps(monkeypatch):
    """Twenty quick steps instead of hundreds, large enough to be seen."""
    for job in (*ex.PATHS, *ex.HEATS):
        set_defaults(monkeypatch, job.method, steps=20, batch=4, lr=0.02)


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
    set_defaults(monkeypatch, "doge-am", batch=2)
    table = ex.coefficients(labelled, ex.HEATS[2:], ledger)
    assert set(table["tensor"]) == {f"0.{name}" for name in ("attn.in_proj_weight", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")}


class Entropy:
    """`entropy`, which counts its calls, one a step here, and is killed at one of them."""

    def __init__(self, kill_at=None):
        self.calls, self.kill_at = 0, kill_at

    def __call__(self, *arguments):
        if self.calls == self.kill_at:
            self.kill_at = None
            raise KeyboardInterrupt
        self.calls += 1
        return SketchSuite.entropy(*arguments)


def test_a_killed_run_has_the_path_of_one_that_was_not(labelled, few_steps, monkeypatch, tmp_path, a_checkpoint_every_step):
    whole = ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "whole"))
    entropy = Entropy(kill_at=15)
    monkeypatch.setattr(type(labelled), "entropy", lambda *arguments: entropy(*arguments))
    with pytest.raises(KeyboardInterrupt):
        ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "killed"))
    assert not Ledger(tmp_path / "killed").rows
    resumed = ex.coefficients(labelled, ex.PATHS[:1], Ledger(tmp_path / "killed"))
    assert entropy.calls == 20
    pd.testing.assert_frame_equal(resumed, whole)


def test_a_killed_run_is_not_continued_under_another_condition(tiny_suite, monkeypatch, a_checkpoint_every_step):
    def learn(condition):
        tiny_suite.condition, before = condition, entropy.calls
        merge("adamerging", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, steps=4, batch=4)
        return entropy.calls - before
    entropy = Entropy(kill_at=3)
    monkeypatch.setattr(type(tiny_suite), "entropy", lambda *arguments: entropy(*arguments))
    with pytest.raises(KeyboardInterrupt):
        learn("clean")
    assert learn("contrast 5 cifar") == 4 and learn("clean") == 1


def test_learned_coefficients_are_learned_once(labelled, ledger, few_steps, monkeypatch):
    first = ex.coefficients(labelled, ex.PATHS[:1], ledger)
    monkeypatch.setattr(learning, "first_pass", None)
    pd.testing.assert_frame_equal(ex.coefficients(labelled, ex.PATHS[:1], Ledger(ledger.folder)), first)
    with pytest.raises(TypeError):
        ex.coefficients(labelled, ex.PATHS[:1], Ledger(ledger.folder), recompute=True)


def test_coefficients_of_a_tower_that_is_not_shipped_are_read_and_never_learned(labelled, ledger, few_steps, monkeypatch):
    shown = ex.coefficients(labelled, ex.HEATS[:1], ledger)
    bare = replace(labelled, base={})
    pd.testing.assert_frame_equal(ex.coefficients(bare, ex.HEATS[:1], Ledger(ledger.folder), recompute=True), shown)
    with pytest.raises(CheckpointError, match="ledger lacks .* not all shipped"):
        ex.coefficients(bare, ex.HEATS[1:2], Ledger(ledger.folder))


def test_the_path_ends_at_what_is_merged(tiny_suite):
    where, options = (tiny_suite.base, tiny_suite.experts), {"suite": tiny_suite, "steps": 20, "batch": 4}
    merged, each = merge("adamerging", *where, **options), first_pass("adamerging", *where, **options)["each"]
    for name, theta_0, taus in stream(*where, list(tiny_suite.base)):
        path = each[name]["path"]
        assert path.shape == (3, 2) and torch.equal(path[0], torch.full((2,), 0.3))      # steps 0, 10, 20
        torch.testing.assert_close(merged[name], theta_0 + torch.tensordot(path[2], taus, dims=1))


# --- entropy and loss

def by_picture(suite, lam):
    """Entropy, loss and accuracy of every test picture under task arithmetic, in fp64 after the tower: task -> DataFrame."""
    taus, found = vectors(suite), {}
    state = {name: theta_0 + lam * sum(tau[name] for tau in taus.values()) for name, theta_0 in suite.base.items()}
    for task in suite.tasks:
        each, scores = losses(suite, state, task)
        p, labels = scores.double().softmax(dim=1).numpy(), suite.pictures(task, "test")[1]
        found[task] = pd.DataFrame({"entropy": -(p * np.log(p)).sum(axis=1), "loss": each.numpy().astype(float),
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
        reference = table.groupby(edges)[["loss", "accuracy"]].mean() * (1, 100)
        reference["count"] = table.groupby(edges).size()
        ours = groups[0].loc[task].sort_index()
        assert ours.index.tolist() == reference.index.tolist() and len(ours) > 2
        assert ours["count"].tolist() == reference["count"].tolist()
        columns = ["loss", "accuracy"]
        np.testing.assert_allclose(ours[columns], reference[columns], atol=2e-3)     # five digits of fractions, and fp32


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
    monkeypatch.setattr(learning, "merge", None)
    table, rho = ex.entropy_and_loss(labelled, 0.4, Ledger(ledger.folder))
    pd.testing.assert_frame_equal(table, groups[0])
    pd.testing.assert_series_equal(rho, groups[1])
    with pytest.raises(TypeError):              # another coefficient is another model
        ex.entropy_and_loss(labelled, 0.5, Ledger(ledger.folder))


def test_jobs_with_other_options_or_tasks_have_rows_of_their_own(labelled, ledger, few_steps):
    few = ex.Job(ex.PATHS[0].method, ex.PATHS[0].preset, {"lr": 0.05})
    two = ex.Job(ex.PATHS[0].method, ex.PATHS[0].preset, tasks=labelled.tasks[:2])
    apart = [ex.coefficients(labelled, [job], ledger) for job in (ex.PATHS[0], few, two)]
    assert len(ledger.rows) == sum(map(len, apart)) and set(apart[2]["task"]) == {*labelled.tasks[:2]}
    ends = [table[table["step"] == 20].set_index("task")["lam"] for table in apart]
    assert (ends[0] - ends[1]).abs().max() > 0.01 and (ends[0] - ends[2]).abs().max() > 0
