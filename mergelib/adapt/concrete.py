"""Which entries make a merged model surest of its predictions? Concrete's shared mask, learned on unlabelled inputs."""

from typing import Annotated, Literal

import torch
from torch import nn

from ..methods import METHODS, TEST_PICTURES, Method
from ..methods.linear import task_arithmetic
from ..methods.options import Answer, Batch, Init, Rate, Says, Seed, Split, Steps
from ..methods.tensors import along, keyed
from ..networks.training import Recipe
from .adamerging import LEARNED
from .learning import entropies, learn, merged_identity, summed_loss

Moves = Annotated[Literal["fixed", "layer", "task"], Says("whether coefficients move, and together for all tensors or not")]
Temperature = Annotated[float, Says("of the relaxed mask", above=0)]


def masked(taus, mask):
    """The task vectors (T x shape) times the shared mask (shape), which has mean 1."""
    return taus * mask


def learn_mask(tensors, base, tasks, suite, granularity: Moves = "fixed", init: Init = 0.3, mask_steps: Steps = 2000,
               batch: Batch = 16, mask_lr: Rate = 1e-3, base_lr: Rate = 1.0, temperature: Temperature = 0.5,
               split: Split = "test", seed: Seed = 0, answer: Answer = "generated"):
    """First pass of `masked`: one relaxed 0-1 mask per tensor for all tasks, of least entropy (Tang et al. 2023, Alg. 1).

    Inputs, `batch`, `split`, `seed`, `answer` as for `learn_coefficients`; `mask_steps` steps of Adam (rate `mask_lr`) on
    the mask's logits from zero. `granularity`: "fixed" keeps all coefficients at `init` (Concrete TA); with "layer" or "task"
    each step first moves them from `init` by one step of Adam (rate `base_lr`), as AdaMerging would, and the mask is for the
    moved ones (Concrete AM). As released, that inner Adam keeps its moments from step to step, and its rate of 1 moves every
    coefficient by up to 1.
    """
    model = ConcreteMask(tensors(), len(tasks), granularity, init, base_lr, temperature)
    losses_of = entropies(base, tasks, suite, batch, split, answer)

    def loss_of(step, rng):
        mask = model.sample("step", seed, step)
        lam = model.move(mask, losses_of(rng)) if granularity != "fixed" else model.start
        return summed_loss(model.merged(mask, lam), losses_of(rng))

    recipe = Recipe(mask_steps, batch, mask_lr, weight_decay=0.0, seed=seed)
    identity = merged_identity(model.tensors, suite, recipe, "concrete", granularity, init, base_lr, temperature, split,
                               tasks, answer)
    learn(model, loss_of, recipe, identity, "learning a mask")
    return {"each": {name: {"mask": mask.detach()} for name, mask in model.sample("final", seed).items()}}


class ConcreteMask(nn.Module):
    """The logits of a checkpoint's mask, and the Adam that moves the coefficients before each of its steps."""

    def __init__(self, tensors, count, granularity="fixed", init=0.3, base_lr=1.0, temperature=0.5):
        super().__init__()
        self.tensors, self.granularity, self.temperature = list(tensors), granularity, temperature
        self.logits = nn.ParameterList([torch.zeros_like(theta_0) for _, theta_0, _ in self.tensors])
        self.start = torch.full((count, len(self.tensors)), float(init), device=self.tensors[0][1].device)     # T x tensors
        self.lam = self.start.clone()
        self.mover = torch.optim.Adam([self.lam], lr=base_lr)

    def get_extra_state(self):
        """The inner Adam's moments, which survive being killed, too."""
        return self.mover.state_dict()

    def set_extra_state(self, state):
        self.mover.load_state_dict(state)

    def sample(self, *key):
        """A relaxed Bernoulli mask per tensor, divided by its mean; the noise depends on key and tensor's name alone."""
        masks = {}
        for (name, theta_0, _), logits in zip(self.tensors, self.logits):
            u = torch.rand(theta_0.shape, generator=keyed("concrete", *key, name)).clamp(1e-6, 1 - 1e-6).to(theta_0.device)
            mask = torch.sigmoid((u.log() - (1 - u).log() + logits) / self.temperature)
            masks[name] = mask / mask.mean().clamp_min(1e-6)
        return masks

    def merged(self, masks, lam):
        """theta_0 + mask * sum_i lam_i tau_i per tensor; `lam`: T x tensors."""
        return {name: theta_0 + masks[name] * along(column, taus) for (name, theta_0, taus), column in zip(self.tensors, lam.T)}

    def move(self, masks, losses):
        """The coefficients after one step of Adam on the entropy, from their start, with this mask held fixed."""
        lam = self.start.clone().requires_grad_()
        fixed = {name: mask.detach() for name, mask in masks.items()}
        (gradient,) = torch.autograd.grad(summed_loss(self.merged(fixed, lam), losses), lam)
        if self.granularity == "task":
            gradient = gradient.sum(dim=1, keepdim=True).expand_as(gradient)
        self.lam.copy_(self.start)
        self.lam.grad = gradient.contiguous()
        self.mover.step()
        return self.lam.clone()


def concrete_ta(theta_0, taus, init: Init = 0.3):
    """Task arithmetic with the coefficient for which the mask was learned."""
    return task_arithmetic(theta_0, taus, init)


CONCRETE = {"paper": "Tang et al. 2023", "equation": "Alg. 1", "url": "https://arxiv.org/abs/2312.06173",
            "transforms": ((masked, learn_mask),)}
METHODS["concrete-ta"] = Method("Concrete TA", tensor=concrete_ta, data=(TEST_PICTURES,), **CONCRETE)
SHORTER = {"mask_steps": 1000, "steps": 1000}
METHODS["concrete-am"] = Method("Concrete AM", defaults={"granularity": "layer", **SHORTER}, **CONCRETE, **LEARNED)
METHODS["concrete-am-taskwise"] = Method("Task-wise Concrete AM", defaults={"granularity": "task", **SHORTER}, **CONCRETE,
                                         **LEARNED)
