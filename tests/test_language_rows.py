"""Do the language tables have all their rows, each measured with what was chosen for it?"""

import json
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from mergelib import METHODS
from mergelib import experiments as ex
from mergelib.experiments.measure import SCORES

language = import_module("mergelib.experiments.language")


@pytest.fixture
def few_steps(monkeypatch):
    """Whatever is learned or solved takes two steps."""
    for method in ("doge-ta", *(method for method, *_ in language.LEARNED)):
        for options in (METHODS[method].options, *METHODS[method].presets.values()):
            for name in {"steps", "mask_steps", "solver_steps"} & set(options):
                monkeypatch.setitem(options, name, 2)


@pytest.fixture
def few_values(monkeypatch):
    """Two values are tried instead of ten."""
    for name in ("LAMS", "MEANS", "WIDE"):
        monkeypatch.setattr(language, name, getattr(language, name)[2:4])


def test_the_tables_are_measured_from_end_to_end(text_suite, ledger, one_process, few_steps, few_values):
    tried = ex.language_selection(text_suite, ledger=ledger)
    table = ex.language_rows(text_suite, tried, ledger=ledger)
    rows = table[table["metric"].isin(SCORES)]
    assert not rows.duplicated(["label", "task"]).any() and rows["label"].nunique() == 3 + len(tried) // 2 + 16
    assert np.isfinite(table["value"]).all() and set(rows["split"]) == {"test"}
    count = len(ledger.rows)
    again = ex.language_rows(text_suite, ex.language_selection(text_suite, ledger=ledger), ledger=ledger)
    pd.testing.assert_frame_equal(again, table)
    assert len(ledger.rows) == count


def test_the_ablation_of_language_models_is_measured(text_suite, ledger, one_process, few_steps, few_values, monkeypatch):
    monkeypatch.setattr(import_module("mergelib.experiments.ablation"), "LAMS", (0.2, 0.3))
    table = ex.language_ablation(text_suite, ledger=ledger)
    found = {(row.without, row.reading): json.loads(row.options) for row in table.itertuples()}
    assert len(found) == 7 and all(options["lam_max"] == 1.0 for options in found.values())
    assert all((options.get("damping") == 0.1) == ("damped" in reading) for (_, reading), options in found.items())
