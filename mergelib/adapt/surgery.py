"""How far are a merged model's features from the experts', and can a small module close the gap? Representation Surgery."""

from typing import Annotated
from zlib import crc32

import numpy as np
import torch
from torch import nn
from torch.nn.functional import l1_loss, normalize

from ..methods import EXEMPLARS, METHODS, TEST_PICTURES, Method
from ..methods.options import Batch, Rate, Says, Seed, Split, Steps
from ..methods.tensors import keyed
from ..methods.trust import TATR
from ..networks.training import Recipe
from .building import on
from .learning import draw, learn, merged_identity, sizes_of

Rank = Annotated[int, Says("of a task's module", least=1)]
Updates = Annotated[int, Says("of the modules in each step", least=1)]
Normalised = Annotated[bool, Says("whether the modules see unit-length features")]


class Operated:
    """A merged state dict with a surgery module per task, which the task's name picks at inference."""

    def __init__(self, state, modules, normalised):
        self.state, self.modules, self.normalised = state, modules, normalised

    def features(self, suite, task, images):
        """Unit-length features (N x embedding) of normalised images, the task's bias taken out."""
        z = suite.features(self.state, images)
        return normalize(self.modules[task](normalize(z, dim=1) if self.normalised else z), dim=1)


class Bias(nn.Module):
    """z - W_up relu(W_down z) (Yang et al. 2024, Eq. 3): nothing at first, for W_up starts at zero."""

    def __init__(self, width, rank, *key):
        super().__init__()
        bound = width**-0.5         # Kaiming's uniform rule with a = sqrt 5, PyTorch's own for linear layers
        self.down = nn.Parameter((2 * torch.rand(rank, width, generator=keyed("surgery", *key)) - 1) * bound)
        self.up = nn.Parameter(torch.zeros(width, rank))

    def forward(self, z):
        return z - torch.relu(z @ self.down.T) @ self.up.T


def surgery(merged, experts, suite, rank: Rank = 16, steps: Steps = 500, updates: Updates = 2, batch: Batch = 16,
            lr: Rate = 1e-3, normalised: Normalised = False, split: Split = "test", seed: Seed = 0):
    """Learn a module per task that moves a merged model's features to the expert's: least mean |z - z_expert| (Eq. 4).

    `merged`, `experts` (task -> state): state dicts of the suite's tower; unlabelled pictures of `split`, `batch` per task and
    update, `updates` in each of `steps` steps of Adam (rate `lr`; two as released). `normalised`: on unit-length features
    (FusionBench) or as they come (as released). Gives an `Operated`.
    """
    pools = {task: suite.inputs(task, split) for task in experts}
    pairs = {task: tuple(suite.features(state, pool) for state in (merged, experts[task]))
             for task, pool in pools.items()}
    if normalised:
        pairs = {task: tuple(normalize(z, dim=1) for z in pair) for task, pair in pairs.items()}
    modules = nn.ModuleDict({task: Bias(z.shape[1], rank, seed, task).to(z.device) for task, (z, _) in pairs.items()})

    def loss_of(step, rng):
        key = rng.integers(2**32)
        rows = {task: draw(np.arange(len(pool)), batch, [key, crc32(task.encode())]) for task, pool in pools.items()}
        return sum(l1_loss(modules[task](z[rows[task]]), target[rows[task]]) for task, (z, target) in pairs.items())

    recipe = Recipe(steps * updates, batch, lr, weight_decay=0.0, seed=seed)
    identity = merged_identity(sizes_of(merged, experts), suite, recipe, "surgery", rank, normalised, split, tuple(experts))
    learn(modules, loss_of, recipe, identity, "learning surgery")
    return Operated(merged, modules.requires_grad_(False), normalised)


def surgery_stores(base, count, rank=16, **_):
    """What is kept, in models: the merged one, and two small matrices for each task."""
    return 1 + 2 * count * rank * base["proj"].shape[1] / sum(tensor.numel() for tensor in base.values())


CLOSING = {"finish": surgery, "stores": surgery_stores, "inference": "one model and the task's module", "towers_only": True}
METHODS["surgery"] = Method(
    "Representation Surgery", paper="Yang et al. 2024", equation="Eq. 3, 4", url="https://arxiv.org/abs/2402.02705",
    data=(TEST_PICTURES,), presets=on("task-arithmetic", "weight-average", "adamerging", "doge-ta"), **CLOSING)
METHODS["surgery+tatr-zero-shot"] = Method("Representation Surgery & TATR zero-shot", equation="Eq. 13", **TATR,
                                           data=(TEST_PICTURES,), presets=on("tatr-zero-shot"), **CLOSING)
METHODS["surgery+tatr"] = Method("Representation Surgery & TATR", equation="Eq. 13", **TATR, data=(TEST_PICTURES, EXEMPLARS),
                                 presets=on("tatr"), **CLOSING)
