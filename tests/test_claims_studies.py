"""Are the claims of the ablations, unseen tasks, corruptions and landscapes judged by their rules? On made-up measurements."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mergelib import experiments as ex
from mergelib.papers.claims import CLAIMS, DIRECTION, FAILS, HOLDS, JUDGED
from mergelib.tasks import EIGHT
from mergelib.tasks.corruptions import CORRUPTIONS


def judge(statement, paper="", **evidence):
    """The verdict on the claim that begins so, and what was found."""
    (claim,) = (claim for claim in CLAIMS if claim.statement.startswith(statement) and claim.paper.startswith(paper))
    return claim.judge(SimpleNamespace(**evidence))


def ablated(**cost):
    """Averages by what is left out and reading: the full method has 60, the rest that minus its cost (0)."""
    values = {("nothing", "code"): 60.0, ("nothing", "exact"): 60.0, ("delta", ""): 60.0 - cost.get("delta", 0)}
    for name in ("shared subspace", "task-aware lambda"):
        values |= {(name, reading): 60.0 - cost.get(name.split()[0].split("-")[0], 0) for reading in ("code", "exact")}
    return pd.Series(values)


@pytest.mark.parametrize("statement, part, cost, verdict", [
    ("Without delta", "delta", 4.5, HOLDS), ("Without delta", "delta", 4.3, DIRECTION), ("Without delta", "delta", -1, FAILS),
    ("Without the shared", "shared", 1.8, HOLDS), ("Without the shared", "shared", -0.1, FAILS),
    ("The task-aware lambda", "task", 0.1, HOLDS), ("The task-aware lambda", "task", -0.1, FAILS)])
def test_a_part_is_needed_if_leaving_it_out_costs_half_of_what_is_printed(statement, part, cost, verdict):
    found, words = judge(statement, ablation=ablated(**{part: cost}))
    assert found == verdict and f"code {cost:+.1f}" in words


@pytest.mark.parametrize("gap, verdict", [(0.9, HOLDS), (0.5, DIRECTION), (-0.5, FAILS)])
def test_task_wise_lambda_is_judged_on_its_published_gap(gap, verdict):
    assert judge("Task-wise norm-based", forms=pd.Series({"one lambda": 50.0, "a lambda per task": 50 + gap}))[0] == verdict


def test_one_delta_is_as_good_as_several_within_half_a_point():
    for gap, verdict in ((0.4, HOLDS), (-0.4, HOLDS), (0.6, FAILS)):
        values = {(reading, delta): 50 + gap * (delta == "universal") for reading in ("code", "exact")
                  for delta in ("universal", "per_task")}
        assert judge("One delta for all", per_task=pd.Series(values))[0] == verdict


def test_gradients_are_worse_if_they_lose_half_a_point_under_the_released_code():
    averages = pd.Series(50.0, [f"DOGE TA ({preset})" for preset in ex.DOGE])
    for gap, verdict in ((-1.0, HOLDS), (-0.4, FAILS), (1.0, FAILS)):
        found = pd.Series({f"DOGE TA with gradients ({preset})": 50 + gap * (preset == "code") for preset in ex.DOGE})
        assert judge("True gradients", gradients=found, first=averages)[0] == verdict


def ranked(monkeypatch, best=0.2, along=1.0):
    curve = pd.DataFrame({(reading, direction): 50.0 for reading in ("code", "exact") for direction in ("orthogonal", "along")},
                         index=[0.05, 0.1, 1 / 6, 0.2, 0.3, 0.5])
    curve.loc[best, ("code", "orthogonal")] = 51.0
    curve["code", "along"] += along
    monkeypatch.setattr(ex, "rank_table", lambda rows: (curve, pd.Series({"code": 50.0, "exact": 50.0})))


@pytest.mark.parametrize("best, verdict", [(0.1, HOLDS), (0.3, HOLDS), (0.05, FAILS), (0.5, FAILS)])
def test_the_best_rank_must_lie_in_the_printed_range(monkeypatch, best, verdict):
    ranked(monkeypatch, best=best)
    assert judge("The best rank ratio", rank_rows=None)[0] == verdict


def test_along_the_subspace_is_compared_with_none(monkeypatch):
    for gap, verdict in ((0.1, HOLDS), (-0.1, FAILS)):
        ranked(monkeypatch, along=gap)
        assert judge("Updates along", rank_rows=None)[0] == verdict


@pytest.mark.parametrize("low, high, verdict", [(0.41, 0.6, HOLDS), (0.3, 0.41, DIRECTION), (0.1, 0.3, FAILS)])
def test_what_is_explained_is_read_between_10_and_30_per_cent(monkeypatch, low, high, verdict):
    shares = pd.DataFrame({"bases": [0.01, low, high, 0.99], "task vectors": 0.5}, index=[0.02, 0.1, 0.3, 0.9])
    monkeypatch.setattr(ex, "explained", lambda suite: shares)
    assert judge("There more than 40 %", suite=None)[0] == verdict


@pytest.mark.parametrize("textures, houses, verdict", [(3, -1, HOLDS), (1, -1, DIRECTION), (3, 1, FAILS), (-1, -1, FAILS)])
def test_textures_gain_and_house_numbers_lose(monkeypatch, textures, houses, verdict):
    gains = {task: 0.0 for task in EIGHT} | {"textures": textures, "housenumbers": houses, "signs": 2.0}
    table = pd.DataFrame({"orthogonal": {task: 50 + gain for task, gain in gains.items()}, "free": 50.0})
    monkeypatch.setattr(ex, "direction_table", lambda rows, reading: table)
    assert judge("Out of the subspace", rank_rows=None)[0] == verdict


@pytest.mark.parametrize("statement, paper, method, over, half", [
    ("On unseen tasks DOGE TA is above task", "DOGE", JUDGED, "Task Arithmetic", 2.85),
    ("On unseen tasks DOGE TA is above AdaMerging", "DOGE", JUDGED, "AdaMerging (paper)", 1.125),
    ("On unseen tasks AdaMerging", "AdaMerging", "AdaMerging (paper)", "Task Arithmetic", 4.175),
    ("On unseen tasks TATR", "TATR", "TATR", "Task Arithmetic", 0.375)])
def test_unseen_tasks_are_judged_on_the_mean_of_the_printed_cells(statement, paper, method, over, half):
    for gap, verdict in ((half + 0.05, HOLDS), (half - 0.05, DIRECTION), (-0.1, FAILS)):
        found, words = judge(statement, paper, unseen=lambda split, gap=gap: pd.Series({method: 40 + gap, over: 40.0}))
        assert found == verdict and f"published +{2 * half:.1f}" in words


@pytest.mark.parametrize("wins, gap, verdict", [(7, 10, HOLDS), (7, 1, DIRECTION), (3, 10, FAILS), (4, 10, HOLDS)])
def test_under_corruptions_most_must_be_won(wins, gap, verdict):
    table = pd.DataFrame(50.0, ["Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)", JUDGED], CORRUPTIONS)
    table.loc[JUDGED] = [50 + gap * 7 / wins] * wins + [50.0] * (7 - wins)
    assert judge("On corrupted pictures DOGE TA", corrupted=table)[0] == verdict


def test_the_best_of_the_compared_methods_is_what_counts_under_a_corruption():
    table = pd.DataFrame(50.0, ["Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)", JUDGED], CORRUPTIONS)
    table.loc[JUDGED], table.loc["Ties-Merging (code)"] = 60.0, 61.0
    assert judge("On corrupted pictures DOGE TA", corrupted=table)[0] == FAILS


@pytest.mark.parametrize("losses, verdict", [([0.1, 0.2, 0.3], HOLDS), ([0.1, 0.3, 0.2, 0.4], DIRECTION),
                                             ([0.4, 0.3, 0.2], FAILS)])
def test_a_surer_prediction_has_a_smaller_loss(losses, verdict):
    index = pd.MultiIndex.from_product([["all tasks"], range(len(losses))], names=["task", "group"])
    assert judge("The surer a prediction", entropy=(pd.DataFrame({"loss": losses}, index=index), None))[0] == verdict


@pytest.mark.parametrize("rho, verdict", [(0.5, HOLDS), (0.4, DIRECTION), (-0.1, FAILS)])
def test_correlation_is_judged_on_all_tasks(rho, verdict):
    assert judge("Entropy and loss", entropy=(None, pd.Series({"a": 0.9, "b": 0.8, "all tasks": rho})))[0] == verdict


@pytest.mark.parametrize("spread, verdict", [(0.2, HOLDS), (0.05, DIRECTION), (0.01, FAILS)])
def test_coefficients_differ_after_the_last_step(spread, verdict):
    rows = pd.DataFrame({"label": "Task-wise AdaMerging (paper)", "task": ["a", "b"] * 2, "step": [0, 0, 500, 500],
                         "lam": [0.0, 9.0, 0.3, 0.3 + spread]})
    assert judge("The learned coefficients", coefficients=rows)[0] == verdict


def by_block(first, last):
    """A value for each of two tensors in four blocks and for one outside: `first` in the first two, `last` in the last two."""
    names = [f"{block}.{kind}" for block in range(4) for kind in ("attn.in_proj_bias", "mlp.c_fc")]
    return pd.Series([first] * 4 + [last] * 4 + [99.0], [*names, "proj"])


@pytest.mark.parametrize("first, last, verdict", [(0.2, 0.3, HOLDS), (0.3, 0.31, DIRECTION), (0.3, 0.2, FAILS)])
def test_shallow_layers_have_smaller_coefficients(first, last, verdict):
    rows = by_block(first, last).rename("lam").rename_axis("tensor").reset_index().assign(label="AdaMerging (paper)")
    assert judge("Shallow layers get smaller", coefficients=rows)[0] == verdict


@pytest.mark.parametrize("first, last, verdict", [(-5.0, -6.0, HOLDS), (-6.0, -5.0, FAILS)])
def test_shallow_layers_are_more_sensitive(first, last, verdict):
    assert judge("Shallow layers are more", sensitivity=by_block(first, last).to_frame("digits"))[0] == verdict


def test_biases_are_compared_with_weights():
    table = pd.DataFrame({"digits": [-4.0, -5.0], "signs": [-4.0, -5.0]}, index=["0.attn.in_proj_bias", "0.mlp.c_fc"])
    assert judge("Biases are more", sensitivity=table)[0] == HOLDS
    assert judge("Biases are more", sensitivity=table.iloc[::-1].set_axis(table.index))[0] == FAILS


@pytest.mark.parametrize("digits, houses, verdict", [(-8, -7, HOLDS), (-8, -5, DIRECTION), (-5, -5, FAILS)])
def test_digits_are_calm(digits, houses, verdict):
    table = pd.DataFrame({"digits": [digits], "housenumbers": [houses], "signs": [-6.0], "scenes": [-6.0]})
    assert judge("Digits and house numbers are less", sensitivity=table)[0] == verdict


def corners(**rows):
    return pd.DataFrame(rows, index=["orthogonal", "positive", "negative"]).T


def test_corners_of_the_landscape():
    losses = {"a": [1.0, 2.0, 0.5], "b": [1.0, 1.5, 1.2], "all tasks": [2.0, 3.5, 1.7]}
    assert judge("The positive part", corners=corners(**losses))[0] == HOLDS
    assert judge("So does the negative", corners=corners(**losses))[0] == FAILS            # half of the tasks
    assert judge("In total the orthogonal", corners=corners(**losses))[0] == FAILS
    losses["all tasks"] = [1.5, 3.5, 1.7]
    assert judge("In total the orthogonal", corners=corners(**losses))[0] == HOLDS


def test_one_exemplar_and_small_ratios():
    assert judge("One exemplar", exemplars=pd.Series({1: 50.0, 128: 50.4}))[0] == HOLDS
    assert judge("One exemplar", exemplars=pd.Series({1: 50.0, 128: 50.6}))[0] == FAILS
    assert judge("Leaving out less", ratios=pd.Series({0.0: 50.0, 0.005: 51.0, 0.05: 40.0}))[0] == HOLDS
    assert judge("Leaving out less", ratios=pd.Series({0.0: 52.0, 0.005: 51.0, 0.05: 40.0}))[0] == FAILS


def test_layer_wise_is_judged_on_its_published_gap():
    for gap, verdict in ((4.6, HOLDS), (4.4, DIRECTION), (-1, FAILS)):         # 80.1 over 71.1: half is 4.5
        averages = pd.Series({"AdaMerging (paper)": 50 + gap, "Task-wise AdaMerging (paper)": 50.0})
        assert judge("Layer-wise coefficients are far", averages=averages)[0] == verdict


def test_evidence_is_logarithmic_where_means_are_geometric(monkeypatch):
    from mergelib.papers.claims import Evidence
    monkeypatch.setattr(ex, "layer_sensitivity", lambda suite, **how: pd.DataFrame({"digits": [1e-5, 1e-7]}))
    assert np.allclose(Evidence(None).sensitivity["digits"], [-5, -7])
