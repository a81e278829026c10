"""How good are a model's answers in words? Exact match, and Spearman's rho where the answers are numbers."""

import math

import numpy as np
import torch

from ..networks.t5 import (
    BATCH,
    answer_logits,
    answer_loss,
    decode,
    encode,
    encoded,
    generate,
    questions,
    token_entropy,
    with_weights,
)
from .intervals import rho_interval, wilson


def measure_answers(model, suite, task, split):
    """(numbers, hits) of one task: what `evaluate` says of it, and what each answer contributes to its score (N).

    `model`: a state dict, or a mapping from task to such. The metric is "spearman" for the suite's graded tasks, else
    "accuracy"; loss is the cross-entropy of the right answers (nats per token), entropy that of the answers given. Hits
    say which answers are exactly right; for rho see `rank_shares`.
    """
    asked, wanted = suite.examples(task, split)
    found, loss, entropy = answer(model.get(task, model), suite, asked, wanted)
    if task in suite.graded:
        found, wanted = as_numbers(found), as_numbers(wanted)
        rho, hits = rank_correlation(found, wanted), rank_shares(found, wanted)
        numbers = {"spearman": rho, **dict(zip(("low", "high"), rho_interval(rho, len(wanted))))}
    else:
        hits = np.array([text == right for text, right in zip(found, wanted)])
        numbers = {"accuracy": float(hits.mean()), **dict(zip(("low", "high"), wilson(int(hits.sum()), len(hits))))}
    return {**numbers, "n": len(wanted), "loss": loss, "entropy": entropy}, hits


@torch.inference_mode()
def answer(state, suite, asked, wanted):
    """What a state dict answers to some questions (texts), its mean loss for the answers wanted, and its mean entropy."""
    state, source = {name: state[name] for name in state}, suite.source       # an adapter becomes dense, once
    network, device = with_weights(source, state), next(iter(state.values())).device
    ids, right = encode(source, asked), encode(source, wanted)
    found, losses, entropies = [], [], []
    for rows in np.array_split(np.arange(len(ids)), math.ceil(len(ids) / BATCH)):
        inputs, labels = encoded(network, questions(ids[rows], device)), torch.as_tensor(right[rows], device=device)
        tokens = generate(network, inputs, suite.longest)
        found += decode(source, tokens)
        entropies.append(token_entropy(answer_logits(network, inputs, tokens), tokens))
        losses.append(answer_loss(answer_logits(network, inputs, labels), labels).item() * len(rows) / len(ids))
    return found, sum(losses), torch.cat(entropies).mean().item()


def as_numbers(texts):
    """Texts as numbers; what is none counts as 0, as in FusionBench."""
    def number(text):
        try:
            return float(text)
        except ValueError:
            return 0.0
    return np.nan_to_num([number(text) for text in texts], posinf=0.0, neginf=0.0)


def rank_correlation(found, wanted):
    """Spearman's rho; 0 where one side is constant and says nothing."""
    from scipy.stats import spearmanr  # takes most of a second to import
    return 0.0 if np.ptp(found) == 0 or np.ptp(wanted) == 0 else float(spearmanr(found, wanted).statistic)


def rank_shares(found, wanted):
    """What each of N answers contributes to Spearman's rho: numbers with mean rho and the jackknife's spread.

    Zeros and ones are the same for an accuracy, so that averages and gaps treat both alike.
    """
    _, first, which = np.unique([found, wanted], axis=1, return_index=True, return_inverse=True)       # equal pairs count alike
    without = np.array([rank_correlation(np.delete(found, i), np.delete(wanted, i)) for i in first])[which.ravel()]
    return rank_correlation(found, wanted) + (len(found) - 1) * (without.mean() - without)
