"""Which expert's MLP should a picture pass through? WEMoE's routers, one in each block (Tang et al. 2024)."""

import re

import torch
from torch import nn
from torch.nn.functional import linear

from ..methods import METHODS, TEST_PICTURES, Method
from ..methods.options import Batch, Init, Rate, Seed, Split, Steps
from ..methods.tensors import along, keyed
from ..networks.clip import image_features, mean_entropy
from ..networks.training import Recipe
from .building import on
from .gradients import tower_with
from .learning import draw, learn, merged_identity, sizes_of

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


def wemoe(merged, experts, base, suite, init: Init = 0.3, steps: Steps = 1000, batch: Batch = 16, lr: Rate = 1e-4,
          split: Split = "test", seed: Seed = 0):
    """WEMoE (Tang et al. 2024): the experts' MLPs mixed by routers that learn, on unlabelled pictures, to be sure.

    `merged`: everything but the MLPs; `init`: the mixture that the routers start with; `batch` pictures per task in each of
    `steps` steps of Adam (rate `lr`) on the summed entropy, one mixture for each task's batch. As released, every picture has
    its own mixture at inference. Gives an `Ensemble`.
    """
    tower = tower_with(merged, suite).requires_grad_(False)
    routed = nn.ModuleDict()
    for name in sorted({found[1] for found in map(re.compile(MLP).match, base) if found}):
        prefix = f"{name}.mlp."
        theta_0 = {key.removeprefix(prefix): tensor for key, tensor in base.items() if key.startswith(prefix)}
        taus = {key: torch.stack([expert[prefix + key] - tensor for expert in experts.values()])
                for key, tensor in theta_0.items()}
        block = tower.get_submodule(name)
        mlp = RoutedMLP(theta_0, taus, init, seed, name, activation=block.mlp.gelu).to(suite.device)
        block.mlp = routed[name.replace(".", "_")] = mlp
    pools = {task: suite.inputs(task, split) for task in experts}

    def loss_of(step, rng):
        key = rng.integers(2**32)
        images = {task: suite.images(draw(pool, batch, [key, i])) for i, (task, pool) in enumerate(pools.items())}
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


METHODS["wemoe"] = Method("WEMoE", paper="Tang et al. 2024", equation="Eq. 5 to 7", url="https://arxiv.org/abs/2402.00433",
                          finish=wemoe, data=(TEST_PICTURES,), towers_only=True, presets=on("task-arithmetic", "doge-ta"),
                          stores=wemoe_stores, inference="a router per block, and a mixture of MLPs for each picture")
