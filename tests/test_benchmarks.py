"""Do the benchmark scripts still work? On a model of a few kilobytes; what they measure is asserted nowhere."""

from importlib import import_module

import pandas as pd
import pytest
import torch

from mergelib.checkpoints.states import read_state
from mergelib.paths import ROOT


@pytest.fixture
def merging(monkeypatch, tmp_path):
    """The script of the large merges, with one tiny model and folders of its own."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script, made = import_module("merging"), import_module("checkpoints")
    monkeypatch.setitem(made.MODELS, "tiny", (lambda: made.vision(32, 1, 2, 112), torch.float32))
    monkeypatch.setattr(script, "WORK", tmp_path / "work")
    monkeypatch.setattr(script, "TABLE", tmp_path / "merging.csv")
    rows = [{"package": "floor", "runs": 2}, script.DOGE | {"preset": "exact"}]
    monkeypatch.setattr(script, "rows", lambda: [{"model": "tiny", "tasks": 2, **row} for row in rows])
    monkeypatch.setattr("sys.argv", ["merging.py"])
    return script


def test_every_row_is_measured_once(merging, capfd):
    merging.main()
    table = pd.read_csv(merging.TABLE, keep_default_na=False)
    assert list(table.package) == ["floor", "mergelib"] and (table.memory > 0).all()
    size = sum(file.stat().st_size for file in (merging.WORK / "tiny").glob("*/*.safetensors"))
    assert (table["read"] == round(size / 1e6)).all() and not (merging.WORK / "out").exists()
    capfd.readouterr()

    merging.main()
    assert "tiny" not in capfd.readouterr().out and table.equals(pd.read_csv(merging.TABLE, keep_default_na=False))


def test_random_experts_are_as_far_from_the_base_as_published_ones(merging):
    checkpoints = import_module("checkpoints")
    base, experts = checkpoints.checkpoints("tiny", 2, merging.WORK)
    start, *ends = (read_state(path / "model.safetensors") for path in (base, *experts))
    for end in ends:
        entries = torch.cat([(end[name] - start[name]).flatten() for name in start])
        assert entries.square().mean().sqrt() == pytest.approx(checkpoints.SIZE, rel=0.5)    # parts of one to a half each


@pytest.mark.filterwarnings("ignore:About this merge", "ignore:.*the modification is")
def test_every_second_of_a_merge_belongs_to_a_part(merging, monkeypatch, capsys):
    parts = import_module("parts")
    monkeypatch.setattr(parts, "WORK", merging.WORK)
    monkeypatch.setattr("sys.argv", ["parts.py", "--model", "tiny", "--tasks", "2", "--preset", "code"])     # which has masks
    parts.main()
    printed = capsys.readouterr().out
    assert all(f"| {part} |" in printed for part in (*parts.PARTS, "the rest", "all"))
    assert "100%" in printed.splitlines()[-1] and not (merging.WORK / "parts").exists()
