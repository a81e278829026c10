"""How does a merge learn without labels? Draws of inputs, their entropies, a loss that flows into few numbers, and resuming."""

import hashlib
from functools import partial
from zlib import crc32

import numpy as np

from ..networks.training import constant, fit
from ..paths import CACHE


def learn(model, loss_of, recipe, identity, title):
    """Train a module at a constant rate, in place; can be killed and resumes where a call of the same `identity` was."""
    checkpoint = CACHE / "adapt" / f"{identity}.pt"
    fit(model, loss_of, recipe, checkpoint, title, constant)
    checkpoint.unlink(missing_ok=True)      # the next call learns anew


def entropies(base, tasks, suite, batch, split, answer="generated"):
    """A function of a random generator that draws `batch` unlabelled inputs per task and gives losses for `summed_loss`.

    Each is the entropy of a few tasks, at most `suite.entropy_batch` inputs together. Raises ValueError for another network's
    base.
    """
    if different := sorted(set(base) ^ set(suite.tensors)):
        raise ValueError(f"The base is no network {suite.model!r}, on which {suite.name} runs; they differ in "
                         f"{', '.join(different[:3])}{' and more' if len(different) > 3 else ''}.")
    fixed = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in base.items()}
    group, pools = max(1, suite.entropy_batch // batch), {task: suite.inputs(task, split) for task in tasks}

    def losses_of(rng):
        key = rng.integers(2**32)
        drawn = {task: draw(pool, batch, [key, crc32(task.encode())]) for task, pool in pools.items()}
        return [partial(suite.entropy, fixed, answer, {task: drawn[task] for task in tasks[i:i + group]})
                for i in range(0, len(tasks), group)]

    return losses_of


def draw(pool, count, key):
    """`count` different pictures of a pool (all, if it has fewer), the same ones for the same key (a list of numbers)."""
    return pool[np.random.default_rng(key).permutation(len(pool))[:count]]


def summed_loss(merged, losses):
    """The sum of some losses of a merged model, as a scalar from which `merged` gets its gradients.

    `merged`: name -> tensor; each of `losses` maps such a state dict to a scalar. Every loss is differentiated with respect to
    the weights alone, one after the other, so one graph is in memory at a time. What flows on into the coefficients is one
    dot product each: dL / dlam_i = <dL / dtheta, tau_i>.
    """
    weights = {name: tensor.detach().requires_grad_() for name, tensor in merged.items()}
    total = 0.0
    for loss_of in losses:
        loss = loss_of(weights)
        loss.backward()
        total += loss.item()
    linear = sum((merged[name] * weight.grad).sum() for name, weight in weights.items() if weight.grad is not None)
    return linear + (total - linear.detach())


def merged_identity(tensors, suite, *settings):
    """A name for what is being learned: another one for other checkpoints, settings or tasks.

    Checkpoints are told apart by the sizes of their tensors to four digits, which do not depend on the order of a sum.
    """
    sizes = [(name, f"{theta_0.norm():.4g}", [f"{tau.norm():.4g}" for tau in taus]) for name, theta_0, taus in tensors]
    where = (suite.name, suite.model, suite.digest, suite.condition)
    return hashlib.sha256(repr([sizes, *where, *settings]).encode()).hexdigest()[:16]


def sizes_of(merged, experts):
    """A merged checkpoint and the experts' differences from it, as `merged_identity` takes them."""
    return [(name, tensor, [expert[name] - tensor for expert in experts.values()])
            for name, tensor in merged.items() if tensor.is_floating_point()]
