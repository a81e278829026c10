"""How good is a state dict on some tasks? Accuracy with its confidence interval, loss and entropy."""

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from .models import empty_tower, image_features, mean_entropy, normalise_pixels

BATCH = 600      # pictures per forward pass


def evaluate(state, suite, tasks=None, split="test"):
    """Measure one image tower on tasks of a suite with their frozen heads.

    `state`: state dict of the tower; `tasks`: default all of the suite's. Returns a DataFrame with a row per task: task,
    accuracy (fraction), low, high (95 % Wilson interval over the pictures), n, loss (cross-entropy, nats), entropy (of the
    prediction, mean, nats).
    """
    rows = []
    for task in suite.tasks if tasks is None else tasks:
        pixels, labels = suite.pictures(task, split)
        rows.append({"task": task, **score(logits(state, suite, task, pixels), labels)})
    return pd.DataFrame(rows)


@torch.inference_mode()
def logits(state, suite, task, pixels):
    """Logits (N x classes) of one task's pictures (uint8 N x 32 x 32 x 3) under a state dict."""
    tower = empty_tower(suite.model)
    tower.load_state_dict(state)
    head = suite.heads[task]
    return torch.cat([image_features(tower, normalise_pixels(batch)) @ head
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
