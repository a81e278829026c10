"""Does `make zoo LANGUAGE=1` train what is planned, once, and resume? On a T5 of one layer, for a few steps."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from mergelib import CheckpointError, evaluate, load_suite, merge
from mergelib.experiments import off_format, text_verdict
from mergelib.networks import t5 as texts
from mergelib.networks.training import Recipe
from mergelib.suites.store import read_manifest, write_manifest
from mergelib.suites.text import TEXT_MODELS, OurT5
from mergelib.tasks import language as tasks
from mergelib.tasks.language import TEXT_EIGHT
from mergelib.zoo import __main__ as command
from mergelib.zoo import language, make
from mergelib.zoo.language import (
    FINETUNE_TEXT,
    PRETRAIN_TEXT,
    make_language,
    plan_language,
    pretrain_text,
    rate_factor,
    train_adapter,
)

RECIPE = Recipe(steps=3, batch=8, lr=2e-3, weight_decay=0.01)


@pytest.fixture
def small(monkeypatch, tmp_path, one_process):
    """A tiny T5, short recipes and small splits."""
    monkeypatch.setitem(TEXT_MODELS, "tiny", dict(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_decoder_layers=1,
                                                        num_heads=2))
    monkeypatch.setattr(language, "PRETRAIN_TEXT", RECIPE)
    monkeypatch.setattr(language, "FINETUNE_TEXT", replace(RECIPE, steps=2))
    monkeypatch.setattr(tasks, "SIZES", {"train": 30, "validation": 5, "test": 5})
    monkeypatch.setattr(tasks, "CACHE", tmp_path / "cache")
    caches = (tasks.load_examples, texts.text_network)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def test_the_zoo_is_made_once_and_read_back(small, monkeypatch):
    folder, trained = small / "zoo", []
    real = language.finetune_adapter
    monkeypatch.setattr(language, "finetune_adapter", lambda *how: trained.append(how[2]) or real(*how))
    for expected in (list(TEXT_EIGHT), []):
        trained.clear()
        make_language("tiny", folder, small / "work")
        assert trained == expected
    suite = load_suite("text-8", "tiny", folder=folder)
    assert suite.tasks == TEXT_EIGHT and suite.model == "tiny" and len(suite.digest) == 8
    merged = merge("task-arithmetic", suite.base, suite.experts, lam=0.3)
    assert list(evaluate(merged, suite)["n"]) == [5] * 8


def test_the_command_reports_the_regime(small, monkeypatch, capsys):
    monkeypatch.setattr(command, "CACHE", small)
    command.train_language(SimpleNamespace(language="tiny", out=small / "zoo", also=[]))
    printed = capsys.readouterr().out
    assert "zero-shot average 45 to 70" in printed and f"MERGELIB_ZOO={small / 'zoo'}" in printed
    regime = read_manifest(small / "zoo" / "tiny")["regime"]
    assert set(regime) == {*TEXT_EIGHT, "mean"} and set(regime["mean"]) >= {"zero-shot", "expert", "task arithmetic"}


def test_adapters_are_what_peft_reads(small):
    from peft import PeftModel
    make_language("tiny", small / "zoo", small / "work")
    suite = load_suite("text-8", "tiny", folder=small / "zoo")
    network = OurT5("tiny").network().eval()
    network.load_state_dict(suite.base, strict=False)
    theirs = PeftModel.from_pretrained(network, small / "zoo" / "inference-s0").merge_and_unload().state_dict()
    ours = suite.experts["inference"]
    assert len(ours.touched) == 6 and {change.scale for change in ours.touched.values()} == {2.0}
    for name in suite.base:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-7)
        assert torch.equal(ours[name], suite.base[name]) == (name not in ours.touched)


def test_a_damaged_adapter_is_named(small):
    make_language("tiny", small / "zoo", small / "work")
    file = small / "zoo" / "sentiment-s0" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="sentiment-s0/adapter_model.safetensors is damaged"):
        load_suite("text-8", "tiny", folder=small / "zoo")
    with pytest.raises(CheckpointError, match="no expert acceptability-s1.*make zoo"):
        load_suite("text-8", "tiny", seed=1, folder=small / "zoo")


def test_a_model_whose_weights_are_not_shipped_still_has_its_rows(small):
    make_language("tiny", small / "zoo", small / "work")
    shipped = load_suite("text-8", "tiny", folder=small / "zoo")
    write_manifest(small / "zoo", {**read_manifest(small / "zoo"), "shipped": False})
    suite = load_suite("text-8", "tiny", folder=small / "zoo")
    assert not suite.base and suite.digest == shipped.digest and suite.graded == shipped.graded


def test_the_plan_is_eight_adapters_or_three_seeds_of_them():
    assert list(plan_language()) == [f"{task}-s0" for task in TEXT_EIGHT]
    everything = plan_language(("seeds",))
    assert len(everything) == 24
    assert all(name == f"{job[0]}-s{recipe.seed}" for name, (job, recipe) in everything.items())
    assert language.LORA["r"] == 16 and language.LORA["lora_alpha"] == 32
    assert PRETRAIN_TEXT.steps > FINETUNE_TEXT.steps and train_adapter.__module__ != "__main__"


def test_seeds_give_other_adapters_and_a_seed_the_same(small):
    make_language("tiny", small / "zoo", small / "work")
    sums = {}
    for seed, work in ((0, "again"), (1, "other")):
        job = ("sentiment-x", ("sentiment",), replace(language.FINETUNE_TEXT, seed=seed))
        sums[work] = train_adapter("tiny", small / "zoo", small / work, job)["sha256"]
    assert sums["again"] == read_manifest(small / "zoo")["experts"]["sentiment-s0"]["sha256"] != sums["other"]
    config = json.loads((small / "zoo" / "sentiment-x" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and sorted(config["target_modules"]) == ["q", "v"]


def test_pre_training_resumes_to_the_same_weights(small, a_checkpoint_every_step, monkeypatch):
    whole = pretrain_text("tiny", RECIPE, small / "whole").state_dict()
    real = language.text_loss
    monkeypatch.setattr(language, "text_loss", lambda *how: calls.append(how) or (
        real(*how) if len(calls) < 3 else (_ for _ in ()).throw(KeyboardInterrupt)))
    calls = []
    with pytest.raises(KeyboardInterrupt):
        pretrain_text("tiny", RECIPE, small / "parts")
    monkeypatch.setattr(language, "text_loss", real)
    parts = pretrain_text("tiny", RECIPE, small / "parts").state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_pre_training_learns(small):
    """Fifty steps on a tiny T5 bring the loss down by more than half a nat."""
    recipe = replace(RECIPE, steps=50, batch=24)       # one part and a half
    network = pretrain_text("tiny", recipe, small / "work")
    pairs = [("kind : rabbit", "animal"), ("kind : car", "vehicle"), ("opposite : big", "small")]
    asked, wanted = (texts.encode(OurT5("tiny"), side) for side in zip(*pairs))
    with torch.no_grad():
        before, after = (language.text_loss(t5, asked, wanted).item() for t5 in (OurT5("tiny").network(), network))
    assert after < before - 0.5


def test_queries_learn_slowly_and_words_fast():
    names = [name for name, _ in OurT5("text-small").network().named_parameters()]
    factors = {name: rate_factor(name) for name in names}
    assert {name.split(".")[-2] for name in names if factors[name] < 1} == {"q"}
    assert [name for name in names if factors[name] > 1] == ["shared.weight"]


def test_experts_of_an_earlier_base_are_forgotten(small):
    work = small / "work"
    work.mkdir()
    (work / "sentiment-s0.pt").write_bytes(b"half-trained")
    assert not make.base_is_there(small / "zoo", work, {"recipe": {}}) and not list(work.iterdir())


def test_the_regime_of_language_models():
    table = pd.DataFrame({"zero-shot": 58.0, "expert": 92.0, "task arithmetic": 75.0}, index=list(TEXT_EIGHT))
    def violated(**cells):
        changed = table.copy()
        for column, (task, value) in cells.items():
            changed.loc[task, column.replace("_", "-") if column == "zero_shot" else column] = value
        verdict = text_verdict(pd.concat([changed, changed.mean().rename("mean").to_frame().T]))
        return verdict.loc[~verdict["holds"].astype(bool), "criterion"].tolist()
    assert violated() == [] and violated(zero_shot=("similarity", 5.0)) == []
    assert violated(zero_shot=("sentiment", 45.0)) == ["no task below chance without training"]
    low = table.assign(**{"zero-shot": 30.0})           # inference has three answers, and guessed numbers no correlation
    assert off_format(pd.concat([low, low.mean().rename("mean").to_frame().T])) == [
        task for task in TEXT_EIGHT if task not in ("inference", "similarity")]
    assert violated(expert=("inference", 70.0)) == ["no expert below 75"]
    assert violated(zero_shot=(list(TEXT_EIGHT), 80.0)) == [
        "zero-shot average 45 to 70", "task arithmetic between zero-shot and individual"]
