"""How does a method become a merged checkpoint? Here is the only loop over a checkpoint's tensors."""

import inspect
import re
from functools import partial
from itertools import chain

import torch

from .checkpoints import check_compatible, read_state
from .methods import ENCODER_MATRICES, METHODS, TEST_PICTURES
from .methods.linear import eta_by_rule, one_of, task_arithmetic, weight_average
from .progress import progress

OTHERS = {"base": lambda theta_0, taus: theta_0, "mean": weight_average, "task-arithmetic": task_arithmetic}


def merge(method, base, experts, preset=None, out_dtype=None, **options):
    """Merge experts of one base into one state dict; methods that keep more give what `evaluate.logits` describes.

    `method`: a name in `METHODS`. `base`: state dict or path of a .safetensors file; `experts`: mapping from task to such
    (a list serves too). `preset`, `options`: see `Method.settings`. All arithmetic is in fp32; `out_dtype` (default: the
    base's) is the dtype of the floating-point tensors that come out. Integer buffers are the base's.
    Raises ValueError for unknown methods, presets and options and for missing data, CheckpointError for checkpoints that do
    not fit together.

    >>> merge("task-arithmetic", base, {"digits": a, "signs": b}, lam=0.3)          # doctest: +SKIP
    """
    if method not in METHODS:
        raise ValueError(f"There is no method {method!r}. Known methods: {', '.join(METHODS)}.")
    spec = METHODS[method]
    settings = spec.settings(preset, **options)
    base = read_state(base)
    experts = {task: read_state(expert) for task, expert in as_mapping(experts).items()}
    check_compatible(base, experts)
    if spec.needs != "nothing":
        _check_suite(spec, settings["suite"], experts)
    known = {**settings, "base": base, "tasks": tuple(experts)}
    if spec.finish:
        merged, experts = _merge_below(settings, base, experts), {task: _in_fp32(expert) for task, expert in experts.items()}
        return _call(spec.finish, merged, experts, **{**known, "base": _in_fp32(base)})
    if TEST_PICTURES in spec.needs and settings["others"] != "base":
        raise ValueError(f"{spec.title} learns with the base's tensors where it does not merge, so others can only be 'base'.")
    other, (chosen, rest) = _rule(settings["others"]), _divide(base, settings["keys"])
    tensors = partial(stream, base, experts, chosen)
    for transform, first_pass in spec.transforms:
        changed = list(_transform(transform, first_pass, tensors, spec.title, known))    # in memory: looked at often below
        tensors = partial(iter, changed)
    found = _first(spec.first_pass, tensors, **known)
    merged = {task: dict(base) for task in experts} if spec.per_task else dict(base)
    for name, theta_0, taus in progress(chain(tensors(), stream(base, experts, rest)), f"merging with {spec.title}",
                                        total=len(chosen) + len(rest), delay=2):
        tensor = other(theta_0, taus) if name in rest else _each(spec.tensor, name, known, found, theta_0, taus)
        tensor = tensor.to(out_dtype or base[name].dtype)
        if spec.per_task:
            for task, part in zip(merged, tensor.expand(len(taus), *theta_0.shape)):
                merged[task][name] = part
        else:
            merged[name] = tensor
    return merged


def _check_suite(spec, suite, experts):
    """Raise ValueError unless there is a suite that has the experts' tasks."""
    if suite is None:
        raise ValueError(f"{spec.title} needs {spec.needs}. Give suite=..., as `load_suite` returns it.")
    if unknown := sorted(set(experts) - set(suite.heads)):
        raise ValueError(f"{', '.join(unknown)}: no task of {suite.name}. Name the experts after its tasks: "
                         f"{', '.join(suite.tasks)}.")


def _merge_below(settings, base, experts):
    """The merged state dict on which a method builds that is more than one: its option `below` with `below_options`."""
    below = settings["below"]
    one_of("below", below, [method for method, spec in METHODS.items() if not spec.per_task and not spec.finish])
    data = {"suite": settings["suite"]} if METHODS[below].needs != "nothing" else {}
    return merge(below, base, experts, out_dtype=torch.float32, **data, **settings["below_options"])


def _in_fp32(state):
    """A state dict whose floating-point tensors are fp32."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _divide(base, keys):
    """The names of the floating-point tensors that match a pattern, and of the others; ValueError if none matches."""
    floating = sorted(name for name, tensor in base.items() if tensor.is_floating_point())
    chosen = [name for name in floating if re.search(keys, name)]
    if not chosen:
        raise ValueError(f"keys={keys!r} matches no tensor of this checkpoint. Its names look like {', '.join(floating[:3])}.")
    return chosen, [name for name in floating if name not in chosen]


def _transform(transform, first_pass, tensors, title, settings):
    """Yield the checkpoint's tensors with the task vectors that a method combines instead of the experts' own."""
    found = _first(first_pass, tensors, **settings)
    for name, theta_0, taus in progress(tensors(), f"preparing {title}", delay=2):
        yield name, theta_0, _each(transform, name, settings, found, taus)


def stream(base, experts, names):
    """Yield (name, theta_0, taus) tensor by tensor, in fp32; taus is T x the tensor's shape."""
    for name in names:
        theta_0 = base[name].float()
        yield name, theta_0, torch.stack([expert[name].float() - theta_0 for expert in experts.values()])


def eta_for_mean_lambda(base, experts, target=0.3, keys=ENCODER_MATRICES):
    """`eta_by_rule` of checkpoints: `base`, `experts` are state dicts as for `merge`."""
    names = [name for name in base if re.search(keys, name)]
    return eta_by_rule(partial(stream, base, as_mapping(experts), names), target, keys)


def as_mapping(experts):
    """Experts as a mapping: a list gets the names expert-1, expert-2, ..."""
    if hasattr(experts, "items"):
        return dict(experts)
    return {f"expert-{i}": expert for i, expert in enumerate(experts, start=1)}


def _rule(others):
    """The function that makes a tensor that the method itself does not merge."""
    if others not in OTHERS:
        raise ValueError(f"others is {others!r}; tensors that are not merged can become {', '.join(OTHERS)}.")
    return OTHERS[others]


def _first(first_pass, tensors, **settings):
    """What a first pass finds, nothing if there is none."""
    return _call(first_pass, tensors, **settings) if first_pass else {}


def _each(function, name, settings, found, *arguments):
    """Call a function of one tensor with the settings and with what its first pass found."""
    known = {key: value for key, value in found.items() if key != "each"}
    return _call(function, *arguments, **{**settings, **known, **found.get("each", {}).get(name, {}), "name": name})


def _call(function, *arguments, **options):
    """Call with those of the options that the function names (all of them if it takes any)."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        options = {name: value for name, value in options.items()
                   if name in parameters or name not in ("keys", "others", "base", "tasks", "suite")}
    else:
        options = {name: value for name, value in options.items() if name in parameters}
    return function(*arguments, **options)
