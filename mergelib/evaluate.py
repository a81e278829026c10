"""How good is a state dict on some tasks? Accuracy with its confidence interval, loss and entropy."""

import base64

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from .models import empty_tower, image_features, mean_entropy, normalise_pixels

BATCH = 200      # pictures per forward pass


def evaluate(state, suite, tasks=None, split="test", hits=False):
    """Measure one image tower on tasks of a suite with their frozen heads.

    `state`: state dict of the tower; `tasks`: default all of the suite's. Returns a DataFrame with a row per task: task,
    accuracy (fraction), low, high (95 % Wilson interval over the pictures), n, loss (cross-entropy, nats), entropy (of the
    prediction, mean, nats); with `hits` also which pictures were classified rightly (see `pack_hits`).
    """
    rows = []
    for task in suite.tasks if tasks is None else tasks:
        pixels, labels = suite.pictures(task, split)
        scores = logits(state, suite, task, pixels)
        right = {"hits": pack_hits(scores.argmax(dim=1).numpy() == labels)} if hits else {}
        rows.append({"task": task, **score(scores, labels), **right})
    return pd.DataFrame(rows)


def pack_hits(right):
    """A vector of booleans as text, a bit each (base64)."""
    return base64.b64encode(np.packbits(right)).decode()


def unpack_hits(text, count):
    """The `count` booleans that `pack_hits` turned into text; ValueError if the text holds fewer."""
    if 6 * len(text) < count:
        raise ValueError(f"Which of {count} pictures were right was not kept for this measurement. Measure it again with "
                         f"recompute=True.")
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(bool)


@torch.inference_mode()
def logits(state, suite, task, pixels):
    """Logits (N x classes) of one task's pictures (uint8 N x 32 x 32 x 3) under a state dict, computed where the head lies."""
    head = suite.heads[task]
    tower = empty_tower(suite.model, head.device)
    tower.load_state_dict(state)
    return torch.cat([(image_features(tower, normalise_pixels(batch, head.device)) @ head).cpu()
                      for batch in np.array_split(pixels, max(1, round(len(pixels) / BATCH)))])


def score(scores, labels):
    """Accuracy with interval, loss and entropy of logits (N x classes) against labels (N), as a dict."""
    labels = torch.as_tensor(labels)
    hits = (scores.argmax(dim=1) == labels).sum().item()
    low, high = wilson(hits, len(labels))
    return {"accuracy": hits / len(labels), "low": low, "high": high, "n": len(labels),
            "loss": cross_entropy(scores, labels).item(), "entropy": mean_entropy(scores).item()}


def wilson(hits, n, z=1.96):
    """Wilson's interval for a proportion: (low, high); z = 1.96 gives 95 %."""
    centre, spread = hits + z * z / 2, z * (hits * (n - hits) / n + z * z / 4) ** 0.5
    return (centre - spread) / (n + z * z), (centre + spread) / (n + z * z)
