"""Do the ablations leave out what they say? Parts of DOGE TA, forms of the coefficients, ranks, and the losses' gradients."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import MATRICES, accuracies

from mergelib import METHODS, merge
from mergelib import experiments as ex
from mergelib.experiments import ranks
from mergelib.experiments.choosing import ETAS
from mergelib.measure.scoring import pack_hits
from mergelib.methods import ENCODER_MATRICES
from mergelib.tasks import EIGHT

BEST = {"nothing": 0.12, "shared subspace": 0.05, "task-aware lambda": 0.25, "delta": 0.2}


def left_out(model):
    """What of DOGE TA a merged model lacks."""
    if model["method"] == "norm-lambda":
        return "delta"
    options = model["options"]
    return ("shared subspace" if options.get("direction") == "free" else
            "task-aware lambda" if options.get("uniform") else "nothing")


def test_every_variant_of_the_ablation_lacks_one_part_and_has_its_own_best_coefficient(suite, ledger, fakes):
    fakes.accuracy = lambda model, condition, task, split: 1 - abs(model["options"]["eta"] - BEST[left_out(model)])
    table = accuracies(ex.ablation(suite, ledger=ledger))
    found = {(row.without, row.reading): (row.method, row.preset, json.loads(row.options)) for row in table.itertuples()}
    fixed = {"nothing": {}, "shared subspace": {"direction": "free"}, "task-aware lambda": {"uniform": True}}
    assert found == {("delta", ""): ("norm-lambda", "code", {"eta": 0.2})} | {
        (name, preset): ("doge-ta", preset, {"eta": BEST[name], **fixed[name]})
        for preset in ("code", "exact") for name in fixed}
    assert len(table) == len(found) * len(EIGHT) and set(table["split"]) == {"test"}
    assert {row["split"] for row in ledger.rows.values() if row["experiment"] == "ablation-selection"} == {"validation"}


def test_without_its_parts_doge_is_simpler_on_the_same_tensors(base, experts):
    def encoder(**options):
        return merge("doge-ta", base, experts, preset="exact", steps=0, **options)
    alone = merge("norm-lambda", base, experts, preset="code", eta=0.05)
    uniform = merge("task-arithmetic", base, experts, lam=0.3, keys=ENCODER_MATRICES)
    assert {name for name in base if not torch.equal(alone[name], base[name])} == {*MATRICES}
    for name in base:           # the same sums, in another order
        torch.testing.assert_close(encoder(eta=0.05)[name], alone[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(encoder(eta=0.3, uniform=True)[name], uniform[name], rtol=0, atol=1e-6)


def test_the_printed_ablation_has_the_full_method_s_eta_and_0_3_for_uniform_coefficients(suite, asked):
    eta = {"code": 0.05, "exact": 0.15}
    table = ex.printed_ablation(suite, eta)
    assert len(table) == len(asked) == 8
    for row in table.itertuples():
        model = {"method": row.method, "options": row.options}
        assert left_out(model) == row.without
        assert row.options["eta"] == (0.3 if row.without == "task-aware lambda" else eta[row.reading])
        assert row.preset == ("code" if row.without == "delta" else row.reading)
        assert len(row.options) == (1 if row.without in ("nothing", "delta") else 2)


def test_one_coefficient_per_task_is_on_average_one_of_the_others_values(suite, ledger, fakes):
    two = suite.subset((EIGHT[0], EIGHT[-1]))
    ex.lambda_rows(two, ledger=ledger)
    etas = [model["options"]["eta"] for model in fakes.merged if model["options"].get("scope") == "task"]
    assert all(float(f"{eta:.2g}") == eta for eta in etas) and len(etas) == 10 + 1         # the best again, on test pictures
    columns = torch.stack([expert["w"] - two.base["w"] for expert in two.experts.values()], dim=1)
    for eta, lam in zip(etas, (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)):
        step = merge("norm-lambda", two.base, two.experts, preset="paper", scope="task", eta=eta)["w"] - two.base["w"]
        coefficients = torch.linalg.lstsq(columns, step[:, None]).solution
        assert coefficients.mean().item() == pytest.approx(lam, rel=0.05)      # eta has two digits: half of 0.1 in 1.0


def test_each_form_of_the_coefficients_is_chosen_by_itself(suite, ledger, fakes):
    table = accuracies(ex.lambda_rows(suite, ledger=ledger))
    found = {row.form: (row.method, row.preset, json.loads(row.options).get("scope")) for row in table.itertuples()}
    assert found == {
        "one lambda": ("task-arithmetic", "", None), "a lambda per task": ("norm-lambda", "paper", "task"),
        "per task and layer": ("norm-lambda", "paper", None), "per task and matrix": ("norm-lambda", "code", None)}
    assert len(table) == 4 * len(EIGHT)


def test_the_rank_is_never_swept_with_a_solver_that_cannot_stay_in_the_subspace(suite, base, experts, asked):
    ex.rank_rows(suite, {"code": 0.05, "exact": 0.15})
    settings = [METHODS[job.method].settings(job.preset, **job.options) for job in asked]
    assert {(each["solver"], each["steps"]) for each in settings} == {("adam", 400)}
    wanted = [(eta, direction, ratio) for eta in (0.05, 0.15) for direction in ("along", "orthogonal")
              for ratio in ranks.RANK_RATIOS] + [(eta, "free", 1 / 6) for eta in (0.05, 0.15)]
    assert sorted((each["eta"], each["direction"], each["rank_ratio"]) for each in settings) == sorted(wanted)
    along = next(job for job in asked if job.options["direction"] == "along" and job.preset == "exact")
    with pytest.raises(ValueError, match="there is no exact solution"):
        merge("doge-ta", base, experts, preset="exact", **{**along.options, "solver": "exact"})
    merge("doge-ta", base, experts, preset="exact", **{**along.options, "steps": 2})


def test_gradients_have_a_best_eta_of_their_own_in_every_reading(suite, ledger, asked, fakes):
    fakes.accuracy = lambda model, condition, task, split: -abs(
        model["options"]["eta"] - {"paper": 0.05, "code": 0.09, "exact": 0.3}[model["preset"]])
    ex.gradient_rows(suite, ledger=ledger)
    assert [(job.method, job.preset, job.options) for job in asked] == [
        ("doge-gradients", "paper", {"eta": 0.05}), ("doge-gradients", "code", {"eta": 0.09}),
        ("doge-gradients", "exact", {"eta": 0.3})]
    assert len(fakes.merged) == 3 * len(ETAS)


def shares_by_svd(base, experts, ratio):
    """The mean share of the singular values, over both matrices inside the transformer, all of which have rank 16."""
    found = {"bases": [], "task vectors": []}
    for name in MATRICES:
        taus = [(expert[name] - base[name]).numpy().astype(float) for expert in experts.values()]
        bases = [np.linalg.svd(tau, full_matrices=False)[0][:, :16 // len(taus)] for tau in taus]
        for of, matrix in (("bases", np.hstack(bases)), ("task vectors", sum(taus))):
            values = np.linalg.svd(matrix, compute_uv=False)
            found[of].append(sum(values[:int(16 * ratio)]) / sum(values))
    return {of: np.mean(each) for of, each in found.items()}


def test_what_a_rank_explains_is_what_an_svd_says(base, experts):
    ratios = (0.1, 1 / 6, 0.5, 0.9, 1.0)
    table = ex.explained(SimpleNamespace(base=base, experts=experts), ratios)
    assert table.index.tolist() == [*ratios]
    for ratio in ratios:        # four digits are drawn
        assert table.loc[ratio].to_dict() == pytest.approx(shares_by_svd(base, experts, ratio), abs=6e-5)
    assert (table.diff().dropna() > 0).all(axis=None) and (table <= 1 + 1e-12).all(axis=None)
    assert table.loc[1.0].tolist() == pytest.approx([1, 1])


def ranked(direction, ratio=None, right=300, task="signs", preset="code"):
    """One row of `rank_rows`: so many of 600 pictures were right."""
    options = {"direction": direction, **({} if ratio is None else {"rank_ratio": ratio})}
    hits = pack_hits(np.arange(600) < right)
    return {"label": "DOGE TA", "metric": "accuracy", "task": task, "seed": "0", "count": 600, "hits": hits,
            "value": right / 6, "preset": preset, "options": json.dumps(options)}


def test_ranks_are_read_by_ratio_reading_and_direction():
    rows = pd.DataFrame([ranked("orthogonal", 0.1, 330), ranked("orthogonal", 0.3, 360), ranked("along", 0.1, 240),
                         ranked("free", right=300), ranked("free", right=60, preset="exact")])
    curve, free = ex.rank_table(rows)
    assert curve["code", "orthogonal"].tolist() == pytest.approx([55, 60]) and curve["code", "along"].loc[0.1] == 40
    assert free.to_dict() == pytest.approx({"code": 50, "exact": 10})


def test_directions_are_compared_at_one_ratio_and_reading():
    rows = [ranked(direction, 1 / 6, right, task) for direction, right in (("orthogonal", 330), ("along", 270))
            for task in ("signs", "digits")]
    rows += [ranked("free", None, 300, task) for task in ("signs", "digits")]
    others = [ranked("orthogonal", 0.5, 600), ranked("orthogonal", 1 / 6, 600, preset="exact")]
    table = ex.direction_table(pd.DataFrame(rows + others), "code")
    assert table.loc["signs"].to_dict() == pytest.approx({"orthogonal": 55, "along": 45, "free": 50})
    assert list(table.index) == ["signs", "digits"]
