"""What is to be done to merge? Which tensors, by which rule, from which checkpoints, with which settings."""

import json
import math
import re

import torch

from ..checkpoints.blocks import matching
from ..checkpoints.compare import changed
from ..checkpoints.compatible import check_compatible, check_given, is_constant
from ..checkpoints.content import described
from ..checkpoints.lazy import CheckpointError, facts
from ..checkpoints.tied import tied
from ..methods import METHODS, TEST_PICTURES, Method
from .work import Work, only

STATISTICS = re.compile(r"running_(mean|var)$")


def decide(base, experts: dict, settings: dict) -> tuple[dict[str, str], list[str]]:
    """(what becomes of each tensor, see `which_rules`; what a person should know about it, in lines), all looked into.

    Raises CheckpointError for checkpoints that do not fit together, and for a merge that would give the base back.
    """
    check_given(base, experts)
    rules = which_rules(base, settings)
    for copy, name in tied(base, list(experts.values())).items():
        if rules[copy] != rules[name]:
            raise CheckpointError(f"{copy} and {name} are tied, and keys={settings['keys']!r} matches one of them only. Match "
                                  f"both or neither.")
        rules[copy] = f"as {name}"
    notes = check_compatible(base, experts, rules, settings["keys"])
    if settings["keys"] is None:            # what no expert touched is no part of the problem
        untouched = [name for name, rule in rules.items() if rule == "method" and not changed(base, experts.values(), name)]
        rules |= dict.fromkeys(untouched, "base")
    if statistics := sum(bool(STATISTICS.search(name)) for name, rule in rules.items() if rule == "mean"):
        notes.append(f"{statistics} running statistics of normalisation layers are averaged. Recalibrate them: run the merged "
                     f"model in training mode over some inputs.")
    return rules, notes + _how_much(base, experts, rules)


def which_rules(base, settings: dict) -> dict[str, str]:
    """Name -> what becomes of a tensor: "method", "base" where it stays that, or how it is made without the method.

    Those to be merged come first. Running statistics are averaged, for their sums may be no statistics. Raises CheckpointError
    if the option `keys` matches no floating-point tensor.
    """
    dims = {name: len(facts(base, name)[0]) for name in sorted(base)
            if facts(base, name)[1].is_floating_point and 0 not in facts(base, name)[0] and not is_constant(base, name)}
    chosen = matching(settings["keys"], dims)
    if not chosen:
        raise CheckpointError(_no_match(settings["keys"], dims))
    rules = dict.fromkeys(chosen, "method") | {name: settings["others"] for name in dims if name not in chosen}
    rules |= {name: "mean" for name, rule in rules.items() if rule != "base" and STATISTICS.search(name)}
    return rules | {name: "base" for name in base if name not in rules}


def _no_match(keys, names) -> str:
    """That no tensor is merged, and what to do about it."""
    if not names:
        return "This checkpoint has no floating-point tensor with numbers in it. Give one that has weights."
    there = f"Its names look like {', '.join([*names][:3])}."
    if keys is None:
        return (f"This preset merges the matrices inside the repeated blocks of a network, and this checkpoint has none that "
                f"can be told by their names. {there} Say which are merged: keys=PATTERN (keys='' for all).")
    return f"keys={keys!r} matches no tensor of this checkpoint. {there}"


def _how_much(base, experts: dict, rules: dict) -> list[str]:
    """A line if less than four fifths of the numbers that experts changed are merged, by tensors; [] else."""
    def size(names):
        return sum(math.prod(facts(base, name)[0]) for name in names)

    left = [name for name, rule in rules.items() if rule == "base" and facts(base, name)[1].is_floating_point
            and changed(base, [expert for expert in experts.values() if name in expert], name)]
    names = [name for name, rule in rules.items() if rule != "base" and not rule.startswith("as ")]
    if not any(changed(base, experts.values(), name) for name in names):
        raise CheckpointError("Nothing that the experts changed is merged, so the result would be the base. Changed are "
                              f"{', '.join(left[:3])}{', ...' if len(left) > 3 else ''}. Give keys=PATTERN (keys='' for all).")
    if (share := size(names) / (size(names) + size(left))) >= 0.8:
        return []
    return [f"only {share:.0%} of the numbers that the experts changed are merged; {len(left)} "
            f"tensors stay the base's, such as {', '.join(left[:3])}. Give keys='' for all, or others='mean' for the rest."]


def works(method: str, base, experts: dict, settings: dict, out_dtype, rules: dict) -> list[Work]:
    """What is to be done, tensor by tensor, in the order in which first passes see them; copies go with what they copy."""
    plain = {name: value for name, value in settings.items() if name != "suite"}
    copies = {name: tuple(copy for copy, rule in rules.items() if rule == f"as {name}") for name in rules}
    found = []
    for name, rule in rules.items():
        if rule.startswith("as "):
            continue
        dtype = facts(base, name)[1]
        needed = {} if rule == "base" else {task: only(expert, name) for task, expert in experts.items()}
        found.append(Work(name, method, rule, plain, tuple(experts), only(base, name), needed,
                          out_dtype or dtype if dtype.is_floating_point else dtype, aliases=copies[name]))
    return found


def recipe_of(method: str, base, experts: dict, settings: dict, out_dtype) -> dict:
    """All on which a result depends, as JSON can hold it; a suite becomes its digest."""
    recipe = {"method": method, "version": METHODS[method].version, "settings": settings, "dtype": str(out_dtype),
              "torch": torch.__version__,
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

