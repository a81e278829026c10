"""What is to be done to merge? Which tensors, by which rule, from which checkpoints, with which settings."""

import json
import re

from ..checkpoints.lazy import facts
from ..checkpoints.shards import described
from ..methods import METHODS, TEST_PICTURES, Method
from .work import Work, only


def which_rules(base, settings: dict) -> dict[str, str]:
    """Name -> what becomes of a tensor: "method", or how it is made without it; those to be merged come first.

    Raises ValueError if the pattern `keys` matches no floating-point tensor.
    """
    floating = sorted(name for name in base if facts(base, name)[1].is_floating_point)
    chosen = [name for name in floating if re.search(settings["keys"], name)]
    if not chosen:
        raise ValueError(f"keys={settings['keys']!r} matches no tensor of this checkpoint. Its names look like "
                         f"{', '.join(floating[:3])}.")
    rules = dict.fromkeys(chosen, "method")
    rules |= {name: settings["others"] for name in floating if name not in rules}
    return rules | {name: "base" for name in base if name not in rules}


def works(method: str, base, experts: dict, settings: dict, out_dtype) -> list[Work]:
    """What is to be done, tensor by tensor, in the order in which first passes see them."""
    plain = {name: value for name, value in settings.items() if name != "suite"}
    found = []
    for name, rule in which_rules(base, settings).items():
        dtype = facts(base, name)[1]
        needed = {} if rule == "base" else {task: only(expert, name) for task, expert in experts.items()}
        found.append(Work(name, method, rule, plain, tuple(experts), only(base, name), needed,
                          out_dtype or dtype if dtype.is_floating_point else dtype))
    return found


def recipe_of(method: str, base, experts: dict, settings: dict, out_dtype) -> dict:
    """All on which a result depends, as JSON can hold it; a suite becomes its digest."""
    recipe = {"method": method, "version": METHODS[method].version, "settings": settings, "dtype": str(out_dtype),
              "base": described(base), "experts": [[task, described(expert)] for task, expert in experts.items()]}
    return json.loads(json.dumps(recipe, default=lambda value: getattr(value, "digest", repr(value))))


def check_suite(spec: Method, settings: dict, experts: dict) -> None:
    """Raise ValueError unless there is a suite that has the experts' tasks, and the data and network that a method needs."""
    suite = settings["suite"]
    if suite is None:
        raise ValueError(f"{spec.title} needs {spec.needs}. Give suite=..., as `load_suite` returns it.")
    if not hasattr(suite, "runs"):
        raise ValueError(f"suite is of type {type(suite).__name__}; it can be what `load_suite` returns.")
    if not suite.runs(spec):
        there = [name for name, other in METHODS.items() if other.data and suite.runs(other)]
        raise ValueError(f"{spec.title} needs what {suite.name} does not have. What needs data and works there: "
                         f"{', '.join(there)}.")
    if unknown := sorted(set(experts) - set(suite.heads or suite.tasks)):
        raise ValueError(f"{', '.join(unknown)}: no task of {suite.name}. Name the experts after its tasks: "
                         f"{', '.join(suite.tasks)}.")
    if TEST_PICTURES in spec.data and settings.get("others", "base") != "base":
        raise ValueError(f"{spec.title} learns with the base's tensors where it does not merge, so others can only be 'base'.")

