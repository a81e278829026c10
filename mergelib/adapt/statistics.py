"""Which merges look at training data? Fisher merging, RegMean, TATR's trust region, and DOGE with the losses' gradients."""

from unittest.mock import patch

import torch

from ..methods.doge.delta import doge_first_pass
from ..methods.tensors import one_of
from ..methods.ties import ties_first_pass
from ..methods.trust import as_options, omega, trust_region
from ..networks.clip import images_of
from ..progress import progress
from .gradients import absolute_gradient, fisher_information, loss_gradient, trainable_tower

# --- Fisher merging ---------------------------------------------------------------------------------------------------

def fisher(theta_0, taus, information):
    """Fisher merging (Matena & Raffel 2022, Eq. 4): sum_i F_i theta_i / sum_i F_i, entry by entry.

    `taus`, `information` (from `fisher_pass`): T x shape of theta_0.
    """
    return theta_0 + (information * taus).sum(dim=0) / information.sum(dim=0)


def fisher_pass(tensors, base, tasks, suite, examples=256, floor=1e-6):
    """First pass of `fisher`: each expert's diagonal Fisher information, scaled to length 1, entries at least `floor`.

    From the first `examples` training pictures of each task, unlabelled. Buffers, which have no gradient, get the floor.
    """
    parts = list(tensors())
    states = _experts(parts, base, len(tasks))
    found = {name: [] for name, _, _ in parts}
    for state, task in zip(states, progress(tasks, "measuring Fisher information", delay=2)):
        information = fisher_information(state, suite, task, count=examples)
        length = sum(value.square().sum() for value in information.values()).sqrt()
        for name, theta_0, _ in parts:
            found[name].append((information.get(name, torch.zeros_like(theta_0)) / length).clamp_min(floor))
    return {"each": {name: {"information": torch.stack(values)} for name, values in found.items()}}


def _experts(parts, base, count):
    """The experts' whole state dicts again, one at a time, from the tensors that are merged; the rest is the base's."""
    for i in range(count):
        yield {**base, **{name: theta_0 + taus[i] for name, theta_0, taus in parts}}


# --- RegMean ----------------------------------------------------------------------------------------------------------

def regmean(theta_0, taus, grams=None, alpha=0.95):
    """RegMean (Jin et al. 2023, Eq. 2): (sum_i W_i G_i) (sum_i G_i)^-1 for a linear layer's weight, else the mean.

    `taus`: T x rows x columns; `grams` (T x columns x columns, from `regmean_pass`): G_i = X_i^T X_i / N of the layer's
    inputs X_i in expert i, None for what is no linear weight. Entries off the diagonal are scaled by `alpha`. Solved in fp64.
    """
    if grams is None:
        return theta_0 + taus.mean(dim=0)
    grams = grams.double()
    grams = alpha * grams + (1 - alpha) * torch.diag_embed(grams.diagonal(dim1=1, dim2=2))
    total = grams.sum(dim=0)
    jitter = 1e-6 * total.diagonal().mean() * torch.eye(len(total), dtype=total.dtype, device=total.device)
    return theta_0 + torch.linalg.solve(total + jitter, (taus.double() @ grams).sum(dim=0), left=False).to(theta_0.dtype)


def regmean_pass(tensors, base, tasks, suite, examples=256):
    """First pass of `regmean`: the inputs' Gram matrices of every linear layer, expert by expert.

    From the first `examples` training pictures of each task, unlabelled.
    """
    parts = list(tensors())
    found = {}
    for state, task in zip(_experts(parts, base, len(tasks)), progress(tasks, "measuring Gram matrices", delay=2)):
        tower, pixels = trainable_tower(state, suite, task), suite.pictures(task, "train", examples)[0]
        for name, gram in linear_grams(tower, images_of(suite, task, pixels)).items():
            found.setdefault(name, []).append(gram)
    return {"each": {name: {"grams": torch.stack(grams)} for name, grams in found.items()}}


def linear_grams(tower, images):
    """X^T X / N of the inputs of every linear layer of a module while it sees some images: weight's name -> columns x columns.

    Attention calls linear layers without their modules, so it is the function that is watched. Gradients stay on: without them
    attention takes a path of its own.
    """
    names, grams, linear = {id(weight): name for name, weight in tower.named_parameters()}, {}, torch.nn.functional.linear

    def watched(x, weight, bias=None):
        if id(weight) in names:
            rows = x.detach().flatten(0, -2)
            grams[names[id(weight)]] = rows.T @ rows / len(rows)
        return linear(x, weight, bias)

    with patch.object(torch.nn.functional, "linear", watched):
        tower(images)
    return grams


# --- TATR -------------------------------------------------------------------------------------------------------------

def tatr_pass(tensors, base, tasks, suite, form="gradient", ratio=0.01, examples=128):
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


def ties_tatr_pass(tensors, base, tasks, suite, density=0.2, ratio=0.01, examples=128):
    """First pass of `agreeing_inside`: both judge the task vectors as they are."""
    return {**ties_first_pass(tensors, density), **tatr_pass(tensors, base, tasks, suite, ratio=ratio, examples=examples)}


# --- DOGE before its approximation ------------------------------------------------------------------------------------

def doge_gradient_pass(tensors, base, tasks, suite, examples=128, inner_product="row", mask="none", **switches):
    """First pass of DOGE TA with the losses' gradients at the base (DOGE Eq. 4) where Eq. 5 has minus the task vectors.

    From the first `examples` labelled training pictures of each task. The signs and the scale of gradients do not matter to
    the solution. Raises ValueError for `inner_product="global"` and `mask="tau+delta"`, whose first pass knows no gradients.
    """
    one_of("inner_product", inner_product, ("row", "tensor"))
    one_of("mask", mask, ("none", "tau"))
    found = [loss_gradient(base, suite, task, "train", examples) for task in progress(tasks, "measuring gradients", delay=2)]
    slopes = {name: {"slopes": torch.stack([gradients[name] for gradients in found])}
              for name, _, _ in tensors() if name in found[0]}
    return {**doge_first_pass(tensors, mask, **switches), "each": slopes}
