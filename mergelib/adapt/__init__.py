"""Which quantities need data or a running model? Gradients and learned coefficients, and the methods made of them."""

import re

import torch

from ..methods import ENCODER_MATRICES, METHODS, Method
from ..methods.doge import doge_first_pass, doge_vectors
from ..methods.linear import eta_for_norms, flat, weighted
from ..methods.ties import agreeing, ties_first_pass
from .coefficients import learn_coefficients
from .gradients import loss_gradient

__all__ = ["learn_coefficients", "loss_gradient"]

DEFAULTS = {"clamp": False, "init": 0.3, "steps": 500, "batch": 16, "lr": 1e-3, "split": "test", "seed": 0}
RELEASED = {"clamp": True, "batch": 32}          # AdaMerging's own repository: two batches of 16 in each step
FUSIONBENCH = {"clamp": False, "steps": 1000, "batch": 16}
TEST_PICTURES = "unlabelled test pictures"
DOGE_OPTIONS = METHODS["doge-ta"].options


def _doge_options(options):
    """Of DOGE AM's options those of DOGE, whose solver has `steps` and `lr` of its own."""
    own = {name: value for name, value in options.items() if name in DOGE_OPTIONS or name in ("name", "thresholds", "deltas")}
    return {**own, "steps": options["solver_steps"], "lr": options["solver_lr"]}


def _doge_am_pass(tensors, eta=None, init=0.3, **options):
    """First pass of DOGE AM's vectors: DOGE's, and eta unless given: the mean of eta / ||tau|| is then `init`.

    That mean is over the transformer matrices, as in `eta_for_mean_lambda`.
    """
    if eta is None:
        norms = [flat(taus).norm(dim=1) for name, _, taus in tensors() if re.search(ENCODER_MATRICES, name)]
        eta = eta_for_norms(torch.cat(norms) if norms else torch.zeros(0), init)
    return {"eta": eta, **doge_first_pass(tensors, eta=eta, **_doge_options(options))}


def _adamerging(title, granularity, **how):
    """An entry of the registry for one form of AdaMerging."""
    return Method(title, "AdaMerging", "Sec. 3.2", weighted, learn_coefficients, needs=TEST_PICTURES,
                  options={"granularity": granularity, **DEFAULTS, **how.pop("options", {})},
                  presets={"paper": {}, "code": RELEASED, "fusionbench": FUSIONBENCH}, **how)


PLUS_PLUS = {"transform": agreeing, "transform_pass": ties_first_pass, "options": {"density": 0.2}}
METHODS |= {
    "adamerging": _adamerging("AdaMerging", "layer"),
    "adamerging++": _adamerging("AdaMerging++", "layer", **PLUS_PLUS),
    "adamerging-taskwise": _adamerging("Task-wise AdaMerging", "task"),
    "adamerging-taskwise++": _adamerging("Task-wise AdaMerging++", "task", **PLUS_PLUS),
    # its delta fits coefficients eta / ||tau_i||, so their mean must be `init`, where learning starts: at this scale
    # the printed eta of 0.07 makes it five times too large (notebook 04)
    "doge-am": Method(
        "DOGE AM", "DOGE", "Eq. 5 to 7; AdaMerging Sec. 3.2", weighted, learn_coefficients,
        transform=lambda taus, **options: doge_vectors(taus, **_doge_options(options)),
        transform_pass=_doge_am_pass, needs=TEST_PICTURES,
        options={**DOGE_OPTIONS, "eta": None, "solver_steps": DOGE_OPTIONS["steps"], "solver_lr": DOGE_OPTIONS["lr"],
                 "granularity": "layer", **DEFAULTS},
        presets={"paper": {"inner_product": "tensor"},
                 "code": {"keys": ENCODER_MATRICES, "mask": "tau", "delta": "per_task", "rank_ratio": None, **FUSIONBENCH},
                 "exact": {"keys": ENCODER_MATRICES, "solver": "exact", "solver_steps": 32}}),
}
