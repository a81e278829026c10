"""Are the papers' claims judged by their rules? Each rule on made-up measurements that meet it, nearly, and not at all."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mergelib import experiments as ex
from mergelib.papers import claims
from mergelib.papers.claims import CLAIMS, DIRECTION, ELSEWHERE, FAILS, HOLDS, gap_rule
from mergelib.papers.tables import published_average, published_cost
from mergelib.reproduce.notebooks import NOTEBOOKS

METHODS = [*claims.BASELINES, *claims.PRESETS.values()]


def judge(statement, **evidence):
    """The verdict on the claim that begins so, and what was found."""
    (claim,) = (claim for claim in CLAIMS if claim.statement.startswith(statement))
    return claim.judge(SimpleNamespace(**evidence))


def sizes(first, last):
    """Accuracy at two and at eight tasks; both map methods to numbers, `rest` is for those not named."""
    return pd.DataFrame({name: [row.get(name, row["rest"]) for row in (first, last)] for name in METHODS}, index=[2, 8])


def test_every_claim_points_to_a_notebook_that_exists():
    for claim in CLAIMS:
        assert claim.notebook == "-" or len(list(NOTEBOOKS.glob(f"{claim.notebook}-*.ipynb"))) == 1, claim


def test_no_claim_is_judged_twice():
    assert len({(claim.paper, claim.item, claim.statement) for claim in CLAIMS}) == len(CLAIMS)


@pytest.mark.parametrize("measured, published, verdict", [
    (11.6, 11.6, HOLDS), (20, 11.6, HOLDS), (5.8, 11.6, HOLDS), (5.7, 11.6, DIRECTION), (0.1, 11.6, DIRECTION),
    (0, 11.6, FAILS), (-3, 11.6, FAILS)])
def test_a_gap_holds_from_half_the_published_one(measured, published, verdict):
    assert gap_rule(measured, published) == verdict


@pytest.mark.parametrize("last, verdict", [
    ({"rest": 70}, HOLDS), ({"rest": 70, "Weight Averaging": 91}, DIRECTION), ({"rest": 91, "Weight Averaging": 70}, FAILS)])
def test_accuracy_falls(last, verdict):
    assert judge("Accuracy of every method falls", sizes=sizes({"rest": 90}, last))[0] == verdict


@pytest.mark.parametrize("doge, verdict", [(70, HOLDS), (85, DIRECTION), (95, FAILS)])
def test_doge_starts_below(doge, verdict):
    first = {"rest": 90, "Weight Averaging": 80, claims.JUDGED: doge}
    found, words = judge("DOGE starts below", sizes=sizes(first, {"rest": 50}))
    assert found == verdict and f"code {doge:.1f}" in words and "80.0 to 90.0" in words


@pytest.mark.parametrize("doge, verdict", [(75, HOLDS), (66, DIRECTION), (55, FAILS)])
def test_doge_falls_more_slowly(doge, verdict):
    last = {"rest": 60, "Task Arithmetic": 70, claims.JUDGED: doge}             # others lose 20, 30 and 30 points
    assert judge("DOGE falls more slowly", sizes=sizes({"rest": 90}, last))[0] == verdict


def test_doge_is_judged_on_the_published_gap():
    table = "doge_table1_vit_b32"
    published = published_average(table, "DOGE TA") - published_average(table, "Task Arithmetic")
    for gap, verdict in ((published / 2 + 0.1, HOLDS), (published / 2 - 0.1, DIRECTION), (-0.1, FAILS)):
        averages = pd.Series(70.0, METHODS) + pd.Series({claims.JUDGED: gap}).reindex(METHODS, fill_value=0)
        found, words = judge("DOGE TA is far above task arithmetic", averages=averages)
        assert found == verdict and f"published +{published:.1f}" in words and f"code {gap:.1f}" in words


def test_the_main_table_is_averaged_over_the_seeds(monkeypatch):
    def rows(name, value):
        return pd.DataFrame({"metric": "accuracy", "label": name, "task": ["digits", "signs"], "value": value})
    monkeypatch.setattr(ex, "selection", lambda suite, **how: None)
    for maker, name, share in (("main_rows", "Task Arithmetic", 1), ("other_rows", "DARE", 0.5), ("built_rows", "WEMoE", 0.25)):
        monkeypatch.setattr(ex, maker, lambda suite, tried, name=name, share=share, **how: rows(name, share * suite))
    averages = claims.Evidence(50, seeds=(60, 90)).averages
    assert averages.to_dict() == pytest.approx({"Task Arithmetic": 200 / 3, "DARE": 100 / 3, "WEMoE": 50 / 3})


@pytest.mark.parametrize("method, over, statement", [
    ("DOGE AM (code)", "AdaMerging (paper)", "DOGE AM is above AdaMerging"),
    ("AdaMerging (paper)", "Task Arithmetic", "AdaMerging is far above task arithmetic"),
    ("AdaMerging++ (paper)", "AdaMerging (paper)", "AdaMerging++ is above AdaMerging")])
def test_methods_that_learn_are_judged_on_the_published_gap(method, over, statement):
    names = ["Task Arithmetic", "AdaMerging (paper)", "AdaMerging++ (paper)", *(f"DOGE AM ({p})" for p in ex.DOGE)]
    table = "doge_table1_vit_b32" if method.startswith("DOGE") else "adamerging_table1_vit_b32"
    published = published_average(table, method.split(" (")[0]) - published_average(table, over.split(" (")[0])
    for gap, verdict in ((published / 2 + 0.1, HOLDS), (published / 2 - 0.1, DIRECTION), (-0.1, FAILS)):
        averages = pd.Series(70.0, names) + pd.Series({method: gap}).reindex(names, fill_value=0)
        found, words = judge(statement, averages=averages)
        assert found == verdict and f"published +{published:.1f}" in words and f"{gap:.1f}" in words


def cosines(pair, others):
    """Cosines of four tasks: one number for digits and house numbers, one for the rest."""
    names = ["digits", "housenumbers", "signs", "scenes"]
    table = pd.DataFrame(others, names, names)
    table.loc["digits", "housenumbers"] = table.loc["housenumbers", "digits"] = pair
    return table.mask(np.eye(4, dtype=bool), 1.0)


@pytest.mark.parametrize("pair, others, verdict", [(0.1, 0.05, HOLDS), (0.5, 0.05, DIRECTION), (-0.5, -0.3, FAILS)])
def test_orthogonality_is_judged_off_the_diagonal(pair, others, verdict):
    assert judge("Task vectors are nearly orthogonal", cosines=cosines(pair, others))[0] == verdict


def test_the_digit_tasks_are_the_most_similar():
    assert judge("The digit tasks", cosines=cosines(0.3, 0.1))[0] == HOLDS
    assert judge("The digit tasks", cosines=cosines(0.05, 0.1))[0] == FAILS
    one_closer = cosines(0.3, 0.1)
    one_closer.loc["signs", "scenes"] = one_closer.loc["scenes", "signs"] = 0.4
    found, words = judge("The digit tasks", cosines=one_closer)
    assert found == DIRECTION and "signs and scenes" in words


@pytest.mark.parametrize("last, verdict", [(78, HOLDS), (76, FAILS)])
def test_flatness_is_judged_between_001_and_009(last, verdict):
    settings, values = [0.01, 0.05, 0.09, 0.2], [80, 80.5, last, 30]           # 0.2 lies outside and does not count
    tried = pd.DataFrame([{"method": "doge-ta", "label": name, "setting": eta, "accuracy": value}
                          for name in claims.PRESETS.values() for eta, value in zip(settings, values)])
    assert judge("Accuracy is flat in eta", tried=tried)[0] == verdict


def test_what_needs_other_hardware_is_not_judged():
    assert judge("121 s and 729 MB")[0] == ELSEWHERE


def test_verdicts_are_a_row_per_claim(monkeypatch):
    known = (claims.Claim("DOGE", "Fig. 9", "water is wet", "-", lambda e: (HOLDS, f"seen on {e.suite}")),
             claims.Claim("TATR", "Tab. 9", "fire is cold", "-", lambda e: (FAILS, "burnt")))
    monkeypatch.setattr(claims, "CLAIMS", known)
    table = claims.verdicts("a suite")
    assert table[["claim", "verdict", "found"]].values.tolist() == [
        ["water is wet", HOLDS, "seen on a suite"], ["fire is cold", FAILS, "burnt"]]


# --- claims judged within one set of experts

def within(**moved):
    """Averages of every method that the claims name: 50, unless it is among the moved."""
    names = ["Pre-trained", "Task Arithmetic", "TATR", "TATR zero-shot", "Ties-Merging & TATR", "Ties-Merging (code)", "AWD TA",
             "Consensus TA", "PCB-Merging (paper)", "PCB-Merging (code)", "TATR positive", "TATR negative",
             *claims.PRESETS.values()]
    return pd.Series(50.0, names) + pd.Series(moved, dtype=float).reindex(names, fill_value=0)


def test_tatr_is_judged_on_the_published_gap():
    for gap, verdict in ((1.9, HOLDS), (1.8, DIRECTION), (-0.1, FAILS)):         # 72.8 over 69.1: half is 1.85
        found, words = judge("TATR is above task arithmetic", averages=within(TATR=gap))
        assert found == verdict and "published +3.7" in words and f"measured {gap:+.1f}" in words


def test_the_best_of_the_other_data_free_methods_is_what_doge_must_beat():
    for gap, verdict in ((3.3, HOLDS), (3.1, DIRECTION), (0.9, FAILS)):     # 80.7 over 76.3: half is 2.2; AWD is 1 up
        averages = within(**{"AWD TA": 1.0, claims.JUDGED: gap})
        found, words = judge("DOGE TA is above every other data-free method", averages=averages)
        assert found == verdict and "AWD TA 51.0" in words


@pytest.mark.parametrize("positive, verdict", [(-1, HOLDS), (3, DIRECTION), (6, FAILS)])
def test_signed_parts_must_both_ruin_the_model(positive, verdict):
    averages = within(**{"TATR positive": positive, "TATR negative": -9, "Task Arithmetic": 5})
    assert judge("Merging only what agrees", averages=averages)[0] == verdict


@pytest.mark.parametrize("measured, published", [(1.0, float("nan")), (1.0, -2.0), (1.0, 0.0), (float("nan"), 2.0)])
def test_a_claim_without_a_published_gap_or_a_measured_one_cannot_be_judged(measured, published):
    with pytest.raises(ValueError, match="cannot be judged"):
        gap_rule(measured, published)


def test_a_misspelt_part_of_the_ablation_has_no_published_cost():
    with pytest.raises(ValueError, match="0 costs of 'detla'"):
        published_cost("detla")
