"""DOGE where data speak: DOGE AM, whose coefficients are learned, and DOGE TA with the losses' gradients (DOGE Eq. 4)."""

from dataclasses import replace

import torch

from ..methods import EXEMPLARS, METHODS, Method
from ..methods.doge.delta import DOGE, PRESETS, Mask, Problem, doge, doge_by_rule_pass, doge_first_pass, doge_vectors
from ..methods.options import Examples, Init, Rate, Steps, declared
from ..progress import progress
from .adamerging import ADAMERGING, LEARNED, learn_coefficients
from .gradients import loss_gradient

# --- DOGE AM: DOGE's vectors, AdaMerging's coefficients -----------------------------------------------------------------

def am_pass(tensors, how: Problem = Problem(), mask: Mask = Mask(), init: Init = 0.3, solver_steps: Steps = Problem.steps,
            solver_lr: Rate = Problem.lr):
    """First pass of `am_vectors`: DOGE's, for coefficients that are `init` on average, where learning starts."""
    how = replace(how, steps=solver_steps, lr=solver_lr)
    found = doge_by_rule_pass(tensors, how, init)
    return {**found, **doge_first_pass(tensors, replace(how, eta=found["eta"]), mask)}


def am_vectors(taus, how: Problem = Problem(), mask: Mask = Mask(), name="this tensor", thresholds=None, deltas=None,
               solver_steps: Steps = Problem.steps, solver_lr: Rate = Problem.lr):
    """`doge_vectors` whose solver's steps and rate have names of their own, for learning has the others."""
    return doge_vectors(taus, replace(how, steps=solver_steps, lr=solver_lr), mask, name, thresholds, deltas)


# Its delta fits coefficients eta / ||tau_i||, so their mean must be `init`, where learning starts: at this scale
# the printed eta of 0.07 makes it five times too large (notebook 04).
LEARNING = {name: declared(learn_coefficients)[name].default for name in ("steps", "lr")}
METHODS["doge-am"] = Method(
    "DOGE AM", paper="DOGE", url=DOGE["url"], equation="Eq. 5 to 7; AdaMerging Sec. 3.2", transforms=((am_vectors, am_pass),),
    defaults={"eta": None, **LEARNING}, **LEARNED,
    presets={"paper": PRESETS["paper"],
             "code": {**PRESETS["code"], "delta": "per_task", "rank_ratio": None, **ADAMERGING["presets"]["fusionbench"]},
             "exact": {"keys": None, "solver": "exact", "solver_steps": PRESETS["exact"]["steps"]}})


# --- DOGE before its approximation: Eq. 4 as it stands, where Eq. 5 puts task vectors in the gradients' place ------------

def doge_gradient_pass(tensors, base, tasks, suite, how: Problem = Problem(), mask: Mask = Mask(), examples: Examples = 128):
    """First pass of DOGE TA with the losses' gradients at the base (DOGE Eq. 4) where Eq. 5 has minus the task vectors.

    From the first `examples` labelled training pictures of each task. The signs and the scale of gradients do not matter to
    the solution. Raises ValueError for `inner_product="global"` and `mask="tau+delta"`, whose first pass knows no gradients.
    """
    if how.inner_product == "global" or mask.mask == "tau+delta":
        raise ValueError("With gradients inner_product can be 'row' or 'tensor', and mask 'none' or 'tau'.")
    found = [loss_gradient(base, suite, task, "train", examples) for task in progress(tasks, "measuring gradients", delay=2)]
    slopes = {name: {"slopes": torch.stack([gradients[name] for gradients in found])}
              for name, _, _ in tensors() if name in found[0]}
    return {**doge_first_pass(tensors, how, mask), "each": slopes}


METHODS["doge-gradients"] = Method("DOGE TA with gradients", equation="Eq. 4, rebuttal", tensor=doge,
                                   first_pass=doge_gradient_pass, data=(EXEMPLARS,), presets=PRESETS, **DOGE)
