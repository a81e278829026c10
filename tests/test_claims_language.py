"""Are the claims about language judged by their rules? On made-up measurements."""

from types import SimpleNamespace

import pandas as pd
import pytest

from mergelib import experiments as ex
from mergelib.papers.claims import CLAIMS, DIRECTION, FAILS, HOLDS, JUDGED, PRESETS, Evidence, rules

NAMES = ["Task Arithmetic", "Ties-Merging (code)", "AdaMerging++ (generated)", "DOGE TA (exact, damped 0.1)", *PRESETS.values()]


def judge(statement, **evidence):
    """The verdict on the claim that begins so, and what was found."""
    (claim,) = (claim for claim in CLAIMS if claim.statement.startswith(statement))
    return claim.judge(SimpleNamespace(**evidence))


@pytest.mark.parametrize("model, statement, method, published", [      # the published gaps, by hand from DOGE's Tables 3 and 4
    ("text-small", "On language DOGE TA is above task", JUDGED, 79.9 - 77.4),
    ("text-small", "There it is above TIES", JUDGED, 79.9 - 77.5),
    ("text-small", "It is even above AdaMerging++", JUDGED, 79.9 - 78.3),
    ("text-small", "On language AdaMerging++", "AdaMerging++ (generated)", 78.3 - 77.4),
    ("text-large", "On the larger model, too, DOGE TA", JUDGED, 88.0 - 87.3),
    ("text-large", "On the larger model it is above TIES", JUDGED, 88.0 - 87.4),
    ("text-large", "On the larger model it is above AdaMerging++", JUDGED, 88.0 - 87.6),
    ("text-large", "On the larger model AdaMerging++", "AdaMerging++ (generated)", 87.6 - 87.3)])
def test_rows_are_judged_on_the_published_gap(model, statement, method, published):
    for gap, verdict in ((published / 2 + 0.13, HOLDS), (published / 2 - 0.13, DIRECTION), (-0.1, FAILS)):
        averages = pd.Series(70.0, NAMES) + pd.Series({method: gap}).reindex(NAMES, fill_value=0)
        found, words = judge(statement, language={model: averages})
        assert found == verdict and f"published {published:+.1f}" in words and f"{gap:+.1f}" in words


@pytest.mark.parametrize("statement, part, published", [("On language, too, delta", "delta", 2.0),
                                                        ("On language the shared", "shared subspace", 0.9)])
def test_parts_are_judged_on_what_leaving_them_out_costs_the_released_reading(statement, part, published):
    for cost, verdict in ((published / 2 + 0.13, HOLDS), (published / 2 - 0.13, DIRECTION), (-0.1, FAILS)):
        values = {("nothing", reading): 60.0 for reading in ("code", "exact, damped 0.1")}
        values |= {(part, reading): 60.0 - cost * (reading in ("", "code")) for reading in ("", "code", "exact, damped 0.1")}
        found, words = judge(statement, language_ablation=pd.Series(values))
        assert found == verdict and f"code {cost:+.1f}" in words


def test_the_language_tables_are_averaged_over_the_seeds(monkeypatch):
    def language_rows(suite, tried, **how):
        return pd.DataFrame({"metric": "accuracy", "label": "TSV-M", "task": ["sentiment", "inference"], "value": suite})
    monkeypatch.setattr(rules, "load_suite", lambda name, model, seed: 50 + 10 * seed - 10 * (model == "text-large"))
    monkeypatch.setattr(ex, "language_selection", lambda suite, **how: None)
    monkeypatch.setattr(ex, "language_rows", language_rows)
    monkeypatch.setattr(ex, "answer_rows", lambda suite, **how: language_rows(suite / 2, None).assign(label="DOGE AM"))
    suites = [SimpleNamespace(seed=seed) for seed in range(3)]
    evidence = Evidence(suites[0], suites[1:])
    assert evidence.language["text-small"].to_dict() == pytest.approx({"TSV-M": 60, "DOGE AM": 30})
    assert evidence.language["text-large"].to_dict() == pytest.approx({"TSV-M": 50, "DOGE AM": 25})
