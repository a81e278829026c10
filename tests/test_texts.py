"""Do language suites work as suites of pictures do? Answers, scores and merges on a T5 of one layer and adapters at random."""

import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from conftest import Questions
from scipy.stats import spearmanr

import mergelib as ml
from mergelib.experiments import Job, accuracy_table, averages, measure
from mergelib.measure import answers
from mergelib.measure.answers import as_numbers, rank_correlation, rank_shares
from mergelib.measure.intervals import rho_interval
from mergelib.measure.ledger import Ledger
from mergelib.measure.scoring import pack_hits
from mergelib.methods import ENCODER_MATRICES
from mergelib.networks.t5 import (
    END,
    PAD,
    answer_entropy,
    answer_logits,
    encode,
    generate,
    questions,
    token_entropy,
    with_weights,
)
from mergelib.suites.text import OurT5
from mergelib.tasks.language.tasks import ANSWERS

SOURCE = OurT5("tiny")
NAMES = ("inference", "similarity", "sentiment")


@pytest.fixture
def suite(text_suite):
    return text_suite


def own_network(suite, state):
    """The suite's T5 with a state dict in it, as transformers has it."""
    network = SOURCE.network().eval()
    network.load_state_dict(dict(state), strict=False)
    return network


# --- answers

def test_answers_are_those_that_transformers_generates(suite):
    state = {name: tensor + 0.6 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(3))
             for name, tensor in suite.base.items()}
    inputs = questions(encode(SOURCE, suite.examples("inference", "test")[0]))
    found = generate(with_weights(SOURCE, state), inputs, 6)
    network = own_network(suite, state)
    wanted = network.generate(**inputs, max_new_tokens=6, do_sample=False, num_beams=1)[:, 1:]
    assert torch.equal(found, wanted[:, : found.shape[1]]) and (wanted[:, found.shape[1]:] == PAD).all()
    assert len(set(map(tuple, found.tolist()))) > 3         # not all alike, or this would show little
    assert torch.equal(network.shared.weight, state["shared.weight"])


def test_padding_does_not_change_an_answer(suite):
    asked, _ = suite.examples("similarity", "test", 6)
    network = with_weights(SOURCE, suite.base)
    together = answer_logits(network, questions(encode(SOURCE, asked)), torch.full((6, 2), 7))
    alone = torch.cat([answer_logits(network, questions(encode(SOURCE, [text])), torch.full((1, 2), 7)) for text in asked])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)       # fp32 sums of another length


def test_an_answer_ends_where_it_ends():
    class Network:
        """Says 5, then END to the first question, and 5 for ever to the second."""

        def __call__(self, attention_mask, decoder_input_ids, **inputs):
            logits = torch.zeros(2, decoder_input_ids.shape[1], 8)
            logits[:, :, 5] = 1
            if decoder_input_ids.shape[1] == 2:
                logits[0, :, END] = 2
            self.logits, self.encoder_last_hidden_state = logits, None
            return self
    found = generate(Network(), {"attention_mask": torch.ones(2, 3, dtype=torch.long)}, 4)
    assert found.tolist() == [[5, END, PAD, PAD], [5, 5, 5, 5]]


# --- scores

def test_exact_answers_count_and_numbers_are_ranked(suite, monkeypatch):
    replies = {task: list(suite.examples(task, "test")[1]) for task in NAMES}
    replies["inference"][:3] = ["neutral entailment", "", "Neutral"]
    replies["similarity"][0] = "much"
    monkeypatch.setattr(answers, "answer", lambda state, suite, asked, wanted: (
        next(replies[task] for task in NAMES if suite.examples(task, "test")[0] == asked), 1.5, 0.25))
    table = ml.evaluate(suite.base, suite, hits=True).set_index("task")
    assert table.loc["inference", "accuracy"] == pytest.approx(27 / 30) and table.loc["sentiment", "accuracy"] == 1
    wanted = np.array([float(text) for text in suite.examples("similarity", "test")[1]])
    found = np.where(np.arange(30) == 0, 0, wanted)
    assert table.loc["similarity", "spearman"] == pytest.approx(spearmanr(found, wanted).statistic)
    assert np.isnan(table.loc["similarity", "accuracy"]) and np.isnan(table.loc["inference", "spearman"])
    assert table.loc["inference", "low"] < 0.9 < table.loc["inference", "high"]
    assert (table["n"] == 30).all() and (table["loss"] == 1.5).all()
    assert ml.evaluate(suite.base, suite, ["inference"], hits=True)["hits"].item() == pack_hits(np.arange(30) >= 3)


def test_numbers_and_their_correlation():
    assert as_numbers(["2.5", "yes", "", "nan", "inf"]).tolist() == [2.5, 0, 0, 0, 0]
    assert rank_correlation(np.ones(5), np.arange(5)) == 0
    assert rank_correlation(np.arange(5), np.arange(5) ** 3) == pytest.approx(1)
    low, high = rho_interval(0.5, 103)
    assert (math.atanh(high) - math.atanh(low)) / 2 == pytest.approx(1.96 * 0.10296, rel=1e-3)
    assert -1 <= rho_interval(1.0, 4)[0] < rho_interval(1.0, 4)[1] <= 1


def test_what_answers_contribute_to_a_rank_correlation():
    wanted, noise = np.random.default_rng(0).integers(11, size=400) / 2, np.random.default_rng(1)
    found = np.clip(wanted + noise.integers(-3, 4, size=400) / 2, 0, 5)
    shares, rho = rank_shares(found, wanted), spearmanr(found, wanted).statistic
    assert shares.mean() == pytest.approx(rho)
    without = [spearmanr(np.delete(found, i), np.delete(wanted, i)).statistic for i in (0, 17)]
    assert shares[0] - shares[17] == pytest.approx(399 * (without[1] - without[0]))
    drawn = [spearmanr(found[rows], wanted[rows]).statistic for rows in noise.integers(400, size=(1000, 400))]
    assert shares.std() / 20 == pytest.approx(np.std(drawn), rel=0.1)       # 1000 draws know a spread to 2 %
    assert rank_shares(np.ones(9), np.arange(9)).tolist() == [0.0] * 9      # who says the same always


def test_loss_and_entropy_are_those_of_transformers(suite):
    asked, wanted = suite.examples("inference", "test")
    found, loss, entropy = answers.answer(suite.base, suite, asked, wanted)
    inputs, labels = questions(encode(SOURCE, asked)), torch.as_tensor(encode(SOURCE, wanted))
    network = own_network(suite, suite.base)
    assert loss == pytest.approx(network(**inputs, labels=labels).loss.item(), rel=1e-5)
    assert len(found) == 30 and 0 < entropy < math.log(SOURCE.network().config.vocab_size)


# --- merging

def test_task_vectors_are_b_a_and_the_rest_stays(suite):
    merged = ml.merge("task-arithmetic", suite.base, suite.experts, lam=0.3)
    for name in suite.base:
        taus = [2.0 * expert.weights[f"{name}B"] @ expert.weights[f"{name}A"] for expert in suite.experts.values()
                if name in expert.touched]
        wanted = suite.base[name] + 0.3 * sum(taus) if taus else suite.base[name]
        torch.testing.assert_close(merged[name], wanted, rtol=1e-5, atol=1e-6)
        assert bool(taus) == bool(re.search(ENCODER_MATRICES, name))


@pytest.mark.parametrize("method", ["weight-average", "ties", "tsv-m", "knots", "iso-c", "emr", "doge-ta", "norm-lambda"])
def test_data_free_methods_merge_adapters(suite, method):
    options = {"eta": 0.1, "steps": 5} if method == "doge-ta" else {}
    merged = ml.merge(method, suite.base, suite.experts, **options)
    table = ml.evaluate(merged, suite, ["inference"])
    assert 0 <= table["accuracy"].item() <= 1 and np.isfinite(table["loss"].item())


@pytest.mark.parametrize("answer", ["generated", "first"])
@pytest.mark.parametrize("method, options", [
    ("adamerging++", {"steps": 2}), ("concrete-ta", {"mask_steps": 2}), ("concrete-am", {"mask_steps": 1, "steps": 1}),
    ("doge-am", {"steps": 1, "solver_steps": 2, "preset": "code"})])
def test_what_learns_on_test_inputs_learns_on_questions(suite, method, options, answer):
    merged = ml.merge(method, suite.base, suite.experts, suite=suite, answer=answer, batch=4, **options)
    assert set(merged) == set(suite.base) and all(torch.isfinite(tensor).all() for tensor in merged.values())
    assert torch.equal(merged["shared.weight"], suite.base["shared.weight"])
    assert any(not torch.equal(merged[name], suite.base[name]) for name in merged)


def test_questions_are_learned_from_without_their_answers(suite, monkeypatch):
    inside = Questions.examples
    monkeypatch.setattr(Questions, "examples", lambda self, *where: (inside(self, *where)[0], None))
    ml.merge("adamerging", suite.base, suite.experts, suite=suite, steps=1, batch=4)


@pytest.mark.parametrize("method", ["fisher", "tatr", "surgery", "twin", "wemoe", "doge-gradients"])
def test_methods_for_pictures_say_so(suite, method):
    with pytest.raises(ValueError, match="needs what tiny does not have.*adamerging"):
        ml.merge(method, suite.base, suite.experts, suite=suite)


def test_an_unknown_reading_is_named(suite):
    with pytest.raises(ValueError, match="answer is 'last'; it can be 'generated', 'first'"):
        ml.merge("adamerging", suite.base, suite.experts, suite=suite, steps=1, batch=4, answer="last")
    with pytest.raises(ValueError, match="no network 'tiny'"):
        base = {**suite.base, "more": torch.zeros(2)}
        ml.merge("adamerging", base, {"inference": {**base, "more": torch.ones(2)}}, suite=suite)


# --- the objectives

def test_entropy_of_generated_answers_by_hand(suite):
    ids = encode(SOURCE, suite.examples("sentiment", "test", 5)[0])
    found = answer_entropy("generated", 2, SOURCE, suite.base, {"sentiment": ids}, {})
    network, one_by_one = own_network(suite, suite.base), []
    for row in ids:
        inputs = questions(row[None])
        tokens = network.generate(**inputs, max_new_tokens=2, do_sample=False, num_beams=1)
        p = network(**inputs, decoder_input_ids=tokens[:, :-1]).logits[0].softmax(dim=1)
        one_by_one.append(-(p * p.log()).sum(dim=1).mean().item())
    assert found.item() == pytest.approx(np.mean(one_by_one), rel=1e-5)


def test_entropy_of_the_first_token_by_hand(suite):
    ids = encode(SOURCE, suite.examples("sentiment", "test", 5)[0])
    found = answer_entropy("first", 2, SOURCE, suite.base, {"sentiment": ids}, {})
    logits = own_network(suite, suite.base)(**questions(ids), decoder_input_ids=torch.full((5, 1), 1)).logits
    p = logits[:, 0].mean(dim=0).softmax(dim=0)
    assert found.item() == pytest.approx(-(p * p.log()).sum().item(), rel=1e-5)


@pytest.mark.parametrize("answer", ["generated", "first"])
def test_tasks_that_go_through_together_count_one_by_one(suite, answer):
    drawn = {task: encode(SOURCE, suite.examples(task, "test", 3 + i)[0]) for i, task in enumerate(NAMES)}
    entropy = partial(answer_entropy, answer, 2, SOURCE, suite.base)
    alone = [entropy({task: ids}, {}).item() for task, ids in drawn.items()]
    assert len({ids.shape for ids in drawn.values()}) == 3
    assert entropy(drawn, {}).item() == pytest.approx(sum(alone), rel=1e-5)       # fp32 sums of another length


def test_padding_counts_in_no_entropy():
    logits = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[4, END, PAD], [4, 5, END]])
    p = logits.softmax(dim=2)
    each = -(p * p.log()).sum(dim=2)
    torch.testing.assert_close(token_entropy(logits, tokens), torch.stack([each[0, :2].mean(), each[1].mean()]))


@pytest.mark.parametrize("answer", ["generated", "first"])
def test_the_gradient_reaches_the_weights(suite, answer):
    ids = encode(SOURCE, suite.examples("sentiment", "test", 4)[0])
    name = "encoder.block.0.layer.0.SelfAttention.v.weight"
    loss = partial(answer_entropy, answer, 2, SOURCE, suite.base, {"sentiment": ids})
    weight = suite.base[name].clone().requires_grad_()
    loss({name: weight}).backward()
    step = 1e-2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rise = (loss({name: weight + step}) - loss({name: weight - step})).item() / 2
    # a central difference in fp32: a few percent, unless a greedy answer flips
    assert rise == pytest.approx((weight.grad * step).sum().item(), rel=0.05, abs=1e-5)


# --- measuring

def test_rows_have_each_task_s_own_metric(suite, tmp_path, one_process):
    ledger = Ledger(tmp_path / "results")
    jobs = [Job("pretrained"), Job("individual"), Job("task-arithmetic", "", {"lam": 0.3})]
    table = measure("test", suite, jobs, ledger=ledger)
    metrics = table.groupby("task")["metric"].unique().map(set).to_dict()
    assert metrics["similarity"] == {"spearman", "loss", "entropy"} and metrics["inference"] == {"accuracy", "loss", "entropy"}
    wide = accuracy_table(table)
    assert list(wide.columns) == [*NAMES, "Avg"] and wide.notna().all(axis=None)
    again = measure("test", suite, [Job("pretrained")], ledger=Ledger(tmp_path / "results"))
    assert len(again) == 9
    averaged = averages(table).set_index("label")["accuracy"]
    assert averaged.to_dict() == pytest.approx(wide["Avg"].to_dict(), abs=0.05)         # shares are kept with four digits


def test_the_answers_of_every_task_are_one_word():
    for task, words in ANSWERS.items():
        assert (encode(OurT5("text-small"), words)[:, 1] == END).all(), task
