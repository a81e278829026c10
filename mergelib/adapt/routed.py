"""Which expert should answer for a picture? Twin-Merging's and WEMoE's routers, which choose at inference."""

import re

import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear, normalize

from ..measure.scoring import raw_features
from ..methods.spectral import svd
from ..methods.tensors import along, keyed
from ..networks.clip import build_tower, image_features, images_of, mean_entropy
from ..networks.training import Recipe
from .coefficients import draw, learn, merged_identity, sizes_of

# --- Twin-Merging -----------------------------------------------------------------------------------------------------

class Twin:
    """A shared model, what each expert knows beyond it (compressed), and a router that mixes them picture by picture."""

    def __init__(self, shared, exclusive, router, grid):
        self.shared, self.exclusive, self.router, self.grid = shared, exclusive, router, grid

    def features(self, suite, task, images):
        """Unit-length features of normalised images; pictures with the same rounded weights share one merged model."""
        weights = self.router(normalize(raw_features(self.shared, suite, task, images), dim=1)).softmax(dim=1)
        kinds, kind = (weights * self.grid).round().unique(dim=0, return_inverse=True)
        features = images.new_empty(len(images), suite.heads[task].shape[0])
        for i, w in enumerate(kinds / self.grid):
            state = {name: tensor + along(w, self.exclusive[name]) if name in self.exclusive else tensor
                     for name, tensor in self.shared.items()}
            features[kind == i] = raw_features(state, suite, task, images[kind == i])
        return normalize(features, dim=1)


def twin(merged, experts, suite, rank_ratio=0.1, grid=10, steps=2000, batch=1024, lr=5e-4, split="validation", seed=0):
    """Twin-Merging (Lu et al. 2024, Eq. 3 to 6): theta* + sum_t w_t(x) v_t, v_t the compressed theta_t - theta*.

    `merged`: theta*; matrices of v_t keep the first `rank_ratio` of their singular directions. The router, a small network on
    the shared model's features, learns in `steps` steps of Adam (about as many as the released 50 epochs of 44,000 pictures)
    which task a picture of `split` belongs to; its last state is taken, where the released code takes the one that is best on
    test pictures. `grid`: its weights are rounded to multiples of 1 / `grid`. Gives a `Twin`.
    """
    exclusive = {name: torch.stack([compressed(expert[name] - tensor, rank_ratio) for expert in experts.values()])
                 for name, tensor in merged.items() if tensor.is_floating_point()}
    features = [normalize(raw_features(merged, suite, task, suite.pictures(task, split)[0]), dim=1) for task in experts]
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


# --- WEMoE ------------------------------------------------------------------------------------------------------------

MLP = r"^(transformer\.resblocks\.\d+)\.mlp\.(c_fc|c_proj)\.(weight|bias)$"


class RoutedMLP(nn.Module):
    """A transformer's MLP with weights W_0 + sum_i w_i tau_i, w from the tokens it gets (Tang et al. 2024, Eq. 5 to 7)."""

    def __init__(self, theta_0, taus, init, *key, activation=nn.functional.gelu):
        super().__init__()
        self.theta_0, self.taus = theta_0, taus         # name -> tensor, name -> T x shape
        self.activation = activation
        width, count = theta_0["c_fc.weight"].shape[1], len(taus["c_fc.bias"])
        self.router = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, count))
        for i, layer in enumerate((self.router[0], self.router[2])):
            layer.weight.data = 0.01 * torch.randn(layer.weight.shape, generator=keyed("router", i, *key))
            layer.bias.data = torch.full_like(layer.bias, init if i else 0.0)
        self.together = False       # one mixture for the whole batch, as in training, or one per picture

    def forward(self, tokens):
        w = self.router(tokens).mean(dim=1)
        w = w.mean(dim=0, keepdim=True) if self.together else w
        return self.layer("c_proj", self.activation(self.layer("c_fc", tokens, w)), w)

    def layer(self, name, x, w):
        """One linear layer (x: N x tokens x columns) with the weights of each picture's mixture (w: N x T, or 1 x T)."""
        keys = f"{name}.weight", f"{name}.bias"
        if len(w) == 1:
            return linear(x, *(self.theta_0[key] + along(w[0], self.taus[key]) for key in keys))
        y = linear(x, *(self.theta_0[key] for key in keys))
        for w_i, *tau in zip(w.T[:, :, None, None], *(self.taus[key] for key in keys)):
            y = y + w_i * linear(x, *tau)
        return y


class Ensemble:
    """An image tower whose MLPs are `RoutedMLP`s."""

    def __init__(self, tower):
        self.tower = tower

    def features(self, suite, task, images):
        """Unit-length features of normalised images, each with its own mixture; the task's name is not used."""
        return image_features(self.tower, images)


def wemoe(merged, experts, base, suite, init=0.3, steps=1000, batch=16, lr=1e-4, split="test", seed=0):
    """WEMoE (Tang et al. 2024): the experts' MLPs mixed by routers that learn, on unlabelled pictures, to be sure.

    `merged`: everything but the MLPs; `init`: the mixture that the routers start with; `batch` pictures per task in each of
    `steps` steps of Adam (rate `lr`) on the summed entropy, one mixture for each task's batch. As released, every picture has
    its own mixture at inference. Gives an `Ensemble`.
    """
    device = suite.heads[next(iter(experts))].device
    tower = build_tower(suite.model).eval().requires_grad_(False).to(device)
    tower.load_state_dict(merged)
    routed = nn.ModuleDict()
    for name in sorted({found[1] for found in map(re.compile(MLP).match, base) if found}):
        prefix = f"{name}.mlp."
        theta_0 = {key.removeprefix(prefix): tensor for key, tensor in base.items() if key.startswith(prefix)}
        taus = {key: torch.stack([expert[prefix + key] - tensor for expert in experts.values()])
                for key, tensor in theta_0.items()}
        block = tower.get_submodule(name)
        mlp = RoutedMLP(theta_0, taus, init, seed, name, activation=block.mlp.gelu).to(device)
        block.mlp = routed[name.replace(".", "_")] = mlp
    pools = {task: suite.pictures(task, split)[0] for task in experts}

    def loss_of(step, rng):
        key = rng.integers(2**32)
        images = {task: images_of(suite, task, draw(pool, batch, [key, i])) for i, (task, pool) in enumerate(pools.items())}
        return sum(mean_entropy(image_features(tower, images[task]) @ suite.heads[task]) for task in images)

    for mlp in routed.values():
        mlp.together = True
    recipe = Recipe(steps, batch, lr, weight_decay=0.0, seed=seed)
    identity = merged_identity(sizes_of(merged, experts), suite, recipe, "wemoe", init, split, tuple(experts))
    learn(routed, loss_of, recipe, identity, "learning routers")
    for mlp in routed.values():
        mlp.together = False
    return Ensemble(tower.requires_grad_(False))


def wemoe_stores(base, count, **_):
    """What WEMoE keeps, in models: one, every expert's MLPs, and the routers."""
    mlps = sum(tensor.numel() for name, tensor in base.items() if re.match(MLP, name))
    routers = sum(tensor.shape[0] ** 2 + tensor.shape[0] * (count + 1) + count for name, tensor in base.items()
                  if re.match(MLP, name) and name.endswith("c_proj.bias"))
    return 1 + (count * mlps + routers) / sum(tensor.numel() for tensor in base.values())
