"""Which quantities need data or a running model? Gradients, coefficients, masks and routers, and the methods made of them."""

from ..methods import AWD_OPTIONS, EXEMPLARS, METHODS, TEST_PICTURES, TRAINING_PICTURES, Method
from ..methods.doge.delta import doge, doge_by_rule_pass, doge_delta, switches_of
from ..methods.learned import awd_first_pass, disentangled
from ..methods.linear import ENCODER_MATRICES, task_arithmetic, weighted
from ..methods.ties import agreeing, combined, ties_first_pass
from ..methods.trust import agreeing_inside, ties_zero_shot_pass, trusted
from .coefficients import learn_coefficients
from .concrete import learn_mask, masked
from .gradients import loss_gradient
from .routed import twin, twin_stores, wemoe, wemoe_stores
from .statistics import doge_gradient_pass, fisher, fisher_pass, regmean, regmean_pass, tatr_pass, ties_tatr_pass
from .surgery import surgery, surgery_stores

__all__ = ["learn_coefficients", "loss_gradient"]

LEARNING = {"clamp": False, "init": 0.3, "steps": 500, "batch": 16, "lr": 1e-3, "split": "test", "seed": 0,
            "answer": "generated", "path": None}
RELEASED = {"clamp": True, "batch": 32}          # AdaMerging's own repository: two batches of 16 in each step
FUSIONBENCH = {"clamp": False, "steps": 1000, "batch": 16, "answer": "first"}      # the last counts for T5s only
DOGE_OPTIONS = METHODS["doge-ta"].options


# --- weighed by what training data say --------------------------------------------------------------------------------

def _tatr(title, form="gradient"):
    """An entry of the registry for one form of TATR."""
    return Method(title, "TATR", "Eq. 5 to 9, App. C.4", task_arithmetic, transforms=((trusted, tatr_pass),), needs=EXEMPLARS,
                  options={"form": form, "ratio": 0.01, "examples": 128, "lam": 0.3})


METHODS |= {
    "fisher": Method("Fisher Merging", "Matena & Raffel 2022", "Eq. 4", fisher, fisher_pass, needs=TRAINING_PICTURES,
                     options={"examples": 256, "floor": 1e-6}),
    "regmean": Method("RegMean", "Jin et al. 2023", "Eq. 2", regmean, regmean_pass, needs=TRAINING_PICTURES,
                      merges="linear weights; the mean of the rest", options={"examples": 256, "alpha": 0.9}),
    "tatr": _tatr("TATR"),
    "tatr-positive": _tatr("TATR positive", "positive"),
    "tatr-negative": _tatr("TATR negative", "negative"),
    "tatr-ntk": _tatr("TATR ntk", "ntk"),
    # Eq. 4 as it stands before Eq. 5 puts task vectors in the gradients' place
    "doge-gradients": Method("DOGE TA with gradients", "DOGE", "Eq. 4, rebuttal",
                             lambda theta_0, taus, **options: doge(theta_0, taus, **switches_of(options)),
                             doge_gradient_pass, needs=EXEMPLARS,
                             options={**DOGE_OPTIONS, "examples": 128}, presets=METHODS["doge-ta"].presets),
    "ties+tatr": Method("Ties-Merging & TATR", "TATR", "Eq. 11", combined, transforms=((agreeing_inside, ties_tatr_pass),),
                        needs=EXEMPLARS,
                        options={"ratio": 0.01, "examples": 128, "density": 0.2, "lam": 0.3, "combine": "sum"}),
}


# --- coefficients and masks learned on unlabelled test pictures -------------------------------------------------------

def _learned(title, paper, equation, granularity="layer", needs=TEST_PICTURES, options=None, **how):
    """An entry of the registry for a method that learns its coefficients as AdaMerging does."""
    return Method(title, paper, equation, weighted, learn_coefficients, needs=needs,
                  options={"granularity": granularity, **LEARNING, **(options or {})}, **how)


def _adamerging(title, granularity, **how):
    """An entry of the registry for one form of AdaMerging."""
    return _learned(title, "AdaMerging", "Sec. 3.2", granularity,
                    presets={"paper": {}, "code": RELEASED, "fusionbench": FUSIONBENCH}, **how)


def _concrete_am(title, granularity):
    """An entry of the registry for one form of Concrete AM: a mask for moving coefficients, then coefficients for the mask."""
    return _learned(title, "Tang et al. 2023", "Alg. 1", granularity, transforms=((masked, learn_mask),),
                    options={**CONCRETE, "mask_steps": 1000, "base_lr": 1.0, "steps": 1000})


def _am_renamed(options):
    """DOGE AM's options as DOGE's, whose solver has `steps` and `lr` of its own."""
    return {**options, "steps": options["solver_steps"], "lr": options["solver_lr"]}


def _doge_am_pass(tensors, **options):
    """First pass of DOGE AM's vectors: DOGE's, for coefficients that are `init` on average, where learning starts."""
    return doge_by_rule_pass(tensors, lam=options["init"], **_am_renamed(options))


PLUS_PLUS = {"transforms": ((agreeing, ties_first_pass),), "options": {"density": 0.2}}
CONCRETE = {"init": 0.3, "mask_steps": 2000, "batch": 16, "mask_lr": 1e-3, "temperature": 0.5, "split": "test", "seed": 0,
            "answer": "generated"}
METHODS |= {
    "adamerging": _adamerging("AdaMerging", "layer"),
    "adamerging++": _adamerging("AdaMerging++", "layer", **PLUS_PLUS),
    "adamerging-taskwise": _adamerging("Task-wise AdaMerging", "task"),
    "adamerging-taskwise++": _adamerging("Task-wise AdaMerging++", "task", **PLUS_PLUS),
    "adamerging+++tatr-zero-shot": _learned("AdaMerging++ & TATR zero-shot", "TATR", "Eq. 12",
                                            transforms=((agreeing_inside, ties_zero_shot_pass),),
                                            options={"density": 0.2, "ratio": 0.01}),
    "adamerging+++tatr": _learned("AdaMerging++ & TATR", "TATR", "Eq. 12", needs=f"{TEST_PICTURES}; {EXEMPLARS}",
                                  options={"density": 0.2, "ratio": 0.01, "examples": 128},
                                  transforms=((agreeing_inside, ties_tatr_pass),)),
    "awd-am": _learned("AWD AM", "Xiong et al. 2024", "L_O + alpha L_R", options=AWD_OPTIONS,
                       transforms=((disentangled, awd_first_pass),)),
    "concrete-ta": Method("Concrete TA", "Tang et al. 2023", "Alg. 1",
                          lambda theta_0, taus, init: task_arithmetic(theta_0, taus, init),
                          transforms=((masked, learn_mask),), needs=TEST_PICTURES, options=CONCRETE),
    "concrete-am": _concrete_am("Concrete AM", "layer"),
    "concrete-am-taskwise": _concrete_am("Task-wise Concrete AM", "task"),
    # its delta fits coefficients eta / ||tau_i||, so their mean must be `init`, where learning starts: at this scale
    # the printed eta of 0.07 makes it five times too large (notebook 04)
    "doge-am": _learned(
        "DOGE AM", "DOGE", "Eq. 5 to 7; AdaMerging Sec. 3.2",
        transforms=((lambda taus, **options: doge_delta(taus, **_am_renamed(options)), _doge_am_pass),),
        options={**DOGE_OPTIONS, "eta": None, "solver_steps": DOGE_OPTIONS["steps"], "solver_lr": DOGE_OPTIONS["lr"],
                 **LEARNING},
        presets={"paper": {"inner_product": "tensor", "rank": "numerical"},
                 "code": {"keys": ENCODER_MATRICES, "mask": "tau", "delta": "per_task", "rank_ratio": None, **FUSIONBENCH},
                 "exact": {"keys": ENCODER_MATRICES, "solver": "exact", "solver_steps": 32}}),
}


# --- more than one state dict: what is added to, or chosen around, the merge of another method ------------------------

def _built_on(title, paper, equation, finish, needs, presets, options, **how):
    """An entry of the registry for a method that builds on another one's merge; `presets`: names of those methods."""
    return Method(title, paper, equation, finish=finish, needs=needs, presets={below: BELOW[below] for below in presets},
                  options={**BELOW[presets[0]], **options}, **how)


BELOW = {name: {"below": name, "below_options": options} for name, options in {
    "task-arithmetic": {"lam": 0.3}, "weight-average": {}, "adamerging": {}, "doge-ta": {"preset": "code"},
    "tatr": {"lam": 0.3}, "tatr-zero-shot": {"lam": 0.3}}.items()}
SURGERY = {"rank": 16, "steps": 500, "updates": 2, "batch": 16, "lr": 1e-3, "normalised": False, "split": "test", "seed": 0}
CLOSING = {"finish": surgery, "options": SURGERY, "stores": surgery_stores, "inference": "one model and the task's module"}
METHODS |= {
    "surgery": _built_on("Representation Surgery", "Yang et al. 2024", "Eq. 3, 4", needs=TEST_PICTURES, **CLOSING,
                         presets=("task-arithmetic", "weight-average", "adamerging", "doge-ta")),
    "surgery+tatr-zero-shot": _built_on("Representation Surgery & TATR zero-shot", "TATR", "Eq. 13", needs=TEST_PICTURES,
                                        presets=("tatr-zero-shot",), **CLOSING),
    "surgery+tatr": _built_on("Representation Surgery & TATR", "TATR", "Eq. 13", needs=f"{TEST_PICTURES}; {EXEMPLARS}",
                              presets=("tatr",), **CLOSING),
    "twin": _built_on("Twin-Merging", "Lu et al. 2024", "Eq. 3 to 6", twin, "labelled validation pictures (of which task)",
                      ("task-arithmetic", "doge-ta"), stores=twin_stores, inference="a router, and a mixture for each picture",
                      options={"rank_ratio": 0.1, "grid": 10, "steps": 2000, "batch": 1024, "lr": 5e-4, "split": "validation",
                               "seed": 0}),
    "wemoe": _built_on("WEMoE", "Tang et al. 2024", "Eq. 5 to 7", wemoe, TEST_PICTURES, ("task-arithmetic", "doge-ta"),
                       stores=wemoe_stores, inference="a router per block, and a mixture of MLPs for each picture",
                       options={"init": 0.3, "steps": 1000, "batch": 16, "lr": 1e-4, "split": "test", "seed": 0}),
}
