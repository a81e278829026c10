"""How certain is each expert of each weight? Fisher merging (Matena & Raffel 2022)."""

from typing import Annotated

import torch

from ..methods import TRAINING_PICTURES, method
from ..methods.options import Examples, Says
from ..progress import progress
from .gradients import fisher_information

Floor = Annotated[float, Says("least information of an entry", least=0)]


def fisher_pass(tensors, base, tasks, suite, examples: Examples = 256, floor: Floor = 1e-6):
    """First pass of `fisher`: each expert's diagonal Fisher information, scaled to length 1, entries at least `floor`.

    From the first `examples` training pictures of each task, unlabelled. Buffers, which have no gradient, get the floor.
    """
    parts = list(tensors())
    states = experts_again(parts, base, len(tasks))
    found = {name: [] for name, _, _ in parts}
    for state, task in zip(states, progress(tasks, "measuring Fisher information", delay=2)):
        information = fisher_information(state, suite, task, count=examples)
        length = sum(value.square().sum() for value in information.values()).sqrt()
        for name, theta_0, _ in parts:
            found[name].append((information.get(name, torch.zeros_like(theta_0)) / length).clamp_min(floor))
    return {"each": {name: {"information": torch.stack(values)} for name, values in found.items()}}


def experts_again(parts, base, count):
    """The experts' whole state dicts again, one at a time, from the tensors that are merged; the rest is the base's."""
    for i in range(count):
        yield {**base, **{name: theta_0 + taus[i] for name, theta_0, taus in parts}}


@method("fisher", title="Fisher Merging", paper="Matena & Raffel 2022", equation="Eq. 4", url="https://arxiv.org/abs/2111.09832",
        first_pass=fisher_pass, data=(TRAINING_PICTURES,))
def fisher(theta_0, taus, information):
    """Fisher merging (Matena & Raffel 2022, Eq. 4): sum_i F_i theta_i / sum_i F_i, entry by entry.

    `taus`, `information` (from `fisher_pass`): T x shape of theta_0.
    """
    return theta_0 + (information * taus).sum(dim=0) / information.sum(dim=0)
