"""Where do tasks conflict? Components of task vectors, the loss between them, and layers' sensitivity, each recomputed."""


import numpy as np
import pandas as pd
import pytest
import torch
from conftest import losses, vectors
from torch.nn.functional import cross_entropy

from mergelib import experiments as ex
from mergelib.adapt.gradients import loss_gradient, tower_with
from mergelib.experiments import learning, trust_region
from mergelib.experiments.vectors import by_depth
from mergelib.measure.ledger import Ledger
from mergelib.networks.clip import image_features, normalise_pixels

TARGETS = ("signs", trust_region.ALL)


def sums(suite, target, lam):
    """The vector of a target's components, and the gradient that decides on them."""
    taus, everything = vectors(suite), target == trust_region.ALL
    gradients = [loss_gradient(suite.base, suite, task, "train", 8) for task in (suite.tasks if everything else (target,))]
    others = [tau for task, tau in taus.items() if everything or task != target]
    return {name: (lam * sum(tau[name] for tau in others), sum(g[name] for g in gradients)) for name in suite.base}


@pytest.mark.parametrize("target", TARGETS)
def test_components_are_the_sum_of_the_others_taken_apart(labelled, target):
    parts, whole = trust_region.components(labelled, target, 0.02, 0.3, examples=8), sums(labelled, target, 0.3)
    entries, left = {part: 0 for part in parts}, 0.0
    for name, (vector, gradient) in whole.items():
        masks = {part: parts[part][name] != 0 for part in parts}
        assert sum(mask.int() for mask in masks.values()).max() <= 1
        torch.testing.assert_close(sum(parts[part][name] for part in parts), vector, rtol=0, atol=1e-7)     # fp32 around 0.02
        product = gradient * vector
        assert (product[masks["positive"]] > 0).all() and (product[masks["negative"]] < 0).all()
        left = max([left, *product[masks["orthogonal"]].abs().tolist()])
        entries = {part: n + masks[part].sum().item() for part, n in entries.items()}
    size = sum(vector.numel() for vector, _ in whole.values())
    assert entries["positive"] + entries["negative"] == int(0.02 * size) and min(entries.values()) > 0.005 * size
    taken = torch.cat([(gradient * (parts["positive"][name] + parts["negative"][name])).flatten()
                       for name, (_, gradient) in whole.items()]).abs()
    assert taken[taken > 0].min() > 0.999 * left         # the greatest are taken; gradients have roundings


@pytest.fixture
def coarse(monkeypatch):
    monkeypatch.setattr(trust_region, "AXIS", (0.0, 1.0))
    monkeypatch.setattr(trust_region, "PICTURES", 8)


def summed_loss(suite, target, state):
    tasks = suite.tasks if target == trust_region.ALL else (target,)
    return sum(losses(suite, state, task, 8)[0].mean().item() for task in tasks)


def test_the_corners_of_a_landscape_are_the_base_with_one_part_each(labelled, ledger, coarse):
    points, base = ex.landscapes(labelled, TARGETS, 0.05, 0.6, ledger)
    assert len(points) == 2 * 4 and base["target"].tolist() == [*TARGETS]
    for target in TARGETS:
        parts = trust_region.components(labelled, target, 0.05, 0.6)
        found = points[points["target"] == target].set_index(["x", "y"])["loss"]
        states = {part: {name: labelled.base[name] + parts[part][name] for name in labelled.base} for part in parts}
        expected = {(0, 0): "orthogonal", (1, 0): "positive", (0, 1): "negative"}
        losses = {place: summed_loss(labelled, target, states[part]) for place, part in expected.items()}
        assert {place: found[place] for place in expected} == pytest.approx(losses, abs=3e-5)         # five digits, fp32
        assert len({round(value, 3) for value in losses.values()}) == 3, "the corners are alike, so this shows nothing"


def test_the_base_lies_on_the_plane_where_least_squares_put_it(labelled, ledger, coarse):
    base = ex.landscapes(labelled, TARGETS, 0.05, 0.6, ledger)[1].set_index("target")
    for target in TARGETS:
        parts = trust_region.components(labelled, target, 0.05, 0.6)
        orthogonal, positive, negative = (torch.cat([parts[part][name].flatten() for name in labelled.base]).double().numpy()
                                          for part in ("orthogonal", "positive", "negative"))
        axes = np.stack([positive - orthogonal, negative - orthogonal], axis=1)
        expected = np.linalg.lstsq(axes, -orthogonal, rcond=None)[0]
        np.testing.assert_allclose(base.loc[target, ["x", "y"]].astype(float), expected, atol=1e-5)       # five digits


def test_a_landscape_is_measured_once(labelled, ledger, coarse, monkeypatch):
    first = ex.landscapes(labelled, TARGETS[:1], 0.05, 0.6, ledger)
    monkeypatch.setattr(trust_region, "components", None)
    again = ex.landscapes(labelled, TARGETS[:1], 0.05, 0.6, Ledger(ledger.folder))
    for ours, theirs in zip(again, first):
        pd.testing.assert_frame_equal(ours, theirs)
    with pytest.raises(TypeError):
        ex.landscapes(labelled, TARGETS[:1], 0.05, 0.7, Ledger(ledger.folder))


def slow_sensitivity(suite, task, count):
    """Tensor -> mean over entries of the mean absolute gradient of a task's pictures times the others' sizes."""
    tower, taus = tower_with(suite.base, suite), vectors(suite)
    pixels, labels = suite.pictures(task, "train", count)
    found = dict.fromkeys(suite.base, 0.0)
    for i in range(count):
        tower.zero_grad()
        scores = image_features(tower, normalise_pixels(pixels[i:i + 1])) @ suite.heads[task]
        cross_entropy(scores, torch.as_tensor(labels[i:i + 1])).backward()
        for name, weight in tower.named_parameters():
            sizes = sum(tau[name].abs() for other, tau in taus.items() if other != task)
            found[name] += (weight.grad.abs() * sizes).mean().item() / count
    return found


def test_the_sensitivity_of_a_layer_is_that_of_its_entries(labelled, ledger):
    table = ex.layer_sensitivity(labelled, 3, ledger)
    assert table.index.tolist() == [learning.short(name) for name in by_depth(labelled.base)] and {*table} == {*labelled.tasks}
    for task in labelled.tasks:
        expected = slow_sensitivity(labelled, task, 3)
        # four digits are within 5e-4; gradients of one picture and of many differ by roundings
        np.testing.assert_allclose(table[task], [expected[name] for name in by_depth(expected)], rtol=1e-3)


def test_sensitivities_are_measured_once(labelled, ledger, monkeypatch):
    first = ex.layer_sensitivity(labelled, 1, ledger)
    monkeypatch.setattr(trust_region, "absolute_gradient", None)
    pd.testing.assert_frame_equal(ex.layer_sensitivity(labelled, 1, Ledger(ledger.folder)), first)
    with pytest.raises(TypeError):
        ex.layer_sensitivity(labelled, 2, Ledger(ledger.folder))


def test_corners_are_the_three_components():
    points = pd.DataFrame([(target, x, y, 10 * x + y + shift) for target, shift in (("signs", 0.0), ("all tasks", 5.0))
                           for x in (-0.2, 0.0, 1.0) for y in (0.0, 0.5, 1.0)], columns=["target", "x", "y", "loss"])
    table = ex.corners(points)
    assert table.loc["signs"].to_dict() == {"orthogonal": 0, "positive": 10, "negative": 1}
    assert table.loc["all tasks"].tolist() == [5, 15, 6]
