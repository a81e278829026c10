"""Can training be killed at any step, and are its parts what they claim? The loop, the schedule, the losses' targets."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, normalize, one_hot, pad

from mergelib.networks import training
from mergelib.networks.training import Recipe, fit, warm_cosine
from mergelib.zoo.train import augment, contrastive_loss

RECIPE = Recipe(steps=12, batch=8, lr=0.05, weight_decay=0.05, seed=3)


class Run:
    """A tiny training run; `steps` are those that it took, `kill_at` the step at which it is killed."""

    def __init__(self, checkpoint, kill_at=None, recipe=RECIPE):
        torch.manual_seed(0)
        self.module, self.steps, self.kill_at = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)), [], kill_at
        fit(self.module, self.loss_of, recipe, checkpoint, "testing")

    def loss_of(self, step, rng):
        if step == self.kill_at:
            raise KeyboardInterrupt
        self.steps.append(step)
        inputs = torch.as_tensor(rng.standard_normal((RECIPE.batch, 4)), dtype=torch.float32)
        return mse_loss(self.module(inputs), inputs.prod(dim=1, keepdim=True))

    def weights(self):
        return torch.cat([weight.flatten() for weight in self.module.parameters()])


@pytest.fixture
def a_checkpoint_every_step(monkeypatch):
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=count(0, 60).__next__))       # a minute per look


@pytest.fixture
def uninterrupted(tmp_path):
    return Run(tmp_path / "uninterrupted.pt").weights()


@pytest.mark.parametrize("step", [0, 1, 5, 11])
def test_a_killed_run_goes_on_where_it_was_to_the_same_weights(tmp_path, a_checkpoint_every_step, uninterrupted, step):
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path / "run.pt", kill_at=step)
    resumed = Run(tmp_path / "run.pt")
    assert resumed.steps == [*range(step, RECIPE.steps)]
    assert torch.equal(resumed.weights(), uninterrupted)


def test_between_checkpoints_a_killed_run_repeats_some_steps(tmp_path, uninterrupted):
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path / "run.pt", kill_at=9)          # long before the first checkpoint
    resumed = Run(tmp_path / "run.pt")
    assert resumed.steps == [*range(RECIPE.steps)] and torch.equal(resumed.weights(), uninterrupted)


def test_a_finished_run_is_not_repeated(tmp_path, uninterrupted):
    again = Run(tmp_path / "uninterrupted.pt")
    assert again.steps == [] and torch.equal(again.weights(), uninterrupted)


@pytest.mark.parametrize("change", [{"lr": 0.01}, {"steps": 15}, {"seed": 4}])
def test_a_checkpoint_of_another_recipe_is_not_resumed(tmp_path, uninterrupted, change):
    recipe = replace(RECIPE, **change)
    changed = Run(tmp_path / "uninterrupted.pt", recipe=recipe)
    assert changed.steps == [*range(recipe.steps)]
    assert torch.equal(changed.weights(), Run(tmp_path / "fresh.pt", recipe=recipe).weights())


def test_a_checkpoint_that_is_killed_while_written_leaves_the_one_before(
        tmp_path, monkeypatch, a_checkpoint_every_step, uninterrupted):
    def save(state, file):
        if state["step"] == 7:
            file.write_bytes(b"half a checkpoint")
            raise KeyboardInterrupt
        saved(state, file)
    saved = torch.save
    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path / "run.pt")
    monkeypatch.setattr(torch, "save", saved)
    resumed = Run(tmp_path / "run.pt")
    assert resumed.steps[0] == 6 and torch.equal(resumed.weights(), uninterrupted)


def test_the_rate_warms_up_over_a_tenth_and_falls_to_zero():
    rates = [warm_cosine(step / 100) for step in range(101)]
    assert rates[:11] == pytest.approx([step / 10 for step in range(11)])
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[100] == pytest.approx(0)
    assert rates[55] == pytest.approx(0.5)           # half a cosine is at its middle halfway


# --- the contrastive loss

@pytest.fixture
def clip():
    """Stands in for a CLIP: linear towers over vectors."""
    draw = torch.Generator().manual_seed(0)
    visual, text = torch.randn(6, 4, generator=draw), torch.randn(5, 4, generator=draw)
    return SimpleNamespace(visual=lambda x: x @ visual, encode_text=lambda x: x @ text, logit_scale=torch.tensor(2.0))


def pairs(n):
    draw = torch.Generator().manual_seed(1)
    return torch.randn(n, 6, generator=draw), torch.randn(n, 5, generator=draw)


def similarities(clip, images, texts):
    return clip.logit_scale.exp() * normalize(clip.visual(images), dim=1) @ normalize(clip.encode_text(texts), dim=1).T


def test_with_distinct_labels_it_is_clips_loss(clip):
    images, texts = pairs(7)
    logits, target = similarities(clip, images, texts), torch.arange(7)
    expected = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(contrastive_loss(clip, images, texts, torch.tensor([4, 1, 9, 0, 3, 7, 2])), expected)


def test_pairs_of_one_class_share_the_target(clip):
    images, texts = pairs(4)
    labels = torch.tensor([0, 1, 0, 2])
    target = one_hot(torch.arange(4), 4).float()
    target[0] = target[2] = torch.tensor([0.5, 0, 0.5, 0])
    logits = similarities(clip, images, texts)
    expected = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(contrastive_loss(clip, images, texts, labels), expected)


# --- augmentation

def pictures(n=20):
    return torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def test_a_shift_only_moves_pixels():
    images = pictures()
    shifted = augment(images, np.random.default_rng(0), shift=2)
    padded = pad(images, (2, 2, 2, 2), mode="replicate")
    moves = [[(x, y) for x in range(5) for y in range(5) if torch.equal(picture, wide[:, y:y + 6, x:x + 6])]
             for picture, wide in zip(shifted, padded)]
    assert all(moves) and len({move for (move, *_) in moves}) > 5        # 20 draws of 25 moves: they are not all alike


def test_colour_scales_and_offsets_whole_channels():
    images = pictures()
    coloured = augment(images, np.random.default_rng(0), colour=0.5, shift=0)
    for before, after in zip(images.flatten(0, 1), coloured.flatten(0, 1)):
        slope = (after.max() - after.min()) / (before.max() - before.min())
        offset = after.max() - slope * before.max()
        assert 0.5 <= slope <= 1.5 and abs(offset) <= 0.5
        torch.testing.assert_close(after, slope * before + offset, rtol=0, atol=1e-5)       # fp32 around 1
    assert torch.equal(images, pictures())           # the pictures handed in are untouched
