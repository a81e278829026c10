"""EMR and DOGE's delta under other methods: by hand, against references, and per task."""

import pytest
import torch
from conftest import SHAPES

from mergelib import METHODS, merge
from mergelib.merging.work import stream
from mergelib.methods.doge.delta import Problem, doge_vectors
from mergelib.methods.linear import eta_by_rule

TAUS = torch.tensor([[4.0, -1.0, 1.0, 0.0], [2.0, 3.0, -1.0, -2.0], [-5.0, 1.0, 1.0, 1.0]])      # sums 1, 3, 1, -1
# elected 4, 3, 1, -2; task 0 agrees in entries 0 and 2, task 1 in 0, 1 and 3, task 2 in 1 and 2


@pytest.mark.parametrize("preset, scales", [("paper", (6 / 5, 8 / 9, 8 / 4)), ("code", (6 / 5, 8 / 9, 8 / 4))])
def test_emr_by_hand(preset, scales):
    merged = merge("emr", {"w": torch.ones(4)}, {task: {"w": 1 + tau} for task, tau in zip("abc", TAUS)}, preset=preset)
    for task, mask, scale in zip("abc", ([1, 0, 1, 0], [1, 1, 0, 1], [0, 1, 1, 0]), scales):
        expected = 1 + scale * torch.tensor(mask) * torch.tensor([4.0, 3.0, 1.0, -2.0])
        torch.testing.assert_close(merged[task]["w"], expected)


def test_emr_s_scale_is_over_the_whole_checkpoint_as_printed_and_over_means_as_released():
    base = {"u": torch.zeros(1), "w": torch.zeros(4)}
    experts = {task: {"u": torch.tensor([1.0 + i]), "w": tau} for i, (task, tau) in enumerate(zip("abc", TAUS))}
    printed, released = (merge("emr", base, experts, preset=preset)["a"] for preset in ("paper", "code"))
    # task a: |tau| sums to 1 and 6, what it gets of the elected vector to 3 and 5
    assert printed["u"].item() == pytest.approx(3 * (1 + 6) / (3 + 5))
    assert released["u"].item() == pytest.approx(3 * (1 + 6 / 4) / (3 + 5 / 4))


def test_emr_bears_a_task_that_changed_nothing_in_the_direction_elected():
    merged = merge("emr", {"w": torch.zeros(2)}, {"a": {"w": torch.tensor([3.0, 1.0])}, "b": {"w": torch.tensor([-1.0, -0.5])}})
    assert merged["b"]["w"].tolist() == [0.0, 0.0] and torch.isfinite(merged["a"]["w"]).all()


@pytest.mark.parametrize("method", [method for method, spec in METHODS.items() if spec.per_task])
def test_there_is_one_state_dict_for_each_task(base, experts, method):
    merged = merge(method, base, experts)
    assert list(merged) == list(experts) and all(state.keys() == base.keys() for state in merged.values())
    assert not torch.equal(merged["task-0"]["conv1.weight"], merged["task-1"]["conv1.weight"]) or method == "doge-emr"


def test_what_is_stored_is_counted_in_models(base):
    for method in ("emr", "tall-compression"):
        assert METHODS[method].stores(base, 8) == 2.25           # base, one vector, and eight bits for each entry


@pytest.mark.parametrize("preset", METHODS["doge-ties"].presets)
def test_doge_under_ties_is_ties_of_what_doge_made(base, experts, preset):
    settings = METHODS["doge-ties"].settings(preset)
    switches = {"inner_product": settings["inner_product"], "solver": settings["solver"], "steps": 5}
    eta = eta_by_rule(lambda: stream(base, experts, list(SHAPES)), 0.3)
    keys = [name for name in SHAPES if not settings["keys"] or name.endswith(("in_proj_weight", "c_fc.weight"))]
    made = {name: doge_vectors(taus, Problem(eta=eta, **switches), name=name) for name, _, taus in stream(base, experts, keys)}
    after = {task: {**base, **{name: base[name] + taus[i] for name, taus in made.items()}} for i, task in enumerate(experts)}
    ours = merge("doge-ties", base, experts, preset=preset, steps=5)
    theirs = merge("ties", base, after, combine="sum", lam=0.3, keys=settings["keys"])
    for name in SHAPES:         # base + tau - base rounds at 0.3, 3e-8; three experts
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=2e-7)
