"""Which methods are there? The registry: what each is called, where it is defined, what it needs, its options and presets."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .doge.delta import doge, doge_by_rule_pass, doge_delta, doge_first_pass
from .learned import awd_first_pass, disentangled, wudi
from .linear import ENCODER_MATRICES, norm_first_pass, norm_lambda, task_arithmetic, weight_average
from .sparse import consensus, dare_vectors, pcb, pcb_first_pass, tall_compression
from .spectral import iso_c, iso_cts, knots, knots_first_pass, tsv_m
from .ties import agreeing, combined, ties, ties_first_pass
from .trust import agreeing_inside, ties_zero_shot_pass, trusted, zero_shot_pass
from .unified import emr, emr_first_pass


@dataclass(frozen=True)
class Method:
    """A merging method: one function over one tensor, what comes before it, and its settings.

    A pass goes over the whole checkpoint, `tensors()` yielding (name, theta_0, taus), and returns options for the function it
    precedes: those for every tensor, and under "each" those for one tensor, by name. Passes and functions also know `base`,
    `tasks` (the experts' names) and the method's options, as far as they name them.
    """

    title: str                               # as the papers print it
    paper: str
    equation: str
    tensor: Callable | None = None           # (theta_0, taus, **options) -> merged tensor
    first_pass: Callable | None = None       # (tensors, **options) -> what one tensor cannot know
    transforms: tuple = ()                   # pairs: (taus, **options) -> the task vectors to combine instead; its pass
    finish: Callable | None = None           # (merged below, experts, **options) -> a model that is more than a state dict
    elementwise: bool = False                # whether entries are treated one by one, transforms included: pieces will do
    per_task: bool = False                   # whether `tensor` gives one tensor for each task, T x shape
    needs: str = "nothing"                   # the data it needs besides weights, taken from the option `suite`
    merges: str = "every tensor"             # which tensors, and what becomes of the rest, where its function decides that
    inference: str = "one model"             # what runs when a picture comes
    stores: Callable | None = None           # (base, T, **options) -> what is kept, in models; None: one
    options: dict = field(default_factory=dict)      # every option of its own, with the default
    presets: dict = field(default_factory=dict)      # name -> options; the first one is the default
    holds: str = ""                          # what its first pass keeps of the whole checkpoint, beyond a number or two
    version: int = 1                         # of its code; numbers of other versions do not count

    def settings(self, preset=None, **options):
        """Options of one run: defaults, then a preset's, then the caller's.

        Besides a method's own options there are `keys`, the pattern of the names of the tensors that are merged (default:
        all), and `others`, what becomes of the rest ("base", "mean" or "task-arithmetic"); a method that builds on another
        one's merge has `below` and `below_options` instead. For a method that needs data there is also `suite`, where it
        comes from. Raises ValueError for an unknown preset or option and names the known ones.
        """
        if preset is None and self.presets:
            preset = next(iter(self.presets))
        if preset is not None and preset not in self.presets:
            raise ValueError(f"{self.title} has no preset {preset!r}; it has {', '.join(self.presets) or 'none'}.")
        data = {} if self.needs == "nothing" else {"suite": None}
        where = {} if self.finish else {"keys": "", "others": "base"}
        known = {**where, **data, **self.options}
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(f"{self.title} has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        return {**known, **self.presets.get(preset, {}), **options}


TEST_PICTURES, TRAINING_PICTURES, EXEMPLARS = "unlabelled test pictures", "unlabelled training pictures", "labelled exemplars"
MATRICES = "matrices; the mean of the rest"
ONE_EACH = "the task's model, made when its name is known"
OMEGAS = "sensitivities, twice as many as the base has numbers"
TIES_OPTIONS = {"density": 0.2, "lam": 1.0, "combine": "mean"}
TIES_PRESETS = {"paper": {"combine": "mean", "lam": 1.0}, "code": {"combine": "sum", "lam": 0.3}}
DOGE = {"options": {"eta": 0.07, "lam_max": None, "inner_product": "row", "rank_ratio": 1 / 6, "rank": "matrix",
                    "direction": "orthogonal", "delta": "universal", "mask": "none", "mask_scope": "global", "density": 0.3,
                    "solver": "adam", "steps": 400, "lr": 1e-4, "damping": 0.0, "project_after": False, "dtype": "float32"},
        "presets": {"paper": {"inner_product": "tensor", "rank": "numerical"},
                    "code": {"keys": ENCODER_MATRICES, "mask": "tau"},
                    "exact": {"keys": ENCODER_MATRICES, "solver": "exact", "steps": 32}}}

AWD_OPTIONS = {"alpha": 0.1, "awd_steps": 300, "awd_lr": 1e-4}
# DOGE's delta under other methods: eta by the rule, and no mask of its own
MASKING = ("mask", "mask_scope", "density")
PLUGGED = {"options": {**{name: value for name, value in DOGE["options"].items() if name not in MASKING},
                       "eta": None, "lam": 0.3},
           "presets": {**DOGE["presets"], "code": {"keys": ENCODER_MATRICES}}}


def two_and_masks(base, count, **_):
    """What is stored, in models of 32-bit numbers: the base, one vector, and a bit per task and entry."""
    return 2 + count / 32


METHODS = {
    "weight-average": Method("Weight Averaging", "Wortsman et al. 2022", "theta_0 + 1/T sum tau_i", weight_average,
                             elementwise=True),
    "task-arithmetic": Method("Task Arithmetic", "Ilharco et al. 2023", "theta_0 + lam sum tau_i", task_arithmetic,
                              elementwise=True, options={"lam": 0.3}),
    "norm-lambda": Method("Norm-based lambda", "DOGE", "Eq. 8, Table 9", norm_lambda, norm_first_pass,
                          options={"eta": 0.07, "scope": "layer", "lam_max": None},
                          presets={"paper": {}, "code": {"keys": ENCODER_MATRICES}}),
    "ties": Method("Ties-Merging", "Yadav et al. 2023", "Alg. 1", ties, ties_first_pass, elementwise=True,
                   options=TIES_OPTIONS, presets=TIES_PRESETS),
    # FusionBench's constants; the paper tunes the fraction dropped
    "dare": Method("DARE", "Yu et al. 2024", "Eq. 2", task_arithmetic, transforms=((dare_vectors, None),),
                   elementwise=True, options={"drop": 0.5, "seed": 0, "lam": 0.3}),
    "dare-ties": Method("DARE Ties-Merging", "Yu et al. 2024", "Eq. 2", ties, ties_first_pass,
                        transforms=((dare_vectors, None),), elementwise=True,
                        options={"drop": 0.5, "seed": 0, "density": 0.2, "lam": 0.5, "combine": "sum"}),
    "consensus-ta": Method("Consensus TA", "Wang et al. 2024", "Eq. 5, Sec. 4.2", consensus,
                           options={"lam": 0.3, "mask_lam": 0.4, "active": 2}),
    "consensus-ties": Method("Consensus Ties-Merging", "Wang et al. 2024", "Eq. 5, Sec. 4.2", consensus, ties_first_pass,
                             options={"lam": 0.3, "mask_lam": 0.4, "active": 2, "density": 0.2}),
    "awd-ta": Method("AWD TA", "Xiong et al. 2024", "L_O + alpha L_R", task_arithmetic,
                     transforms=((disentangled, awd_first_pass),), holds="all task vectors and one more",
                     options={**AWD_OPTIONS, "lam": 0.3}),
    "pcb": Method("PCB-Merging", "Du et al. 2024", "Eq. 3 to 6", pcb, pcb_first_pass,
                  holds="scores and clamped task vectors of every expert",
                  options={"scores": "code", "density": 0.05, "quantile": 0.01, "lam": 1.2},
                  presets={"paper": {"scores": "paper"}, "code": {}}),
    "tatr-zero-shot": Method("TATR zero-shot", "TATR", "Eq. 7 to 9, Alg. 1", task_arithmetic,
                             transforms=((trusted, zero_shot_pass),), holds=OMEGAS, options={"ratio": 0.01, "lam": 0.3}),
    "ties+tatr-zero-shot": Method("Ties-Merging & TATR zero-shot", "TATR", "Sec. 5", combined,
                                  transforms=((agreeing_inside, ties_zero_shot_pass),), holds=OMEGAS,
                                  options={"ratio": 0.01, "density": 0.2, "lam": 0.3, "combine": "sum"}),
    "doge-ta": Method("DOGE TA", "DOGE", "Eq. 5 to 8, Alg. 1", doge, doge_first_pass,
                      options={**DOGE["options"], "uniform": False}, presets=DOGE["presets"]),
    "doge-ties": Method("DOGE Ties-Merging", "DOGE", "Sec. 4, Alg. 1", combined,
                        transforms=((doge_delta, doge_by_rule_pass), (agreeing, ties_first_pass)),
                        options={**PLUGGED["options"], "density": 0.2, "combine": "sum"}, presets=PLUGGED["presets"]),
    "tsv-m": Method("TSV-M", "Gargiulo et al. 2025", "Alg. 1", tsv_m, merges=MATRICES, options={"lam": 1.0}),
    # FusionBench's own table has lam 1.5
    "iso-c": Method("Iso-C", "Marczak et al. 2025", "Alg. 1", iso_c, merges=MATRICES, options={"lam": 1.5}),
    "iso-cts": Method("Iso-CTS", "Marczak et al. 2025", "Alg. 2", iso_cts, merges=MATRICES,
                      options={"lam": 1.5, "common": 0.8}),
    "knots": Method("KnOTS-TIES", "Stoica et al. 2025", "Eq. 3, Sec. 4", knots, knots_first_pass,
                    merges="matrices in a common basis; TIES of the rest",
                    options={"density": 0.2, "lam": 0.6, "combine": "mean"}),
    "wudi": Method("WUDI-Merging", "Cheng et al. 2025", "Eq. 14", wudi, merges=MATRICES,
                   options={"solver": "adam", "steps": 300, "lr": 1e-5},
                   presets={"paper": {}, "exact": {"solver": "exact"}}),
    "emr": Method("EMR-Merging", "Huang et al. 2024", "Eq. 2 to 5", emr, emr_first_pass, per_task=True,
                  inference=ONE_EACH, stores=two_and_masks, options={"average": "sum"},
                  presets={"paper": {}, "code": {"average": "means"}}),
    "doge-emr": Method("DOGE EMR-Merging", "DOGE", "Sec. 4, Alg. 1", emr, emr_first_pass, per_task=True,
                       transforms=((doge_delta, doge_by_rule_pass),), inference=ONE_EACH, stores=two_and_masks,
                       options={**PLUGGED["options"], "average": "sum"}, presets=PLUGGED["presets"]),
    "tall-compression": Method("TALL compression", "Wang et al. 2024", "Eq. 6", tall_compression, per_task=True,
                               inference=ONE_EACH, stores=two_and_masks,
                               options={"mask_lam": 0.4}),
}
