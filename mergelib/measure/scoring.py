"""How good is a model on some tasks? Accuracy with its confidence interval, loss and entropy."""

import base64

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from ..networks.clip import mean_entropy
from .intervals import wilson


def evaluate(model, suite, tasks=None, split: str = "test", hits: bool = False) -> pd.DataFrame:
    """Measure one model on tasks of a suite, pictures with their frozen heads.

    `model`: what `merge` gives, see `PictureSuite.logits`; `tasks`: default all of the suite's. Returns a DataFrame with a row
    per task: task, accuracy (fraction), low, high (95 % interval over the samples: Wilson's), n, loss (cross-entropy, nats),
    entropy (of the prediction, mean, nats); with `hits` also which samples were right (see `pack_hits`). Of questions in words
    the accuracy is that of exact answers, and tasks whose answers are numbers have spearman in its place (see `answers`).

    >>> import mergelib as ml
    >>> suite = ml.load_suite("sketch-8")
    >>> list(evaluate(suite.base, suite, ["digits"], "validation"))
    ['task', 'accuracy', 'low', 'high', 'n', 'loss', 'entropy']
    """
    rows = []
    for task in suite.tasks if tasks is None else tasks:
        numbers, right = suite.measured(model, task, split)
        rows.append({"task": task, **numbers, **({"hits": pack_hits(right)} if hits else {})})
    return pd.DataFrame(rows)


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


def score(scores, labels):
    """Accuracy with interval, loss and entropy of logits (N x classes) against labels (N), as a dict."""
    labels = torch.as_tensor(labels)
    hits = (scores.argmax(dim=1) == labels).sum().item()
    low, high = wilson(hits, len(labels))
    return {"accuracy": hits / len(labels), "low": low, "high": high, "n": len(labels),
            "loss": cross_entropy(scores, labels).item(), "entropy": mean_entropy(scores).item()}
