"""Which methods are there? The registry: what each is called, where it is defined, what it needs, its options and presets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from .options import Below, BelowOptions, Keys, Option, Others, call, declared, required

METHODS: dict[str, "Method"] = {}
TEST_PICTURES, TRAINING_PICTURES, EXEMPLARS = "unlabelled test pictures", "unlabelled training pictures", "labelled exemplars"
WHICH_TASK = "labelled validation pictures (of which task)"


@dataclass(frozen=True)
class Method:
    """A merging method: one function over one tensor, what comes before it, and where it stands.

    A pass goes over the whole checkpoint, `tensors()` yielding (name, theta_0, taus), and returns options for the function it
    precedes: those for every tensor, and under "each" those for one tensor, by name. Passes and functions also know `base`,
    `tasks` (the experts' names), `suite` and the method's options, as far as they name them.
    """

    title: str                               # as the papers print it
    paper: str
    equation: str
    url: str
    tensor: Callable[..., Tensor] | None = None      # (theta_0, taus, **options) -> merged tensor
    first_pass: Callable | None = None       # (tensors, **options) -> what one tensor cannot know
    transforms: tuple = ()                   # pairs: (taus, **options) -> the task vectors to combine instead; its pass
    finish: Callable | None = None           # (merged below, experts, **options) -> a model that is more than a state dict
    fallback: Callable[..., Tensor] | None = None    # of what is no matrix, and of what the first pass says nothing about
    merges: str = "every tensor"             # which tensors, and what becomes of the rest, in words
    elementwise: bool = False                # whether entries are treated one by one, transforms included: pieces will do
    per_task: bool = False                   # whether `tensor` gives one tensor for each task, T x shape
    data: tuple[str, ...] = ()               # what it needs besides weights, taken from the option `suite`
    towers_only: bool = False                # whether it computes with an image tower itself
    inference: str = "one model"             # what runs when a picture comes
    stores: Callable[..., float] | None = None       # (base, T, **options) -> what is kept, in models; None: one
    defaults: dict[str, Any] = field(default_factory=dict)      # where they are other than those its functions declare
    presets: dict[str, dict] = field(default_factory=dict)      # name -> options; the first one is the default
    holds: str = ""                          # what its first pass keeps of the whole checkpoint, beyond a number or two
    version: int = 1                         # of its code; numbers of other versions do not count

    @property
    def needs(self) -> str:
        """The data it needs besides weights, in words."""
        return "; ".join(self.data) or "nothing"

    @property
    def functions(self) -> list[Callable]:
        """All that it calls, passes first."""
        pairs = [step for transform, first_pass in self.transforms for step in (first_pass, transform)]
        return [step for step in (*pairs, self.first_pass, self.tensor, self.finish) if step]

    @cached_property
    def declared(self) -> dict[str, Option]:
        """Its options by name: those its functions declare, with its own defaults; TypeError where two defaults disagree."""
        where = declared(_built_on if self.finish else _where)
        found: dict[str, Option] = {}
        for function in self.functions:
            for name, option in declared(function).items():
                if name not in self.defaults and found.get(name, option).default != option.default:
                    raise TypeError(f"{self.title}: {name} has two defaults, {found[name].default!r} and {option.default!r}. "
                                    f"Say which in `defaults`.")
                found[name] = option
        if odd := self.defaults.keys() - found.keys():
            raise TypeError(f"{self.title}: no function of it declares {', '.join(sorted(odd))}.")
        return where | {name: Option(name, self.defaults.get(name, option.default), option.kind, option.says)
                        for name, option in found.items()}

    @property
    def options(self) -> dict[str, Any]:
        """Its own options with their defaults: all but `keys` and `others`, which nearly all have."""
        return {name: option.default for name, option in self.declared.items() if name not in declared(_where)}

    def settings(self, preset: str | None = None, **options) -> dict[str, Any]:
        """Options of one run: defaults, then a preset's, then the caller's.

        For a method that needs data there is also `suite`, where it comes from. Raises ValueError for an unknown preset or
        option, which names the known ones, and for a value that an option cannot be.
        """
        if preset is None and self.presets:
            preset = next(iter(self.presets))
        if preset is not None and preset not in list(self.presets):        # a list compares what cannot be hashed, too
            raise ValueError(f"{self.title} has no preset {preset!r}; it has {', '.join(self.presets) or 'none'}.")
        data = {"suite": None} if self.data else {}
        known = {**{name: option.default for name, option in self.declared.items()}, **data}
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(f"{self.title} has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        for name in options.keys() - data.keys():
            self.declared[name].check(options[name])
        return {**known, **self.presets.get(preset, {}), **options}

    def merge(self, theta_0: Tensor, taus: Tensor, **known) -> Tensor:
        """The merged tensor: by the method's function, or by its `fallback` where that does not apply."""
        fits = not self.fallback or (theta_0.dim() == 2 and required(self.tensor) <= {"theta_0", "taus", *known})
        return call(self.tensor if fits else self.fallback, theta_0, taus, **known)


def method(name: str, **facts) -> Callable:
    """A decorator that enters a function over one tensor into the registry; `facts`: see `Method`."""
    def enter(function):
        METHODS[name] = Method(tensor=function, **facts)
        return function
    return enter


def _built_on(below: Below = "task-arithmetic", below_options: BelowOptions = None):
    """The options of every method that builds on another one's merge."""


def _where(keys: Keys = "", others: Others = "base"):
    """The options of every method that merges tensor by tensor."""
