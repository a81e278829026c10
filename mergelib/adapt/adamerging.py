"""Which coefficients make a merged model surest of its predictions? AdaMerging's, learned on unlabelled inputs."""

from typing import Annotated

import torch
from torch import nn

from ..methods import METHODS, TEST_PICTURES, Method
from ..methods.learned import AWD, awd_first_pass, disentangled
from ..methods.linear import weighted
from ..methods.options import Answer, Batch, Granularity, Init, Rate, Says, Seed, Split, Steps
from ..methods.ties import agreeing, ties_first_pass
from ..methods.trust import TATR, agreeing_inside, ties_zero_shot_pass
from ..networks.training import Recipe
from .learning import entropies, learn, merged_identity, summed_loss

EVERY = 10          # steps from one look at the coefficients to the next
Clamp = Annotated[bool, Says("whether the coefficients are held in [0, 1]")]


def learn_coefficients(tensors, base, tasks, suite, granularity: Granularity = "layer", clamp: Clamp = False, init: Init = 0.3,
                       steps: Steps = 500, batch: Batch = 16, lr: Rate = 1e-3, split: Split = "test", seed: Seed = 0,
                       answer: Answer = "generated"):
    """First pass of AdaMerging: per tensor the T coefficients that minimise sum_t mean entropy (AdaMerging Sec. 3.2).

    `tensors()`: yields (name, theta_0, taus); tensors that it leaves out are the `base`'s; `tasks`: T names of tasks of
    `suite`, whose inputs of `split` are used without their labels. `granularity`: "layer", a coefficient per expert and
    tensor, or "task", one per expert. All start at `init` and take `steps` steps of Adam (rate `lr`) on `batch` inputs per
    task; `clamp` holds them in [0, 1]. Gives, beside each tensor's `coefficients`, its `path`: those of every `EVERY`th step,
    steps x T. Can be killed and resumes. Raises ValueError for another network's base.
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
    lams, paths = model.by_tensor(), model.path.expand(-1, -1, len(model.tensors)).unbind(2)
    return {"each": {name: {"coefficients": lam.detach(), "path": path}
                     for (name, lam), path in zip(lams.items(), paths)}}


class Coefficients(nn.Module):
    """The learned lam (T x tensors, or T x 1) of a checkpoint's tensors; calling it gives the merged tensors by name."""

    def __init__(self, tensors, count, granularity="layer", clamp=False, init=0.3, steps=0):
        super().__init__()
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


# --- the methods: all weigh task vectors, or what transforms leave of them ----------------------------------------------

LEARNED = {"tensor": weighted, "first_pass": learn_coefficients, "data": (TEST_PICTURES,)}
# AdaMerging's own repository takes two batches of 16 in each step; of FusionBench the last option counts for T5s only
ADAMERGING = {"paper": "AdaMerging", "equation": "Sec. 3.2", "url": "https://arxiv.org/abs/2310.02575",
              "presets": {"paper": {}, "code": {"clamp": True, "batch": 32},
                          "fusionbench": {"clamp": False, "steps": 1000, "batch": 16, "answer": "first"}}, **LEARNED}
PLUS_PLUS = {"transforms": ((agreeing, ties_first_pass),)}
TASK_WISE = {"defaults": {"granularity": "task"}}
METHODS["adamerging"] = Method("AdaMerging", **ADAMERGING)
METHODS["adamerging++"] = Method("AdaMerging++", **ADAMERGING, **PLUS_PLUS)
METHODS["adamerging-taskwise"] = Method("Task-wise AdaMerging", **ADAMERGING, **TASK_WISE)
METHODS["adamerging-taskwise++"] = Method("Task-wise AdaMerging++", **ADAMERGING, **TASK_WISE, **PLUS_PLUS)
METHODS["adamerging+++tatr-zero-shot"] = Method("AdaMerging++ & TATR zero-shot", equation="Eq. 12",
                                                transforms=((agreeing_inside, ties_zero_shot_pass),), **TATR, **LEARNED)
METHODS["awd-am"] = Method("AWD AM", transforms=((disentangled, awd_first_pass),), **AWD, **LEARNED)
