"""Do the language tables have all their rows, each with what was chosen for it, and is a matrix taken apart as it is merged?"""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import adapters, set_defaults

from mergelib import METHODS, merge
from mergelib import experiments as ex
from mergelib.experiments import ablations, choosing, language
from mergelib.experiments.measuring import SCORES
from mergelib.methods.linear import coefficients_of

UNTOUCHED = "decoder.block.0.layer.0.SelfAttention.q"


@pytest.fixture
def few_steps(monkeypatch):
    """Whatever is learned or solved takes two steps."""
    for method in ("doge-ta", *(method for method, *_ in language.LEARNED)):
        taken = {"steps", "mask_steps", "solver_steps"}
        set_defaults(monkeypatch, method, **{name: 2 for name in taken & METHODS[method].declared.keys()})
        for options in METHODS[method].presets.values():
            for name in taken & options.keys():
                monkeypatch.setitem(options, name, 2)


@pytest.fixture
def few_values(monkeypatch):
    """Two values are tried instead of ten."""
    for name in ("LAMS", "MEANS", "WIDE"):
        monkeypatch.setattr(language, name, getattr(language, name)[2:4])


def both_halves(suite, tried, ledger):
    """All rows of the tables: what learns nothing on test questions, and what does."""
    return pd.concat([ex.language_rows(suite, tried, ledger=ledger), ex.answer_rows(suite, ledger=ledger)])


def test_the_tables_are_measured_from_end_to_end(text_suite, ledger, one_process, few_steps, few_values):
    tried = ex.language_selection(text_suite, ledger=ledger)
    table = both_halves(text_suite, tried, ledger)
    rows = table[table["metric"].isin(SCORES)]
    assert not rows.duplicated(["label", "task"]).any() and rows["label"].nunique() == 3 + len(tried) // 2 + 16
    assert np.isfinite(table["value"]).all() and set(rows["split"]) == {"test"}
    count = len(ledger.rows)
    again = both_halves(text_suite, ex.language_selection(text_suite, ledger=ledger), ledger)
    pd.testing.assert_frame_equal(again, table)
    assert len(ledger.rows) == count


def test_the_ablation_of_language_models_is_measured(text_suite, ledger, one_process, few_steps, few_values, monkeypatch):
    monkeypatch.setattr(ablations, "LAMS", (0.2, 0.3))
    table = ex.language_ablation(text_suite, ledger=ledger)
    found = {(row.without, row.reading): json.loads(row.options) for row in table.itertuples()}
    assert len(found) == 7 and all(options["lam_max"] == 1.0 for options in found.values())
    assert all((options.get("damping") == 0.1) == ("damped" in reading) for (_, reading), options in found.items())


def test_every_row_has_its_own_choice_among_ten(text_suite, monkeypatch):
    """Here the best eta is the later, the more options a row has."""
    def measure(experiment, suite, jobs, **how):
        values = [-abs(job.options["eta"] - etas[len(job.options)]) if "eta" in job.options else 0.0 for job in jobs]
        return pd.DataFrame({"metric": "accuracy", "value": values})

    etas = ex.etas_like(text_suite, language.LAMS)
    monkeypatch.setattr(choosing, "measure", measure)
    tried = ex.language_selection(text_suite)
    assert (tried.groupby("label").size() == 10).all() and (tried.groupby("label")["chosen"].sum() == 1).all()
    chosen = tried[tried["chosen"] & (tried["option"] == "eta")]
    assert [row.setting for row in chosen.itertuples()] == [etas[len(row.fixed) + 1] for row in chosen.itertuples()]
    assert len({len(fixed) for fixed in chosen["fixed"]}) > 2


def test_etas_stand_for_mean_coefficients_however_little_a_matrix_was_touched(text_suite, ledger):
    experts = adapters(text_suite.base, text_suite.tasks, untouched=UNTOUCHED)
    suite = language_suite(text_suite, experts)
    names = [name for name in suite.base if name.endswith(("Attention.q.weight", "Attention.v.weight"))]
    taus = {name: torch.stack([expert.delta(name) for expert in experts.values()]) for name in names}
    for lam, eta in zip(language.LAMS, ex.etas_like(suite, language.LAMS)):
        guarded = torch.cat([coefficients_of(each, eta, lam_max=1.0) for each in taus.values()])
        assert guarded.mean().item() == pytest.approx(lam, rel=0.03)        # eta has two digits
    table = ex.taken_apart(suite, eta, ranks=("matrix",), ledger=ledger)
    assert table.loc[table["lam"].idxmax(), "name"].startswith(UNTOUCHED) and table["lam"].max() > 1000


def language_suite(suite, experts):
    """The suite with other experts."""
    return type(suite)(suite.name, suite.model, suite.seed, suite.base, experts, {}, suite.digest)


@pytest.mark.parametrize("rank", ["matrix", "numerical"])
def test_a_matrix_taken_apart_is_the_one_that_is_merged(text_suite, rank, ledger):
    name, eta = "encoder.block.0.layer.0.SelfAttention.v.weight", 0.5
    suite = language_suite(text_suite, adapters(text_suite.base, text_suite.tasks, rank=8))
    table = ex.taken_apart(suite, eta, name, ledger=ledger).set_index(["rank", "damping", "steps"])
    taus = torch.stack([expert.delta(name) for expert in suite.experts.values()])
    lam = coefficients_of(taus, eta, lam_max=1.0)
    assert table.loc[rank, "r"].tolist() == [{"matrix": 16, "numerical": 8}[rank]] * 4
    assert table.loc[rank, "shared"].iloc[0] == {"matrix": 16, "numerical": 8}[rank] // 6
    for damping in (0.1, 1.0):
        merged = merge("doge-ta", suite.base, suite.experts, preset="exact", eta=eta, rank=rank, damping=damping, lam_max=1.0)
        added = merged[name] - suite.base[name] - torch.tensordot(lam, taus, dims=1)
        assert table.loc[(rank, damping, 32), "length"] == pytest.approx((added.norm() / taus.norm()).item(), rel=1e-3)
    solved, free = (table.loc[(which, 0.0, 1000)] for which in (rank, "none"))
    assert solved["left"] < 1e-6 and free["inside"] == 0 and free["length"] < solved["length"]
    damped = table.loc[rank].xs(32, level="steps")
    assert damped["length"].is_monotonic_decreasing and damped["left"].is_monotonic_increasing
