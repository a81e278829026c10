"""What models keep and what pictures cost: counted by hand, timed in turn, and measured once."""

import pytest

from mergelib import experiments as ex
from mergelib.experiments import costs
from mergelib.measure.ledger import Ledger


def test_models_kept_are_counted(tiny_suite):
    found = {name: ex.models_kept(tiny_suite, name) for name in ("individual", "mtl", "task-arithmetic", "adamerging", "emr")}
    assert found == {"individual": 2, "mtl": 1, "task-arithmetic": 1, "adamerging": 1, "emr": 2 + 2 / 32}


def test_surgery_keeps_two_small_matrices_for_each_task(tiny_suite):
    size = sum(tensor.numel() for tensor in tiny_suite.base.values())
    assert ex.models_kept(tiny_suite, "surgery") == pytest.approx(1 + 2 * 2 * 16 * 128 / size)


def test_twin_keeps_a_tenth_of_each_matrix_s_directions(tiny_suite):
    size = sum(tensor.numel() for tensor in tiny_suite.base.values())
    kept = sum(max(1, min(t.shape) // 10) * (sum(t.shape) + 1) if t.dim() == 2 else t.numel() for t in tiny_suite.base.values())
    assert ex.models_kept(tiny_suite, "twin") == pytest.approx(1 + 2 * kept / size)


def test_wemoe_keeps_every_expert_s_mlp(tiny_suite):
    size = sum(tensor.numel() for tensor in tiny_suite.base.values())
    mlps = sum(tensor.numel() for name, tensor in tiny_suite.base.items() if ".mlp." in name)
    routers = 32 * 32 + 32 + 2 * 32 + 2
    assert ex.models_kept(tiny_suite, "wemoe") == pytest.approx(1 + (2 * mlps + routers) / size)


def test_a_ratio_is_measured_once_and_then_read(tiny_suite, tmp_path, monkeypatch, one_process):
    tiny_suite.seed, calls = 0, []
    monkeypatch.setattr(costs, "_ratio", lambda suite, method: calls.append(method) or [
        costs.valued(row, 3.14159, digits=3) for row in costs._ratio_keys(suite, method)])
    for _ in range(2):
        found = ex.inference_ratios(tiny_suite, ("emr", "wemoe"), ledger=Ledger(tmp_path))
    assert found.to_dict() == {"EMR-Merging (paper)": 3.142, "WEMoE (task-arithmetic)": 3.142} and len(calls) == 2


def test_both_models_are_run_in_turn_on_the_same_pictures(tiny_suite, monkeypatch):
    models, pictures = [], set()

    def logits(suite, model, task, pixels):
        models.append(id(model))
        pictures.add((task, pixels.shape))
    monkeypatch.setattr(type(tiny_suite), "logits", logits)
    monkeypatch.setattr(costs, "PICTURES", 10)
    assert costs._ratio(tiny_suite, "surgery")[0]["value"] > 0
    assert pictures == {("digits", (10, 32, 32, 3))} and models == models[:2] * costs.REPEATS and len(set(models)) == 2


def test_memory_of_merges_is_that_above_idle_interpreters(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").mkdir()
    rows = ("package,method,preset,workers,memory", "nothing,,,1,300", "nothing,,,2,900", "mergelib,doge-ta,exact,2,1500",
            "mergekit,ties,,1,800")
    (tmp_path / "benchmarks" / "merging.csv").write_text("\n".join(rows))
    monkeypatch.setattr(costs, "ROOT", tmp_path)
    found = ex.merging_costs()
    assert found["memory"].tolist() == [600, 500] and found["label"].tolist() == ["DOGE TA (exact)", "mergekit"]
