"""How does a long training run survive being killed? One loop for all that is trained; it resumes where it was."""

import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..paths import write_atomically
from ..progress import progress


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run; those of the shipped models are in the zoo's manifest."""

    steps: int
    batch: int
    lr: float                   # peak rate of AdamW
    weight_decay: float
    seed: int = 0


def warm_cosine(done):
    """Linear warm-up over the first tenth of the run, then half a cosine down to zero; `done` from 0 to 1."""
    return done / 0.1 if done < 0.1 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.1) / 0.9)


def constant(_):
    """The peak rate throughout, and for every weight."""
    return 1.0


def fit(module, loss_of, recipe, checkpoint, title, schedule=warm_cosine, factor=constant):
    """Train `module` in place with AdamW, the rate following `schedule`; resumes from `checkpoint` (a path).

    `loss_of(step, rng)` gives the loss of one step; `rng` depends on (seed, step) alone, so that a resumed run sees the
    batches it would have seen. `factor(name)`: by what the rate of a weight is multiplied. The checkpoint is written about
    every 20 seconds, whole or not at all.
    """
    groups = {}
    for name, weight in module.named_parameters():
        groups.setdefault(factor(name), []).append(weight)
    optimiser = torch.optim.AdamW([{"params": weights, "factor": by} for by, weights in groups.items()], lr=recipe.lr,
                                  weight_decay=recipe.weight_decay, fused=True)
    start = _resume(module, optimiser, recipe, checkpoint)
    saved = time.monotonic()
    for step in (bar := progress(range(start, recipe.steps), title, initial=start, total=recipe.steps, mininterval=2)):
        for group in optimiser.param_groups:
            group["lr"] = group["factor"] * recipe.lr * schedule(step / recipe.steps)
        loss = loss_of(step, np.random.default_rng([recipe.seed, step]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if time.monotonic() - saved > 20 or step + 1 == recipe.steps:
            bar.set_postfix(loss=f"{loss.item():.3f}")
            state = {"step": step + 1, "recipe": asdict(recipe), "module": module.state_dict(),
                     "optimiser": optimiser.state_dict()}
            write_atomically(checkpoint, lambda part, state=state: torch.save(state, part))
            saved = time.monotonic()


@contextmanager
def fast_products():
    """Products in bf16 where a processor has units for it (Intel's AMX), which makes pre-training twice as fast.

    Attention is then written out as products, because torch's fused one is slow backwards in bf16.
    """
    has_units = getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16", False)
    with torch.autocast("cpu", torch.bfloat16, enabled=has_units), sdpa_kernel(SDPBackend.MATH):
        yield


def _resume(module, optimiser, recipe, checkpoint):
    """Load a checkpoint of this recipe if there is one; the step to go on from."""
    state = torch.load(checkpoint, "cpu", weights_only=True) if checkpoint.exists() else {}
    if state.get("recipe") != asdict(recipe):
        return 0
    module.load_state_dict(state["module"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"]
