"""Which coefficients make a merged model surest of its predictions? AdaMerging's, learned on unlabelled pictures."""

import hashlib
from functools import partial
from zlib import crc32

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from ..methods.linear import weighted
from ..methods.tensors import one_of
from ..networks.clip import empty_tower, image_features, images_of, mean_entropy
from ..networks.t5 import answer_entropy, is_text
from ..networks.training import Recipe, constant, fit
from ..paths import CACHE

PICTURES = 128      # at most so many go through the network together, however many tasks there are
EVERY = 10          # steps from one look at the coefficients to the next


def learn_coefficients(tensors, base, tasks, suite, granularity="layer", clamp=False, init=0.3, steps=500, batch=16, lr=1e-3,
                       split="test", seed=0, answer="generated", path=None):
    """First pass of AdaMerging: per tensor the T coefficients that minimise sum_t mean entropy (AdaMerging Sec. 3.2).

    `tensors()`: yields (name, theta_0, taus); tensors that it leaves out are the `base`'s; `tasks`: T names of tasks of
    `suite`, whose pictures of `split` are used without their labels. `granularity`: "layer", a coefficient per expert and
    tensor, or "task", one per expert. All start at `init` and take `steps` steps of Adam (rate `lr`) on `batch` pictures per
    task; `clamp` holds them in [0, 1]. Of a suite that asks in words, `answer` says whose entropy counts, see
    `texts.answer_entropy`. A dict `path` receives by tensor the coefficients every `EVERY` steps, T each time. Can be killed
    and resumes. Raises ValueError for another network's base.
    """
    model = Coefficients(tensors(), len(tasks), granularity, clamp, init, steps)
    losses_of = entropies(base, tasks, suite, batch, split, answer)
    recipe = Recipe(steps, batch, lr, weight_decay=0.0, seed=seed)
    identity = merged_identity(model.tensors, suite, recipe, granularity, clamp, init, split, tasks, answer)

    def loss_of(step, rng):
        model.note(step)
        return summed_loss(model(), losses_of(rng))

    learn(model, loss_of, recipe, identity, "learning coefficients")
    model.note(steps)
    if path is not None:
        names = [name for name, _, _ in model.tensors]
        path |= dict(zip(names, model.path.expand(-1, -1, len(names)).unbind(2)))
    return {"each": {name: {"coefficients": lam.detach()} for name, lam in model.by_tensor().items()}}


def learn(model, loss_of, recipe, identity, title):
    """Train a module at a constant rate, in place; can be killed and resumes where a call of the same `identity` was."""
    checkpoint = CACHE / "adapt" / f"{identity}.pt"
    fit(model, loss_of, recipe, checkpoint, title, constant)
    checkpoint.unlink(missing_ok=True)      # the next call learns anew


def entropies(base, tasks, suite, batch, split, answer="generated"):
    """A function of a random generator that draws `batch` unlabelled pictures per task and gives losses for `summed_loss`.

    Each is the entropy of a few tasks, at most `PICTURES` pictures or questions together; of the papers' language models, which
    are large, of one task. Raises ValueError for another network's base.
    """
    _check(base, tasks, suite)
    fixed = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in base.items()}
    group = max(1, PICTURES // batch)
    if is_text(suite):
        pools, group = {task: suite.questions(task, split) for task in tasks}, 1 if suite.source else group
        loss = partial(answer_entropy, answer, suite.longest, suite.source or suite.model, fixed)
    else:
        pools = {task: suite.pictures(task, split)[0] for task in tasks}
        loss = partial(entropy, fixed, suite)

    def losses_of(rng):
        key = rng.integers(2**32)
        drawn = {task: draw(pool, batch, [key, crc32(task.encode())]) for task, pool in pools.items()}
        return [partial(loss, {task: drawn[task] for task in tasks[i:i + group]})
                for i in range(0, len(tasks), group)]

    return losses_of


def _check(base, tasks, suite):
    """Raise ValueError unless a state dict is one of the suite's network."""
    names = set(suite.base) if is_text(suite) else set(empty_tower(suite.model, suite.heads[tasks[0]].device).state_dict())
    if different := sorted(set(base) ^ names):
        raise ValueError(f"The base is no network {suite.model!r}, on which {suite.name} runs; they differ in "
                         f"{', '.join(different[:3])}{' and more' if len(different) > 3 else ''}.")


def draw(pool, count, key):
    """`count` different pictures of a pool (all, if it has fewer), the same ones for the same key (a list of numbers)."""
    return pool[np.random.default_rng(key).permutation(len(pool))[:count]]


class Coefficients(nn.Module):
    """The learned lam (T x tensors, or T x 1) of a checkpoint's tensors; calling it gives the merged tensors by name."""

    def __init__(self, tensors, count, granularity="layer", clamp=False, init=0.3, steps=0):
        super().__init__()
        one_of("granularity", granularity, ("layer", "task"))
        self.tensors, self.clamp = list(tensors), clamp
        self.lam = nn.Parameter(torch.full((count, len(self.tensors) if granularity == "layer" else 1), float(init),
                                           device=self.tensors[0][1].device))
        self.register_buffer("path", self.lam.new_full((steps // EVERY + 1, *self.lam.shape), init))

    def note(self, step):
        """Keep the coefficients of every `EVERY`th step; they are part of what survives being killed."""
        if step % EVERY == 0:
            self.path[step // EVERY] = self.lam.detach().clamp(0, 1) if self.clamp else self.lam.detach()

    def by_tensor(self):
        """The T coefficients of each tensor, by name."""
        lam = (self.lam.clamp(0, 1) if self.clamp else self.lam).expand(-1, len(self.tensors))
        return {name: column for (name, _, _), column in zip(self.tensors, lam.T)}

    def forward(self):
        """theta_0 + sum_i lam_i tau_i for each tensor."""
        lam = self.by_tensor()
        return {name: weighted(theta_0, taus, lam[name]) for name, theta_0, taus in self.tensors}


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


def entropy(fixed, suite, drawn, weights):
    """Mean entropy (nats) of a model's predictions, summed over tasks (`drawn`: task -> pictures).

    `weights` replace those of `fixed`, a whole state dict. All pictures go through the tower together.
    """
    first = next(iter(drawn))
    tower = partial(functional_call, empty_tower(suite.model, suite.heads[first].device), {**fixed, **weights})
    features = image_features(tower, images_of(suite, first, np.concatenate(list(drawn.values()))))
    parts = features.split([len(pixels) for pixels in drawn.values()])
    return sum(mean_entropy(part @ suite.heads[task]) for task, part in zip(drawn, parts))


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
