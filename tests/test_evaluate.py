"""How good is a state dict? The interval, the scores and the whole measurement, by hand on a network of three numbers."""

import math

import numpy as np
import pytest
import torch
from conftest import TinySuite
from torch import nn

from mergelib.measure.intervals import wilson
from mergelib.measure.scoring import evaluate, pack_hits, score, unpack_hits
from mergelib.suites import pictures as suite_of_pictures


@pytest.mark.parametrize("hits, n, low, high", [    # Newcombe 1998, Table I, method 3; printed with four digits
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_wilsons_interval_is_the_published_one(hits, n, low, high):
    assert wilson(hits, n) == pytest.approx((low, high), abs=6e-5)
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=6e-5)


def test_scores_by_hand():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]]))
    labels = np.array([0, 1, 2, 1])       # three of four are right
    found = score(logits, labels)
    rows = [[0.7, 0.2, 0.1], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]]
    assert (found["accuracy"], found["n"]) == (0.75, 4)
    assert (found["low"], found["high"]) == wilson(3, 4)
    assert found["loss"] == pytest.approx(-sum(map(math.log, (0.7, 0.25, 0.8, 0.6))) / 4)
    assert found["entropy"] == pytest.approx(-sum(p * math.log(p) for row in rows for p in row) / 4)


@pytest.mark.parametrize("count", [1, 7, 8, 600])
def test_hits_come_back_from_text(count):
    right = np.random.default_rng(0).random(count) < 0.5
    assert np.array_equal(unpack_hits(pack_hits(right), count), right)
    shares = np.random.default_rng(1).normal(size=count)
    np.testing.assert_allclose(unpack_hits(pack_hits(shares), count), shares, rtol=1e-3, atol=1e-6)      # 11 binary digits


# --- the whole measurement: a tower that gives a picture's mean colour times three weights

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, images):
        return images.mean(dim=(2, 3)) * self.weight


def pictures(names, labels):
    return np.array([np.full((32, 32, 3), COLOURS[name], np.uint8) for name in names]), np.array(labels)


@pytest.fixture
def suite(monkeypatch):
    """Task `all` has a class per colour; `warm` asks for red against blue and has one wrong label in its test split."""
    known = {("all", "test"): pictures(["red", "green", "blue"] * 3, [0, 1, 2] * 3),
             ("warm", "test"): pictures(["red", "blue", "blue", "red"], [0, 1, 1, 1]),
             ("warm", "validation"): pictures(["blue"], [0])}
    heads = {"all": torch.eye(3), "warm": torch.eye(3)[:, [0, 2]]}
    tower = Tower().requires_grad_(False)
    monkeypatch.setattr(suite_of_pictures, "empty_tower", lambda model, device: tower)
    return TinySuite("tiny", "tiny", 0, {}, {"all": {}, "warm": {}}, heads, "0", pools=known)


def test_every_task_is_measured_with_its_own_head(suite):
    table = evaluate({"weight": torch.ones(3)}, suite).set_index("task")
    assert table["accuracy"].to_dict() == {"all": 1.0, "warm": 0.75}
    assert table["n"].to_dict() == {"all": 9, "warm": 4}
    assert table.loc["warm", ["low", "high"]].tolist() == list(wilson(3, 4))


def test_tasks_and_split_are_those_asked_for(suite):
    table = evaluate({"weight": torch.ones(3)}, suite, ["warm"], split="validation")
    assert table[["task", "accuracy", "n"]].values.tolist() == [["warm", 0.0, 1]]


def test_the_state_dict_is_what_is_measured(suite):
    accuracy = [evaluate({"weight": torch.tensor(weight)}, suite, ["all"])["accuracy"].item()
                for weight in ([1.0, 1.0, 1.0], [-1.0, -1.0, -1.0], [1.0, 1.0, 1.0])]
    assert accuracy == [1.0, 0.0, 1.0]


def test_batches_do_not_change_the_result(suite, monkeypatch):
    state = {"weight": torch.tensor([0.2, 1.0, 0.7])}
    whole = evaluate(state, suite)
    monkeypatch.setattr(suite_of_pictures, "BATCH", 2)
    parts = evaluate(state, suite)
    assert parts["task"].tolist() == whole["task"].tolist()
    assert parts.drop(columns="task").to_numpy() == pytest.approx(whole.drop(columns="task").to_numpy(), rel=1e-6)   # fp32
