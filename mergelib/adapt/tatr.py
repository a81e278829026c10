"""Where do tasks conflict, judged by gradients? TATR's trust region (TATR Eq. 5 to 9), and what it is put around."""

import torch

from ..methods import EXEMPLARS, METHODS, TEST_PICTURES, Method
from ..methods.linear import task_arithmetic
from ..methods.options import Density, Examples, Ratio
from ..methods.ties import combined, ties_first_pass
from ..methods.trust import TATR, Form, agreeing_inside, as_options, omega, trust_region, trusted
from ..progress import progress
from .adamerging import LEARNED
from .gradients import absolute_gradient, loss_gradient


def tatr_pass(tensors, base, tasks, suite, form: Form = "gradient", ratio: Ratio = 0.01,
              examples: Examples = 128):
    """First pass of TATR's mask (TATR Eq. 5 to 9): each tensor's trust region from gradients at the base.

    From the first `examples` labelled training pictures of each task. `form`: see `methods.trust.omega`; "positive" and
    "negative" keep the entries where it is above zero, the others all but the `ratio` of the entries where it is greatest.
    """
    gradient = loss_gradient if form in ("positive", "negative") else absolute_gradient
    found = [gradient(base, suite, task, "train", examples) for task in progress(tasks, "measuring gradients", delay=2)]
    omegas = {name: omega(taus, torch.stack([gradients[name] for gradients in found]), form)
              for name, _, taus in tensors() if name in found[0]}
    signed = form in ("positive", "negative")
    return as_options({name: values > 0 for name, values in omegas.items()} if signed else trust_region(omegas, ratio))


def ties_tatr_pass(tensors, base, tasks, suite, density: Density = 0.2, ratio: Ratio = 0.01,
                   examples: Examples = 128):
    """First pass of `agreeing_inside`: both judge the task vectors as they are."""
    return {**ties_first_pass(tensors, density), **tatr_pass(tensors, base, tasks, suite, ratio=ratio, examples=examples)}


FORMS = {"tatr": "gradient", "tatr-positive": "positive", "tatr-negative": "negative", "tatr-ntk": "ntk"}
for name, form in FORMS.items():
    title = "TATR" if name == "tatr" else f"TATR {form}"
    METHODS[name] = Method(title, equation="Eq. 5 to 9, App. C.4", tensor=task_arithmetic, transforms=((trusted, tatr_pass),),
                           defaults={"form": form}, data=(EXEMPLARS,), **TATR)
METHODS["ties+tatr"] = Method("Ties-Merging & TATR", equation="Eq. 11", tensor=combined, data=(EXEMPLARS,),
                              transforms=((agreeing_inside, ties_tatr_pass),), defaults={"lam": 0.3, "combine": "sum"}, **TATR)
METHODS["adamerging+++tatr"] = Method("AdaMerging++ & TATR", equation="Eq. 12", transforms=((agreeing_inside, ties_tatr_pass),),
                                      **TATR, **{**LEARNED, "data": (TEST_PICTURES, EXEMPLARS)})
