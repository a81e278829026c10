"""Which weights answer every expert's inputs as the experts do? RegMean (Jin et al. 2023)."""

from typing import Annotated
from unittest.mock import patch

import torch

from ..methods import TRAINING_PICTURES, method
from ..methods.linear import weight_average
from ..methods.options import Examples, Says
from ..progress import progress
from .fisher import experts_again
from .gradients import tower_with

Alpha = Annotated[float, Says("factor on the entries off the diagonal of the inputs' Gram matrices", least=0, most=1)]


def regmean_pass(tensors, base, tasks, suite, examples: Examples = 256):
    """First pass of `regmean`: the inputs' Gram matrices of every linear layer, expert by expert.

    From the first `examples` training pictures of each task, unlabelled.
    """
    parts = list(tensors())
    found = {}
    for state, task in zip(experts_again(parts, base, len(tasks)), progress(tasks, "measuring Gram matrices", delay=2)):
        tower = tower_with(state, suite)
        for name, gram in linear_grams(tower, suite.images(suite.pictures(task, "train", examples)[0])).items():
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


@method("regmean", title="RegMean", paper="Jin et al. 2023", equation="Eq. 2", url="https://arxiv.org/abs/2212.09849",
        first_pass=regmean_pass, data=(TRAINING_PICTURES,), fallback=weight_average,
        merges="linear weights; the mean of the rest")
def regmean(theta_0, taus, grams, alpha: Alpha = 0.9):
    """RegMean (Jin et al. 2023, Eq. 2): (sum_i W_i G_i) (sum_i G_i)^-1 for a linear layer's weight.

    `taus`: T x rows x columns; `grams` (T x columns x columns, from `regmean_pass`): G_i = X_i^T X_i / N of the layer's
    inputs X_i in expert i. Entries off the diagonal are scaled by `alpha`. Solved in fp64.
    """
    grams = grams.double()
    grams = alpha * grams + (1 - alpha) * torch.diag_embed(grams.diagonal(dim1=1, dim2=2))
    total = grams.sum(dim=0)
    jitter = 1e-6 * total.diagonal().mean() * torch.eye(len(total), dtype=total.dtype, device=total.device)
    return theta_0 + torch.linalg.solve(total + jitter, (taus.double() @ grams).sum(dim=0), left=False).to(theta_0.dtype)
