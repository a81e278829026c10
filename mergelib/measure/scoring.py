"""How good is a model on some tasks? Accuracy with its confidence interval, loss and entropy."""

import base64

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy, normalize

from ..networks.clip import PAPER_TOWERS, empty_tower, images_of, mean_entropy
from ..networks.t5 import is_text
from .answers import measure_answers
from .intervals import wilson

BATCH = 200      # pictures per forward pass


def evaluate(model, suite, tasks=None, split="test", hits=False):
    """Measure one model on tasks of a suite, pictures with their frozen heads.

    `model`: what `merge` gives, see `logits`; `tasks`: default all of the suite's. Returns a DataFrame with a row per task:
    task, accuracy (fraction), low, high (95 % interval over the samples: Wilson's), n, loss (cross-entropy, nats), entropy (of
    the prediction, mean, nats); with `hits` also which samples were right (see `pack_hits`). Of questions in words the
    accuracy is that of exact answers, and tasks whose answers are numbers have spearman in its place (see `answers`).
    """
    rows, measured = [], measure_answers if is_text(suite) else _measure_pictures
    for task in suite.tasks if tasks is None else tasks:
        numbers, right = measured(model, suite, task, split)
        rows.append({"task": task, **numbers, **({"hits": pack_hits(right)} if hits else {})})
    return pd.DataFrame(rows)


def _measure_pictures(model, suite, task, split):
    """(numbers, hits) of one task of pictures."""
    pixels, labels = suite.pictures(task, split)
    scores = logits(model, suite, task, pixels)
    return score(scores, labels), scores.argmax(dim=1).numpy() == labels


def pack_hits(right):
    """A vector as text (base64): booleans a bit each, numbers (what each answer contributes to a rank correlation) 16 bits."""
    right = np.asarray(right)
    return base64.b64encode(np.packbits(right) if right.dtype == bool else right.astype("<f2").tobytes()).decode()


def unpack_hits(text, count):
    """The `count` booleans or numbers that `pack_hits` turned into text; ValueError if the text holds fewer."""
    if 6 * len(text) < count:
        raise ValueError(f"Which of {count} pictures were right was not kept for this measurement. Measure it again with "
                         f"recompute=True.")
    stored = base64.b64decode(text)
    if len(stored) == 2 * count:
        return np.frombuffer(stored, "<f2").astype(float)
    return np.unpackbits(np.frombuffer(stored, np.uint8), count=count).astype(bool)


@torch.inference_mode()
def logits(model, suite, task, pixels):
    """Logits (N x classes) of one task's pictures (uint8 N x height x width x 3), computed where the head lies.

    `model`: a state dict of the suite's image tower; or, when the task's name is known at inference, a mapping from task to
    state dict; or an object whose `features(suite, task, images)` gives unit-length features (N x embedding).
    """
    head = suite.heads[task]
    if hasattr(model, "features"):
        features = [model.features(suite, task, images_of(suite, task, batch)) for batch in _batches(pixels)]
        return torch.cat([(z @ head).cpu() for z in features])
    return (normalize(raw_features(model.get(task, model), suite, task, pixels), dim=1) @ head).cpu()


@torch.inference_mode()
def raw_features(state, suite, task, pixels):
    """Features (N x embedding, not scaled) of one task's pictures under a state dict, computed where the task's head lies.

    `pixels`: pictures (uint8) or images that are normalised already (floats). The papers' towers compute in half precision on
    a GPU.
    """
    device = suite.heads[task].device
    tower = empty_tower(suite.model, device)
    tower.load_state_dict(state)
    with torch.autocast(device.type, torch.float16, enabled=suite.model in PAPER_TOWERS and device.type == "cuda"):
        if isinstance(pixels, torch.Tensor):
            return tower(pixels).float()
        return torch.cat([tower(images_of(suite, task, batch)).float() for batch in _batches(pixels)])


def _batches(pixels):
    """Pictures in parts of about `BATCH`."""
    return np.array_split(pixels, max(1, round(len(pixels) / BATCH)))


def score(scores, labels):
    """Accuracy with interval, loss and entropy of logits (N x classes) against labels (N), as a dict."""
    labels = torch.as_tensor(labels)
    hits = (scores.argmax(dim=1) == labels).sum().item()
    low, high = wilson(hits, len(labels))
    return {"accuracy": hits / len(labels), "low": low, "high": high, "n": len(labels),
            "loss": cross_entropy(scores, labels).item(), "entropy": mean_entropy(scores).item()}
