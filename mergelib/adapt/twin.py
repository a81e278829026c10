"""Which expert should answer for a picture? Twin-Merging's router, which mixes them at inference (Lu et al. 2024)."""

from typing import Annotated

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from ..methods import METHODS, WHICH_TASK, Method
from ..methods.options import Batch, Rate, Says, Seed, Split, Steps
from ..methods.spectral import svd
from ..methods.tensors import along, keyed
from ..networks.training import Recipe
from .building import on
from .learning import learn, merged_identity, sizes_of

RankRatio = Annotated[float, Says("fraction of the singular directions of an expert that is kept", least=0, most=1)]
Grid = Annotated[int, Says("the router's weights are rounded to multiples of one over it", least=1)]


class Twin:
    """A shared model, what each expert knows beyond it (compressed), and a router that mixes them picture by picture."""

    def __init__(self, shared, exclusive, router, grid):
        self.shared, self.exclusive, self.router, self.grid = shared, exclusive, router, grid

    def features(self, suite, task, images):
        """Unit-length features of normalised images; pictures with the same rounded weights share one merged model."""
        weights = self.router(normalize(suite.features(self.shared, images), dim=1)).softmax(dim=1)
        kinds, kind = (weights * self.grid).round().unique(dim=0, return_inverse=True)
        features = images.new_empty(len(images), suite.heads[task].shape[0])
        for i, w in enumerate(kinds / self.grid):
            state = {name: tensor + along(w, self.exclusive[name]) if name in self.exclusive else tensor
                     for name, tensor in self.shared.items()}
            features[kind == i] = suite.features(state, images[kind == i])
        return normalize(features, dim=1)


def twin(merged, experts, suite, rank_ratio: RankRatio = 0.1, grid: Grid = 10, steps: Steps = 2000, batch: Batch = 1024,
         lr: Rate = 5e-4, split: Split = "validation", seed: Seed = 0):
    """Twin-Merging (Lu et al. 2024, Eq. 3 to 6): theta* + sum_t w_t(x) v_t, v_t the compressed theta_t - theta*.

    `merged`: theta*; matrices of v_t keep the first `rank_ratio` of their singular directions. The router, a small network on
    the shared model's features, learns in `steps` steps of Adam (about as many as the released 50 epochs of 44,000 pictures)
    which task a picture of `split` belongs to; its last state is taken, where the released code takes the one that is best on
    test pictures. `grid`: its weights are rounded to multiples of 1 / `grid`. Gives a `Twin`.
    """
    exclusive = {name: torch.stack([compressed(expert[name] - tensor, rank_ratio) for expert in experts.values()])
                 for name, tensor in merged.items() if tensor.is_floating_point()}
    features = [normalize(suite.features(merged, suite.inputs(task, split)), dim=1) for task in experts]
    labels = torch.cat([torch.full((len(z),), i, device=z.device) for i, z in enumerate(features)])
    features = torch.cat(features)
    router = _network(features.shape[1], 2 * features.shape[1], len(experts), "twin", seed).to(features.device)

    def loss_of(step, rng):
        rows = torch.as_tensor(rng.permutation(len(features))[:batch])
        return cross_entropy(router(features[rows]), labels[rows])

    recipe = Recipe(steps, batch, lr, weight_decay=0.0, seed=seed)
    identity = merged_identity(sizes_of(merged, experts), suite, recipe, "twin", split, tuple(experts))
    learn(router, loss_of, recipe, identity, "training the router")
    return Twin(merged, exclusive, router.requires_grad_(False), grid)


def compressed(v, rank_ratio):
    """A matrix with the first `rank_ratio` of its singular directions, one at least; anything else as it is."""
    if v.dim() != 2:
        return v
    left, values, right = svd(v)
    kept = max(1, int(len(values) * rank_ratio))
    return (left[:, :kept] * values[:kept]) @ right[:, :kept].T


def twin_stores(base, count, rank_ratio=0.1, **_):
    """What Twin-Merging keeps, in models: the shared one, and each expert's compressed rest (the router is left out)."""
    def kept(tensor):
        rows, columns = tensor.shape if tensor.dim() == 2 else (0, 0)
        return max(1, int(min(rows, columns) * rank_ratio)) * (rows + columns + 1) if rows else tensor.numel()
    return 1 + count * sum(map(kept, base.values())) / sum(tensor.numel() for tensor in base.values())


def _network(width, hidden, out, *key):
    """Two linear layers with a rectifier between them, weights drawn from the key."""
    network = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out))
    for i, weight in enumerate(network.parameters()):
        bound = (width if i < 2 else hidden) ** -0.5
        weight.data = (2 * torch.rand(weight.shape, generator=keyed("network", i, *key)) - 1) * bound
    return network


METHODS["twin"] = Method("Twin-Merging", paper="Lu et al. 2024", equation="Eq. 3 to 6", url="https://arxiv.org/abs/2406.15479",
                         finish=twin, data=(WHICH_TASK,), towers_only=True, presets=on("task-arithmetic", "doge-ta"),
                         stores=twin_stores, inference="a router, and a mixture for each picture")
