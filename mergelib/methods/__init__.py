"""Which methods are there? The registry: what each is called, where it is defined, what it needs, its options and presets."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .doge import doge, doge_first_pass
from .linear import norm_first_pass, norm_lambda, task_arithmetic, weight_average
from .ties import ties, ties_first_pass

# The matrices inside the transformer blocks, the only tensors that DOGE's released code merges
# (open_clip's names and Hugging Face's).
ENCODER_MATRICES = r"(resblocks|encoder\.layers)\..*(attn|mlp)\..*weight"


@dataclass(frozen=True)
class Method:
    """A merging method: one function over one tensor, what comes before it, and its settings.

    A pass goes over the whole checkpoint, `tensors()` yielding (name, theta_0, taus), and returns options for the function it
    precedes: those for every tensor, and under "each" those for one tensor, by name.
    """

    title: str                               # as the papers print it
    paper: str
    equation: str
    tensor: Callable                         # (theta_0, taus, **options) -> merged tensor
    first_pass: Callable | None = None       # (tensors, **options) -> what one tensor cannot know
    transform: Callable | None = None        # (taus, **options) -> the task vectors to combine instead
    transform_pass: Callable | None = None   # first pass of the transform
    needs: str = "nothing"                   # the data it needs besides weights, taken from the option `suite`
    options: dict = field(default_factory=dict)      # every option of its own, with the default
    presets: dict = field(default_factory=dict)      # name -> options; the first one is the default
    version: int = 1                         # of its code; numbers of other versions do not count

    def settings(self, preset=None, **options):
        """Options of one run: defaults, then a preset's, then the caller's.

        Besides a method's own options there are `keys`, the pattern of the names of the tensors that are merged (default:
        all), and `others`, what becomes of the rest ("base", "mean" or "task-arithmetic"); for a method that needs data also
        `suite`, where it comes from.
        Raises ValueError for an unknown preset or option and names the known ones.
        """
        if preset is None and self.presets:
            preset = next(iter(self.presets))
        if preset is not None and preset not in self.presets:
            raise ValueError(f"{self.title} has no preset {preset!r}; it has {', '.join(self.presets) or 'none'}.")
        data = {} if self.needs == "nothing" else {"suite": None}
        known = {"keys": "", "others": "base", **data, **self.options}
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(f"{self.title} has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        return {**known, **self.presets.get(preset, {}), **options}


METHODS = {
    "weight-average": Method("Weight Averaging", "Wortsman et al. 2022", "theta_0 + 1/T sum tau_i", weight_average),
    "task-arithmetic": Method("Task Arithmetic", "Ilharco et al. 2023", "theta_0 + lam sum tau_i", task_arithmetic,
                              options={"lam": 0.3}),
    "norm-lambda": Method("Norm-based lambda", "DOGE", "Eq. 8, Table 9", norm_lambda, norm_first_pass,
                          options={"eta": 0.07, "scope": "layer"},
                          presets={"paper": {}, "code": {"keys": ENCODER_MATRICES}}),
    "ties": Method("Ties-Merging", "Yadav et al. 2023", "Alg. 1", ties, ties_first_pass,
                   options={"density": 0.2, "lam": 1.0, "combine": "mean"},
                   presets={"paper": {"combine": "mean", "lam": 1.0}, "code": {"combine": "sum", "lam": 0.3}}),
    "doge-ta": Method(
        "DOGE TA", "DOGE", "Eq. 5 to 8, Alg. 1", doge, doge_first_pass,
        options={"eta": 0.07, "inner_product": "row", "rank_ratio": 1 / 6, "rank": "matrix", "project": True,
                 "delta": "universal", "mask": "none", "mask_scope": "global", "density": 0.3, "solver": "adam",
                 "steps": 400, "lr": 1e-4, "damping": 0.0, "project_after": False, "dtype": "float32"},
        presets={"paper": {"inner_product": "tensor"},
                 "code": {"keys": ENCODER_MATRICES, "mask": "tau"},
                 "exact": {"keys": ENCODER_MATRICES, "solver": "exact", "steps": 32}}),
}
