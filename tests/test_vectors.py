"""Are lengths, angles and slopes of task vectors what they are by hand?"""


import pandas as pd
import pytest
import torch
from conftest import random_checkpoints

from mergelib import experiments as ex
from mergelib import merge
from mergelib.experiments import measuring, solver
from mergelib.experiments.vectors import by_depth
from mergelib.measure.ledger import Ledger
from mergelib.methods.doge.subspace import project_out, shared_subspace
from mergelib.suites.sketch import SketchSuite


def suite_of(base, experts):
    return SketchSuite("tiny", "none", 0, base, experts, {}, "0123abcd")


@pytest.fixture
def suite(base, experts):
    return suite_of(base, experts)


def test_cosines_of_known_task_vectors():
    vectors = {"east": [2.0, 0], "north": [0, 0.5], "west": [-1.0, 0], "northeast": [3.0, 3.0]}
    base = torch.tensor([5.0, 7.0])
    suite = suite_of({"w": base}, {name: {"w": base + torch.tensor(v)} for name, v in vectors.items()})
    half = 0.5**0.5
    expected = [[1, 0, -1, half], [0, 1, 0, half], [-1, 0, 1, -half], [half, half, -half, 1]]
    table = ex.task_cosines(suite)
    assert table.to_numpy().tolist() == [pytest.approx(row, abs=1e-4) for row in expected]      # four digits are drawn
    assert list(table.index) == list(table.columns) == list(vectors)


def test_magnitudes_are_root_mean_squares():
    base = {"transformer.resblocks.0.mlp.c_fc.weight": torch.zeros(2, 2), "proj": torch.ones(3)}
    step = {"transformer.resblocks.0.mlp.c_fc.weight": torch.tensor([[3.0, 0], [0, 4]]), "proj": torch.tensor([2.0, -2, 2])}
    table = ex.magnitudes(suite_of(base, {"a": {name: base[name] + step[name] for name in base}, "b": base}))
    assert table.to_dict("index") == {"a": {"0.mlp.c_fc": 2.5, "proj": 2.0}, "b": {"0.mlp.c_fc": 0.0, "proj": 0.0}}


def test_tensors_stand_in_the_order_of_the_network():
    wanted = ["conv1.weight", "class_embedding", "positional_embedding", "ln_pre.bias", "transformer.resblocks.2.ln_1.bias",
              "transformer.resblocks.2.attn.out_proj.bias", "transformer.resblocks.2.mlp.c_fc.bias",
              "transformer.resblocks.10.ln_1.bias", "ln_post.bias", "proj"]
    assert by_depth(sorted(wanted)) == wanted


def test_a_direction_that_all_tasks_share_lies_inside_the_shared_subspace():
    draw = torch.Generator().manual_seed(0)
    common, base = torch.randn(12, 1, generator=draw), {"transformer.resblocks.0.mlp.c_fc.weight": torch.zeros(12, 12)}
    experts = {task: {name: common * torch.randn(12, generator=draw) for name in base} for task in "ab"}
    table = ex.subspace_shares(suite_of(base, experts))
    assert table[["task", "layer"]].values.tolist() == [["a", "0.mlp.c_fc"], ["b", "0.mlp.c_fc"]]
    assert table["share"].tolist() == pytest.approx([1, 1], abs=1e-5)                   # fp32
    assert table["chance"].tolist() == [1 / 12, 1 / 12]                                 # the one direction that they have


@pytest.mark.parametrize("lam", [0.3, 1.0])
def test_task_arithmetic_with_one_expert_goes_lambda_of_its_way_inside_and_outside(lam):
    base, experts = random_checkpoints(tasks=1)
    merged = merge("task-arithmetic", base, experts, lam=lam)
    # fp32 sums over differences of 0.01
    assert solver.step_length(suite_of(base, experts), merged) == pytest.approx([lam, lam], rel=1e-4)
    assert solver.step_length(suite_of(base, experts), base) == [0, 0]


def test_lengths_of_merges_are_measured_once(tmp_path, monkeypatch, one_process):
    base, experts = random_checkpoints(tasks=1)
    jobs = {name: ex.Job("task-arithmetic", "", {"lam": lam}) for name, lam in (("all", 1.0), ("half", 0.5))}
    suite = suite_of(base, experts)
    table = ex.step_lengths(suite, jobs, Ledger(tmp_path))
    assert table.round(4).to_dict("index") == {"all": {"inside": 1, "outside": 1}, "half": {"inside": 0.5, "outside": 0.5}}
    monkeypatch.setattr(solver, "merge", None)
    assert ex.step_lengths(suite, jobs, Ledger(tmp_path)).equals(table)


def test_a_step_outside_the_shared_subspace_counts_outside_only():
    name = "transformer.resblocks.0.mlp.c_fc.weight"
    tau = torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
    basis = shared_subspace(tau[None])
    base, step = {name: torch.zeros(12, 12)}, project_out(tau, basis)
    suite = suite_of(base, {"a": {name: tau}})
    assert solver.step_length(suite, {name: 0.5 * step}) == pytest.approx([0, 0.5], abs=1e-5)             # fp32
    assert solver.step_length(suite, {name: 0.5 * (tau - step)}) == pytest.approx([0.5, 0], abs=1e-5)


def test_a_loss_that_is_linear_in_the_weights_changes_as_the_taylor_step_says(suite, tmp_path, monkeypatch, one_process):
    def gradient(state, suite, task):
        asked.append(task)
        return slopes[task]

    def evaluate(state, suite, tasks, split, hits):
        loss = sum((slopes[task][name] * state[name]).sum().item() for task in tasks for name in slopes[task])
        found = {"accuracy": 0.5, "loss": loss, "entropy": 1.0, "n": 300, "hits": ""}
        return pd.DataFrame([{"task": task, **found} for task in tasks])

    asked, draw = [], torch.Generator().manual_seed(0)
    names = [name for name in suite.base if suite.base[name].is_floating_point()]
    slopes = {task: {name: torch.randn(suite.base[name].shape, generator=draw) for name in names} for task in suite.tasks}
    monkeypatch.setattr(measuring, "evaluate", evaluate)
    monkeypatch.setattr(solver, "loss_gradient", gradient)
    table = ex.taylor_check(suite, ledger=Ledger(tmp_path))
    # The ledger keeps six digits after the point; the losses themselves are sums of about 2000 products in fp32.
    assert table["first order"].tolist() == pytest.approx(table["actual"].tolist(), abs=2e-5)
    assert table["actual"].abs().max() > 0.01

    again = ex.taylor_check(suite, ledger=Ledger(tmp_path))
    assert asked == list(suite.tasks) and again.equals(table)


def test_budgets_are_averaged_by_solver_and_steps():
    rows = [("{\"steps\": 2}", "a+b", 50, 1.0), ("{\"steps\": 2}", "a+b", 70, 3.0),
            ("{\"solver\": \"adam\", \"steps\": 2}", "a+b", 20, 9.0), ("{\"steps\": 2}", "a+b+c", 10, 5.0)]
    table = pd.DataFrame([{"metric": "accuracy", "options": options, "tasks": tasks, "value": value, "seconds": seconds}
                          for options, tasks, value, seconds in rows])
    found = ex.budget_averages(table).set_index(["size", "solver", "steps"])
    assert found.loc[(2, "conjugate gradients", 2)].to_dict() == {"seconds": 2.0, "accuracy": pytest.approx(60)}
    assert found.loc[(2, "Adam", 2)].to_dict() == {"seconds": 9.0, "accuracy": pytest.approx(20)}
    assert found.loc[(3, "conjugate gradients", 2)].to_dict() == {"seconds": 5.0, "accuracy": pytest.approx(10)}
    assert ex.budget_table(table).loc[3, ("conjugate gradients", 2)] == pytest.approx(10)
