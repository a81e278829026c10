"""Are the claims about language judged by their rules? On made-up measurements."""

import numpy as np
import pandas as pd
import pytest
from judging import certain, judge, readings

from mergelib import experiments as ex
from mergelib.measure.scoring import pack_hits
from mergelib.papers.claims import CONTRADICTED, REPRODUCED, SMALLER, Evidence

BASE, LARGE, LEARNED = "Flan-T5-base", "Flan-T5-large", "AdaMerging++ (generated)"
NAMES = ("Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)", LEARNED, "DOGE TA (exact, damped 0.1)")


@pytest.mark.parametrize("model, statement, published", [      # the published gaps, by hand from DOGE's Tables 3 and 4
    (BASE, "On language DOGE TA is above task", 79.9 - 77.4),
    (BASE, "On language DOGE TA is above TIES", 79.9 - 77.5),
    (BASE, "On language DOGE TA is above AdaMerging++", 79.9 - 78.3),
    (LARGE, "On the larger language model DOGE TA is above task", 88.0 - 87.3),
    (LARGE, "On the larger language model DOGE TA is above TIES", 88.0 - 87.4),
    (LARGE, "On the larger language model DOGE TA is above AdaMerging++", 88.0 - 87.6)])
def test_doges_readings_are_judged_on_the_published_gap(model, statement, published):
    gaps = {"paper": published / 2 + 0.13, "code": published / 2 - 0.13, "exact": -0.1}
    moved = readings({reading: 70 + gap for reading, gap in gaps.items()})
    drawn = {model: certain({**dict.fromkeys(NAMES, 70), **moved})}
    found, words = judge(statement, language=drawn.get)
    assert found == {"paper": REPRODUCED, "code": SMALLER, "exact": CONTRADICTED}
    assert f"published {published:+.1f}" in words and "damped 0.1) +0.0" in words


@pytest.mark.parametrize("model, statement, published", [
    (BASE, "On language AdaMerging++", 78.3 - 77.4), (LARGE, "On the larger language model AdaMerging++", 87.6 - 87.3)])
def test_learned_coefficients_have_one_verdict(model, statement, published):
    for gap, verdict in ((published / 2 + 0.13, REPRODUCED), (published / 2 - 0.13, SMALLER), (-0.1, CONTRADICTED)):
        drawn = {model: certain({**dict.fromkeys(NAMES, 70), LEARNED: 70 + gap})}
        found, words = judge(statement, language=drawn.get)
        assert found == verdict and f"published {published:+.1f}" in words


@pytest.mark.parametrize("statement, part, published", [("On language DOGE TA without delta", "delta", 2.0),
                                                        ("On language DOGE TA without the shared", "shared subspace", 0.9)])
def test_parts_are_judged_on_what_leaving_them_out_costs_the_released_reading(statement, part, published):
    for cost, verdict in ((published / 2 + 0.13, REPRODUCED), (published / 2 - 0.13, SMALLER), (-0.1, CONTRADICTED)):
        values = {("nothing", reading): 60.0 for reading in ("code", "exact, damped 0.1")}
        values |= {(part, reading): 60.0 - cost * (reading in ("", "code")) for reading in ("", "code", "exact, damped 0.1")}
        found, words = judge(statement, language_ablation=certain(dict(sorted(values.items()))))
        assert found == {"code": verdict} and f"code {cost:+.1f}" in words


def test_the_language_tables_are_averaged_over_the_seeds(monkeypatch):
    def rows(label, right, seed):
        return pd.DataFrame([{"metric": "accuracy", "label": label, "task": task, "seed": seed, "count": 8,
                              "hits": pack_hits(np.arange(8) < right)} for task in ("sentiment", "inference")])
    monkeypatch.setattr(ex, "language_selection", lambda suite, **how: None)
    monkeypatch.setattr(ex, "language_rows", lambda suite, tried, **how: rows("TSV-M", suite, suite))
    monkeypatch.setattr(ex, "answer_rows", lambda suite, **how: rows("DOGE AM", 8 - suite, suite))
    evidence = Evidence(None, small=(1, 2, 3), large=(4,))
    assert evidence.language(BASE).iloc[0].to_dict() == pytest.approx({"TSV-M": 25, "DOGE AM": 75})
    assert evidence.language(LARGE).iloc[0].to_dict() == pytest.approx({"TSV-M": 50, "DOGE AM": 50})
