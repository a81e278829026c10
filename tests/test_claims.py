"""Are the papers' claims judged by their rules? Each rule on made-up measurements that meet it, nearly, and not at all."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from judging import certain, judge, readings, shaken

from mergelib import experiments as ex
from mergelib.checkpoints.lazy import CheckpointError
from mergelib.papers import claims
from mergelib.papers.claims import (
    CLAIMS,
    CONTRADICTED,
    INCONCLUSIVE,
    NOT_MEASURABLE,
    REPRODUCED,
    SMALLER,
    gap_rule,
    range_rule,
    share_rule,
    sign_rule,
)
from mergelib.papers.tables import published_average, published_cost
from mergelib.reproduce.notebooks import NOTEBOOKS

BASELINES = ("Weight Averaging", "Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)")
TABLE = "doge_table1_vit_b32"


# --- the table --------------------------------------------------------------------------------------------------------

def test_every_claim_points_to_a_notebook_that_exists():
    for claim in CLAIMS:
        assert len(list(NOTEBOOKS.glob(f"{claim.notebook}-*.ipynb"))) == 1, claim


def test_no_claim_is_judged_twice():
    assert len({(claim.paper, claim.item, claim.statement) for claim in CLAIMS}) == len(CLAIMS)


def test_every_rule_stands_in_one_line():
    assert all(claim.rule.line and "\n" not in claim.rule.line and len(claim.rule.line) < 130 for claim in CLAIMS)


def test_verdicts_are_a_row_per_claim_with_doges_readings_in_columns(monkeypatch):
    @claims.rule("nothing is dry")
    def water(e):
        return REPRODUCED, f"seen on {e.suite}"

    @claims.rule("nothing burns")
    def fire(e):
        return {"code": CONTRADICTED, "exact": SMALLER}, "burnt"

    monkeypatch.setattr(claims, "CLAIMS", (claims.Claim("TATR", "Fig. 9", "water is wet", "02", water),
                                           claims.Claim("DOGE", "Tab. 9", "fire is cold", "03", fire)))
    table = claims.verdicts("a suite")
    columns = ["claim", "rule", "verdict", "DOGE (paper)", "DOGE (code)", "DOGE (exact)", "found"]
    assert table[columns].values.tolist() == [
        ["water is wet", "nothing is dry", REPRODUCED, "", "", "", "seen on a suite"],
        ["fire is cold", "nothing burns", "", "", CONTRADICTED, SMALLER, "burnt"]]
    counts = claims.counts(table)
    assert counts.loc[REPRODUCED, "verdict"] == counts.loc[CONTRADICTED, "DOGE (code)"] == 1 and counts.to_numpy().sum() == 3


def test_what_the_ledger_lacks_is_not_measurable_where_there_are_no_weights():
    @claims.rule("there is something")
    def missing(e):
        raise CheckpointError("The ledger lacks 3 measurements. Train the tower.")

    claim = claims.Claim("DOGE", "Fig. 9", "water is wet", "02", missing)
    assert claim.judge(None) == (NOT_MEASURABLE, "The ledger lacks 3 measurements")


def test_what_needs_other_hardware_is_not_judged():
    assert judge("121 s and 729 MB")[0] == NOT_MEASURABLE


def test_without_a_suite_of_twenty_tasks_or_of_language_their_claims_are_not_measurable():
    evidence = claims.Evidence(None)
    known = {claim.statement: claim for claim in CLAIMS}
    for statement in ("For twenty tasks the solver converges within 100 to 200 steps",
                      "On language DOGE TA is above task arithmetic"):
        verdict, found = known[statement].judge(evidence)
        assert verdict == NOT_MEASURABLE and "was given" in found


# --- rules ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("gap, low, high, verdict", [           # published: 4
    (4, 3, 5, REPRODUCED), (9, 8, 10, REPRODUCED), (2, 1, 3, REPRODUCED), (1.9, 0.1, 4.2, REPRODUCED),
    (1.9, 0.1, 3.9, SMALLER), (3, -0.1, 6, INCONCLUSIVE), (-1, -3, 1, INCONCLUSIVE), (0, 0, 0, INCONCLUSIVE),
    (-1, -2, -0.1, CONTRADICTED)])
def test_a_gap_is_judged_by_its_interval_and_by_the_published_gap(gap, low, high, verdict):
    assert gap_rule(gap, low, high, 4) == verdict


@pytest.mark.parametrize("measured, published", [(1.0, float("nan")), (1.0, -2.0), (1.0, 0.0), (float("nan"), 2.0)])
def test_a_claim_without_a_published_gap_or_a_measured_one_cannot_be_judged(measured, published):
    with pytest.raises(ValueError, match="cannot be judged"):
        gap_rule(measured, 0.5, 1.5, published)


def test_signs_ranges_and_shares_have_no_half_measures():
    assert [sign_rule(0, *ends) for ends in ((0.1, 1), (-1, 1), (-1, -0.1))] == [REPRODUCED, INCONCLUSIVE, CONTRADICTED]
    assert [range_rule(0, *ends, least=1, most=3) for ends in ((1, 3), (2, 4), (0, 4), (4, 5), (0, 0.9))] == [
        REPRODUCED, INCONCLUSIVE, INCONCLUSIVE, CONTRADICTED, CONTRADICTED]
    assert [share_rule(share) for share in (1, 0.9, 0.5, 0)] == [REPRODUCED, INCONCLUSIVE, CONTRADICTED, CONTRADICTED]


def test_a_misspelt_part_of_the_ablation_has_no_published_cost():
    with pytest.raises(ValueError, match="0 costs of 'detla'"):
        published_cost("detla")


# --- the number of tasks ----------------------------------------------------------------------------------------------

def sizes(first, last):
    """Accuracy at two and at eight tasks; both map methods to numbers, `rest` is for those not named."""
    names = [*BASELINES, *readings(0)]
    return certain({(size, name): float(row.get(name, row["rest"])) for size, row in ((2, first), (8, last)) for name in names})


@pytest.mark.parametrize("last, verdict", [({"rest": 70}, REPRODUCED), ({"rest": 70, "Weight Averaging": 91}, CONTRADICTED)])
def test_every_method_must_fall(last, verdict):
    assert judge("Accuracy of every method falls", sizes=sizes({"rest": 90}, last))[0] == verdict


def test_doge_starts_below_the_lowest_baseline_reading_by_reading():
    first = {"rest": 90, "Weight Averaging": 80, **readings({"paper": 70, "code": 85, "exact": 95})}
    found, words = judge("DOGE TA starts below", sizes=sizes(first, {"rest": 50}))
    assert found == {"paper": REPRODUCED, "code": CONTRADICTED, "exact": CONTRADICTED}
    assert "lowest baseline 80.0" in words and "code -5.0" in words


def test_doge_falls_more_slowly_than_the_steadiest():
    last = {"rest": 60, "Task Arithmetic": 70, **readings({"paper": 75, "code": 65, "exact": 55})}    # others lose 20 and 30
    found, _ = judge("DOGE TA falls more slowly", sizes=sizes({"rest": 90}, last))
    assert found == {"paper": REPRODUCED, "code": CONTRADICTED, "exact": CONTRADICTED}


# --- the main tables --------------------------------------------------------------------------------------------------

def averages(**moved):
    """Draws of every row that the claims name: 50, unless it is among the moved."""
    names = [*BASELINES, "Pre-trained", "TATR", "TATR zero-shot", "Ties-Merging & TATR", "AWD TA", "Consensus TA",
             "PCB-Merging (paper)", "PCB-Merging (code)", "TATR positive", "TATR negative", "AdaMerging (paper)",
             "AdaMerging++ (paper)", "Task-wise AdaMerging (paper)", *readings(0), *readings(0, "DOGE AM")]
    return certain({name: 50.0 + moved.get(name, 0) for name in names})


@pytest.mark.parametrize("statement, method, over", [("DOGE TA is above task arithmetic", "DOGE TA", "Task Arithmetic"),
                                                     ("DOGE AM is above AdaMerging", "DOGE AM", "AdaMerging")])
def test_doges_readings_are_judged_on_the_published_gap(statement, method, over):
    published = published_average(TABLE, method) - published_average(TABLE, over)
    gaps = {"paper": published / 2 + 0.1, "code": published / 2 - 0.1, "exact": -0.1}
    found, words = judge(statement, averages=averages(**readings(gaps, method)))
    assert found == {"paper": REPRODUCED, "code": SMALLER, "exact": CONTRADICTED}
    assert f"published +{published:.1f}" in words and f"code {gaps['code']:+.1f}" in words


def test_a_wide_interval_is_inconclusive_and_stands_beside_the_gap():
    drawn = shaken(averages(**readings(3.0)), "DOGE TA (code)", by=4)
    found, words = judge("DOGE TA is above task arithmetic", averages=drawn)
    assert found == {"paper": SMALLER, "code": INCONCLUSIVE, "exact": SMALLER} and "code +3.0 [-0.8, +6.8]" in words


@pytest.mark.parametrize("method, over, statement, table", [
    ("AdaMerging (paper)", "Task Arithmetic", "AdaMerging is above task arithmetic", "adamerging_table1_vit_b32"),
    ("AdaMerging++ (paper)", "AdaMerging (paper)", "AdaMerging++ is above AdaMerging", "adamerging_table1_vit_b32"),
    ("AdaMerging (paper)", "Task-wise AdaMerging (paper)", "Layer-wise coefficients are above", "adamerging_table1_vit_b32"),
    ("TATR", "Task Arithmetic", "TATR is above task arithmetic", "tatr_table1_vit_b32"),
    ("Ties-Merging (code)", "Task Arithmetic", "TIES is above task arithmetic", TABLE)])
def test_other_methods_have_one_verdict_on_the_published_gap(method, over, statement, table):
    published = published_average(table, method.split(" (")[0]) - published_average(table, over.split(" (")[0])
    for gap, verdict in ((published / 2 + 0.12, REPRODUCED), (published / 2 - 0.12, SMALLER), (-0.1, CONTRADICTED)):
        moved = {method: gap} | ({"Ties-Merging (paper)": -9} if "TIES" in statement else {})
        found, words = judge(statement, averages=averages(**moved))
        assert found == verdict and f"published +{published:.1f}" in words and f"{gap:+.1f}" in words


def test_the_best_of_the_other_data_free_methods_is_what_doge_must_beat():
    moved = {"AWD TA": 1.0, **readings({"paper": 3.3, "code": 3.1, "exact": 0.9})}        # 80.7 over 76.3: half is 2.2
    found, words = judge("DOGE TA is above every other data-free method", averages=averages(**moved))
    assert found == {"paper": REPRODUCED, "code": SMALLER, "exact": CONTRADICTED} and "over AWD TA" in words


def test_each_signed_part_must_ruin_the_model():
    drawn = averages(**{"TATR positive": -9, "TATR negative": 3})
    assert judge("Merging only what climbs", averages=drawn)[0] == REPRODUCED
    assert judge("Merging only what descends", averages=drawn)[0] == CONTRADICTED


def test_the_main_table_is_averaged_over_the_seeds(monkeypatch):
    def rows(name, value, suite):
        return pd.DataFrame([{"metric": "accuracy", "label": name, "task": task, "seed": suite, "count": 4,
                              "hits": ex_hits(value)} for task in ("digits", "signs")])
    monkeypatch.setattr(ex, "selection", lambda suite, **how: None)
    for maker, name, shift in (("main_rows", "Task Arithmetic", 0), ("other_rows", "DARE", 1), ("built_rows", "WEMoE", 2)):
        monkeypatch.setattr(ex, maker, lambda suite, tried, name=name, shift=shift, **how: rows(name, suite + shift, suite))
    drawn = claims.Evidence(0, seeds=(1, 2)).averages
    assert drawn.iloc[0].to_dict() == pytest.approx({"Task Arithmetic": 25, "DARE": 50, "WEMoE": 75})
    assert claims.Evidence(0, seeds=(1, 2)).first.iloc[0]["DARE"] == 25


def ex_hits(count):
    """That many of four answers are right."""
    from mergelib.measure.scoring import pack_hits
    return pack_hits(np.arange(4) < count)


# --- task vectors, lambda and the solver ------------------------------------------------------------------------------

def cosines(pair, others):
    """Cosines of four tasks: one number for digits and house numbers, one for the rest."""
    names = ["digits", "housenumbers", "signs", "scenes"]
    table = pd.DataFrame(others, names, names)
    table.loc["digits", "housenumbers"] = table.loc["housenumbers", "digits"] = pair
    return table.mask(np.eye(4, dtype=bool), 1.0)


@pytest.mark.parametrize("pair, verdict", [(0.1, REPRODUCED), (0.5, CONTRADICTED), (-0.5, CONTRADICTED)])
def test_orthogonality_is_judged_off_the_diagonal(pair, verdict):
    assert judge("Task vectors are nearly orthogonal", cosines=cosines(pair, 0.05))[0] == verdict


def test_the_digit_tasks_are_the_most_similar():
    assert judge("The digit tasks", cosines=cosines(0.3, 0.1))[0] == REPRODUCED
    one_closer = cosines(0.3, 0.1)
    one_closer.loc["signs", "scenes"] = one_closer.loc["scenes", "signs"] = 0.4
    found, words = judge("The digit tasks", cosines=one_closer)
    assert found == CONTRADICTED and "signs and scenes" in words


def test_the_tasks_of_a_suite_are_those_for_which_ours_stand():
    names = {"digits": "MNIST", "housenumbers": "SVHN", "signs": "GTSRB", "scenes": "SUN397"}
    suite = SimpleNamespace(named=lambda *tasks: tuple(names[task] for task in tasks))
    table = cosines(0.3, 0.1).rename(index=names, columns=names)
    assert judge("The digit tasks", suite=suite, cosines=table)[0] == REPRODUCED


def test_what_helps_a_little_is_inconclusive():
    drawn = certain({"Pre-trained": 44.3, "Task Arithmetic": 46.2})
    assert judge("The digits vector", scores=lambda *jobs: drawn)[0] == REPRODUCED
    found, words = judge("The digits vector", scores=lambda *jobs: shaken(drawn, "Task Arithmetic", by=4))
    assert found == INCONCLUSIVE and "+1.9 [-1.9, +5.7]" in words


def test_magnitudes_are_compared_between_tasks_and_between_layers(monkeypatch):
    monkeypatch.setattr(ex, "magnitudes", lambda suite: pd.DataFrame({"a": [1.0, 1.1], "b": [4.0, 4.4]}))
    assert judge("Tasks differ", weights=None)[0] == CONTRADICTED
    assert judge("Layers differ", weights=None)[0] == REPRODUCED


def sweep(best, worst=40.0):
    values = {("Task Arithmetic", lam): 50.0 for lam in (0.0, 0.1, 0.15, 0.25, 0.3, 0.5)}
    values |= {("Task Arithmetic", best): 60.0, ("Task Arithmetic", 0.5): worst, ("Weight Averaging", 0): 45.0}
    return certain(dict(sorted(values.items())))


@pytest.mark.parametrize("best, verdict", [(0.3, REPRODUCED), (0.25, REPRODUCED), (0.15, CONTRADICTED)])
def test_the_best_lambda_is_an_optimum_and_has_no_direction(best, verdict):
    assert judge("Task arithmetic is best", sweep=sweep(best))[0] == verdict


def test_an_optimum_that_moves_from_draw_to_draw_is_inconclusive():
    drawn = sweep(0.3)
    drawn.iloc[1, drawn.columns.get_loc(("Task Arithmetic", 0.15))] = 70
    found, words = judge("Task arithmetic is best", sweep=drawn)
    assert found == INCONCLUSIVE and "0.30 [0.15, 0.30]" in words


@pytest.mark.parametrize("worst, verdict", [(40, REPRODUCED), (46, CONTRADICTED)])
def test_a_bad_lambda_is_worse_than_averaging(worst, verdict):
    assert judge("An ill-suited lambda", sweep=sweep(0.3, float(worst)))[0] == verdict


@pytest.mark.parametrize("last, verdict", [(78, REPRODUCED), (76, CONTRADICTED)])
def test_flatness_is_judged_over_the_printed_values(last, verdict):
    values = {round(0.01 * i, 2): 80.5 for i in range(1, 9)} | {0.09: last, 0.2: 30}       # 0.2 does not count
    drawn = certain({(name, eta): float(value) for name in ex.DOGE for eta, value in values.items()})
    assert judge("Accuracy is flat in eta", etas=drawn)[0] == dict.fromkeys(ex.DOGE, verdict)


@pytest.mark.parametrize("left, verdict", [(0.008, REPRODUCED), (0.03, INCONCLUSIVE), (0.1, CONTRADICTED)])
def test_convergence_is_judged_apart_for_eight_and_for_twenty_tasks(left, verdict):
    losses = {False: pd.Series({100: 0.2, 200: left}), True: pd.Series({100: 0.9, 200: 0.5})}
    assert judge("For eight tasks the solver", converged=losses.get)[0] == verdict
    assert judge("For twenty tasks the solver", converged=losses.get)[0] == CONTRADICTED
