"""Are the claims of the ablations, unseen tasks and corruptions judged by their rules? On made-up measurements."""

import pandas as pd
import pytest
from judging import certain, judge, readings, shaken

from mergelib import experiments as ex
from mergelib.papers.claims import CONTRADICTED, INCONCLUSIVE, REPRODUCED, SMALLER
from mergelib.tasks import EIGHT

BOTH = ("code", "exact")        # readings


# --- parts of DOGE ----------------------------------------------------------------------------------------------------

def ablated(part, code, exact=0.0):
    """DOGE TA by what is left out and reading: 60 less what leaving out the part costs a reading."""
    values = {("nothing", reading): 60.0 for reading in BOTH}
    cost = {"code": code, "exact": exact}
    values |= {("delta", ""): 60 - code} if part == "delta" else {(part, reading): 60 - cost[reading] for reading in BOTH}
    return certain(dict(sorted(values.items())))


@pytest.mark.parametrize("statement, part, cost, verdict", [
    ("DOGE TA without delta", "delta", 4.5, REPRODUCED), ("DOGE TA without delta", "delta", 4.3, SMALLER),
    ("DOGE TA without delta", "delta", -1, CONTRADICTED), ("DOGE TA without the shared", "shared subspace", 1.8, REPRODUCED),
    ("DOGE TA without the shared", "shared subspace", 1.7, SMALLER),
    ("DOGE TA without the task-aware", "task-aware lambda", 0.1, REPRODUCED),
    ("DOGE TA without the task-aware", "task-aware lambda", -0.1, CONTRADICTED)])
def test_a_part_is_needed_if_leaving_it_out_costs_half_of_what_is_printed(statement, part, cost, verdict):
    found, words = judge(statement, ablation=ablated(part, cost))
    assert found["code"] == verdict and f"code {cost:+.1f}" in words


def test_the_readings_of_a_part_are_judged_apart():
    found, _ = judge("DOGE TA without the shared", ablation=ablated("shared subspace", 2.0, exact=-1.0))
    assert found == {"code": REPRODUCED, "exact": CONTRADICTED}


@pytest.mark.parametrize("gap, verdict", [(0.9, REPRODUCED), (0.5, SMALLER), (-0.5, CONTRADICTED)])
def test_task_wise_lambda_is_judged_on_its_published_gap(gap, verdict):
    assert judge("Task-wise norm-based", forms=certain({"one lambda": 50, "a lambda per task": 50 + gap}))[0] == verdict


@pytest.mark.parametrize("gap, verdict", [(0.4, REPRODUCED), (-0.4, REPRODUCED), (0.6, CONTRADICTED)])
def test_one_delta_is_as_good_as_several_within_half_a_point(gap, verdict):
    drawn = certain({(reading, delta): 50 + gap * (delta == "universal")
                     for reading in BOTH for delta in ("per_task", "universal")})
    assert judge("One delta for all", per_task=drawn)[0] == dict.fromkeys(BOTH, verdict)


def test_gradients_are_worse_if_they_lose():
    found, _ = judge("True gradients", first=certain(readings(50)), gradients=certain({"paper": 49, "code": 50, "exact": 51}))
    assert found == {"paper": REPRODUCED, "code": INCONCLUSIVE, "exact": CONTRADICTED}


# --- rank and directions ----------------------------------------------------------------------------------------------

def ranks(best=0.2, along=1.0):
    """DOGE TA by reading, direction and rank ratio: 50, one more at the best ratio."""
    values = {(reading, "free", 0.0): 50 for reading in BOTH}
    for ratio in (0.05, 0.1, 1 / 6, 0.2, 0.3, 0.5):
        values |= {(reading, "orthogonal", ratio): 50 + (ratio == best) for reading in BOTH}
        values |= {(reading, "along", ratio): 50 + along for reading in BOTH}
    return certain(dict(sorted(values.items())))


@pytest.mark.parametrize("best, verdict", [(0.1, REPRODUCED), (0.3, REPRODUCED), (0.05, CONTRADICTED), (0.5, CONTRADICTED)])
def test_the_best_rank_must_lie_in_the_printed_range(best, verdict):
    assert judge("The best rank ratio", ranks=ranks(best))[0] == dict.fromkeys(BOTH, verdict)


@pytest.mark.parametrize("gap, verdict", [(0.1, REPRODUCED), (-0.1, CONTRADICTED)])
def test_along_the_subspace_is_compared_with_none(gap, verdict):
    assert judge("Updates along", ranks=ranks(along=gap))[0] == dict.fromkeys(BOTH, verdict)


@pytest.mark.parametrize("low, high, verdict", [(0.41, 0.6, REPRODUCED), (0.3, 0.41, INCONCLUSIVE), (0.1, 0.3, CONTRADICTED)])
def test_what_is_explained_is_read_between_10_and_30_per_cent(monkeypatch, low, high, verdict):
    shares = pd.DataFrame({"bases": [0.01, low, high, 0.99], "task vectors": 0.5}, index=[0.02, 0.1, 0.3, 0.9])
    monkeypatch.setattr(ex, "explained", lambda suite: shares)
    assert judge("There more than 40 %", weights=None)[0] == verdict


@pytest.mark.parametrize("textures, houses, most, least", [
    (3, -1, REPRODUCED, REPRODUCED), (1, -1, CONTRADICTED, REPRODUCED), (3, 1, REPRODUCED, CONTRADICTED)])
def test_textures_gain_most_and_house_numbers_lose(textures, houses, most, least):
    gains = {task: 0 for task in EIGHT} | {"textures": textures, "housenumbers": houses, "signs": 2}
    values = {(reading, "free", 0.0, task): 50 for reading in BOTH for task in gains}
    values |= {(reading, "orthogonal", 1 / 6, task): 50 + gain for reading in BOTH for task, gain in gains.items()}
    drawn = certain(dict(sorted(values.items())))
    found, words = judge("Out of the subspace textures", rank_tasks=drawn)
    assert found == dict.fromkeys(BOTH, most) and ("code signs +2.0" in words) == (most == CONTRADICTED)
    assert judge("Out of the subspace house numbers", rank_tasks=drawn)[0] == dict.fromkeys(BOTH, least)


# --- unseen tasks and corruptions -------------------------------------------------------------------------------------

@pytest.mark.parametrize("statement, paper, method, over, half", [
    ("On two unseen tasks DOGE TA is above task", "DOGE", "DOGE TA (code)", "Task Arithmetic", 2.85),
    ("On two unseen tasks DOGE TA is above AdaMerging", "DOGE", "DOGE TA (code)", "AdaMerging (paper)", 1.125),
    ("On two unseen tasks AdaMerging", "AdaMerging", "AdaMerging (paper)", "Task Arithmetic", 4.175),
    ("On two unseen tasks TATR", "TATR", "TATR", "Task Arithmetic", 0.375),
    ("On the two other unseen tasks TATR", "TATR", "TATR", "Task Arithmetic", 1.9)])
def test_unseen_tasks_are_judged_on_the_mean_of_the_printed_cells(statement, paper, method, over, half):
    for gap, verdict in ((half + 0.05, REPRODUCED), (half - 0.05, SMALLER), (-0.1, CONTRADICTED)):
        found, words = judge(statement, paper, unseen=lambda split, gap=gap: certain({method: 40 + gap, over: 40}))
        assert found in (verdict, {"code": verdict}) and f"published +{2 * half:.1f}" in words


def test_each_published_split_of_unseen_tasks_is_judged_on_its_own():
    drawn = {("digits", "landuse"): 1.7, ("aerial", "housenumbers"): -1.2}
    def unseen(split):
        return certain({"TATR": 40 + drawn[split], "Task Arithmetic": 40})
    assert judge("On two unseen tasks TATR", unseen=unseen)[0] == REPRODUCED
    assert judge("On the two other unseen tasks TATR", unseen=unseen)[0] == CONTRADICTED


def corrupted(**moved):
    names = ("Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)", "AdaMerging (paper)", "DOGE AM (exact)")
    return certain({**dict.fromkeys(names, 50), **readings(50), **moved})


def test_under_corruptions_the_best_of_the_others_counts():
    gaps = {"paper": 10, "code": 1, "exact": -1}
    moved = readings({reading: 50 + gap for reading, gap in gaps.items()})
    found, words = judge("On corrupted pictures DOGE TA", corrupted=corrupted(**moved))
    assert found == {"paper": REPRODUCED, "code": SMALLER, "exact": CONTRADICTED} and "published +9.0" in words
    found, _ = judge("On corrupted pictures DOGE TA", corrupted=corrupted(**moved, **{"Ties-Merging (code)": 61}))
    assert set(found.values()) == {CONTRADICTED}


def test_only_measured_readings_are_judged():
    drawn = shaken(corrupted(**{"DOGE AM (exact)": 52}), "DOGE AM (exact)", by=1)
    assert judge("On corrupted pictures DOGE AM", corrupted=drawn)[0] == {"exact": REPRODUCED}
