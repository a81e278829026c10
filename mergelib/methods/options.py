"""What may an option be, and what does it mean? Declared once: its default in a signature, the rest as its type there."""

import math
import re
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from inspect import Parameter, signature
from numbers import Integral, Real
from typing import Annotated, Any, Literal, NewType, get_args, get_origin, get_type_hints

LARGEST = 1e300                 # what a number can be; whole numbers know no infinity
LARGEST_WHOLE = (1 << 63) - 1   # what torch takes


@dataclass(frozen=True)
class Says:
    """What an option means, and the numbers that it can be: from `least` or above `above`, to `most` or below `below`."""

    meaning: str
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def holds(self, number: float) -> bool:
        """Whether a number is in the range."""
        largest = LARGEST_WHOLE if isinstance(number, Integral) else LARGEST
        return -largest <= number <= largest and self.least <= number <= self.most and self.above < number < self.below

    def __str__(self) -> str:
        """The range in words, "" for all finite numbers."""
        parts = (("above", self.above), ("at least", self.least), ("at most", self.most), ("below", self.below))
        return " and ".join(f"{word} {bound:g}" for word, bound in parts if math.isfinite(bound))


Pattern = NewType("Pattern", str)       # a regular expression
Lam = Annotated[float, Says("coefficient of the merged task vector")]
Eta = Annotated[float, Says("numerator of the coefficients eta / ||tau_i||")]
Density = Annotated[float, Says("fraction of the entries that is kept", above=0, most=1)]
Ratio = Annotated[float, Says("fraction of the entries that is not merged", least=0, most=1)]
Kept = Annotated[float, Says("fraction of the directions that is kept, the leading ones", above=0, most=1)]
Common = Annotated[float, Says("fraction of the directions that is common to all tasks", least=0, most=1)]
Combine = Annotated[Literal["mean", "sum"], Says("what becomes of the experts that agree in an entry")]
MaskLam = Annotated[float | dict[str, float], Says("lam_t of the TALL masks: one number, or a number for each task", least=0)]
Seed = Annotated[int, Says("of all that is drawn at random", least=0)]
Examples = Annotated[int, Says("training pictures of each task that are looked at", least=1)]
Solver = Annotated[Literal["adam", "exact"], Says("steps of Adam, or the solution they aim at")]
Steps = Annotated[int, Says("how many are taken", least=0)]
Rate = Annotated[float, Says("of Adam", least=0)]
Batch = Annotated[int, Says("pictures of each task in a step", least=1)]
Split = Annotated[Literal["train", "validation", "test"], Says("which pictures are learned from")]
Init = Annotated[float, Says("where the coefficients start")]
Granularity = Annotated[Literal["layer", "task"], Says("a coefficient for each expert and tensor, or for each expert")]
Answer = Annotated[Literal["generated", "first"], Says("of a suite in words: whose entropy counts")]
Below = Annotated[str, Says("the method on whose merge it builds")]
BelowOptions = Annotated[dict | None, Says("options of that method")]
Keys = Annotated[Pattern | None, Says("pattern of the names that are merged; empty: all; None: the matrices inside blocks")]
Others = Annotated[Literal["base", "mean", "task-arithmetic"], Says("what becomes of the tensors that are not merged")]


@dataclass(frozen=True)
class Option:
    """One option of a method: its name, its default, what it can be and what it means."""

    name: str
    default: Any
    kind: Any               # a type, a union of types, or a Literal
    says: Says

    def check(self, value: Any) -> None:
        """Raise ValueError unless a value is of the option's kind and range, and say what it can be."""
        if not any(_fits(kind, value, self.says) for kind in _kinds(self.kind)):
            raise ValueError(f"{self.name} is {value!r}; it can be {self.allowed}.")

    @property
    def allowed(self) -> str:
        """What it can be, in words."""
        return " or ".join(_named(kind, self.says) for kind in _kinds(self.kind))


@cache
def declared(function) -> dict[str, Option]:
    """The options that a function takes by its signature, by name; those of a dataclass of options are its fields."""
    found = {}
    for name, (hint, default) in _parameters(function).items():
        if is_dataclass(hint):
            found |= declared(hint)
        elif get_origin(hint) is Annotated:
            kind, says = get_args(hint)
            found[name] = Option(name, default, kind, says)
    return found


def call(function, *arguments, **known):
    """Call with those of the known things that the function names; a dataclass of options is made of its fields."""
    return function(*arguments, **_chosen(function, known))


def _chosen(function, known: dict) -> dict:
    """The arguments of a function among the known things."""
    chosen = {}
    for name, (hint, _) in _parameters(function).items():
        if is_dataclass(hint):
            chosen[name] = hint(**_chosen(hint, known))
        elif name in known:
            chosen[name] = known[name]
    return chosen


@cache
def required(function) -> frozenset[str]:
    """The names of the parameters that have no default."""
    return frozenset(name for name, parameter in signature(function).parameters.items() if parameter.default is Parameter.empty)


@cache
def _parameters(function) -> dict:
    """Name -> (annotation, default) of a function's parameters; looked up once, for large checkpoints come in many pieces."""
    hints = get_type_hints(function, include_extras=True)
    if is_dataclass(function):
        return {field.name: (hints[field.name], None if field.default is MISSING else field.default)
                for field in fields(function)}
    return {name: (hints.get(name), None if parameter.default is Parameter.empty else parameter.default)
            for name, parameter in signature(function).parameters.items()}


def _kinds(kind) -> tuple:
    """The types of a union, or the one that it is."""
    return (kind,) if get_origin(kind) is Literal else get_args(kind) or (kind,)


def _fits(kind, value, says: Says) -> bool:
    """Whether a value is of one kind and, if it is a number, in the range."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind in (float, int):
        right = isinstance(value, Real if kind is float else Integral) and not isinstance(value, bool)
        return right and says.holds(value)
    if kind is Pattern:
        return isinstance(value, str) and _compiles(value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(_fits(float, number, says) for number in value.values())
    return isinstance(value, kind)


def _compiles(pattern: str) -> bool:
    """Whether a text is a regular expression."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _named(kind, says: Says) -> str:
    """A kind in words, with the range of a number."""
    if get_origin(kind) is Literal:
        return ", ".join(map(repr, get_args(kind)))
    words = {float: "a number", int: "a whole number", bool: "True or False", str: "a text", type(None): "None",
             Pattern: "a regular expression", dict: "a mapping", dict[str, float]: "a number for each task"}
    return f"{words[kind]} {says if kind in (float, int) else ''}".strip()
