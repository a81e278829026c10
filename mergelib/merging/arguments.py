"""What was `merge` given? Each argument in the one form that the rest works with, or an error that says what it can be."""

import os
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path

import torch
from torch import nn

from ..checkpoints.configs import check_configs
from ..checkpoints.files import CheckpointError, few
from ..checkpoints.folders import check_whole
from ..checkpoints.handed import is_state
from ..checkpoints.prefixes import renamed_like
from ..checkpoints.quantised import DTYPES
from ..checkpoints.states import open_state
from ..methods import METHODS, Method

FLOATING = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES.values() if dtype.is_floating_point}


def known_method(name: str) -> Method:
    """A method's entry in the registry; ValueError names the known ones."""
    if name not in list(METHODS):          # a list compares what cannot be hashed, too
        raise ValueError(f"There is no method {name!r}. Known methods: {', '.join(METHODS)}.")
    return METHODS[name]


def as_mapping(experts) -> dict:
    """Experts as a mapping: a list gets the names expert-1, expert-2, ...; a path or a state dict is one expert.

    Raises CheckpointError for what is no path, state dict or module, nor holds such.
    """
    if experts is None:
        raise CheckpointError("There is no expert to merge. Give at least one.")
    if isinstance(experts, str) and not os.path.exists(experts):
        raise CheckpointError(f"experts is the text {experts!r}, and there is no such path. A text is the path of one expert, "
                              f"not a list of letters; give a list of paths for several.")
    if _is_one(experts):
        experts = [experts]
    if isinstance(experts, Mapping):
        named = {str(task): expert for task, expert in experts.items()}
        if len(named) < len(experts):
            raise CheckpointError(f"Two experts have the same name as text: {few(experts)}. Give each a name of its own.")
    elif isinstance(experts, Iterable) and not isinstance(experts, bytes | torch.Tensor):
        named = {f"expert-{i}": expert for i, expert in enumerate(experts, start=1)}
    else:
        raise CheckpointError(f"experts is of type {type(experts).__name__}. Give a list of paths or state dicts, or a mapping "
                              f"from task to such.")
    if odd := [f"{task} (of type {type(expert).__name__})" for task, expert in named.items() if not _is_source(expert)]:
        raise CheckpointError(f"These experts are no paths, state dicts or modules: {', '.join(odd[:6])}.")
    return named


def _is_source(thing) -> bool:
    """Whether something can be a checkpoint."""
    return isinstance(thing, str | os.PathLike | Mapping | nn.Module)


def _is_one(experts) -> bool:
    """Whether something is one checkpoint, perhaps with other entries around its state dict, and not several."""
    if not isinstance(experts, Mapping) or hasattr(experts, "facts") or is_state(experts):
        return _is_source(experts)
    return any(isinstance(value, Mapping | nn.Module) for value in experts.values()) and not all(
        _is_source(value) for value in experts.values())


def open_all(base, experts, read=open_state) -> tuple:
    """(base, experts, notes) as `read`, which is `open_state` or `read_state`, gives them; experts become a mapping.

    Notes are lines on what was recognised. Raises CheckpointError where what lies beside base and experts contradicts each
    other.
    """
    given, found, notes = as_mapping(experts), {}, []
    opened = _opened("base", open_state, base)      # on disk a base's folder is known, which adapters ask for
    for task, expert in given.items():
        found[task], said = renamed_like(opened, _opened(f"expert {task}", read, expert, opened))
        notes += [f"expert {task}: {said}"] if said else []
    check_configs(base, given)
    return _opened("base", read, opened), found, notes


def _opened(who, read, source, base=None):
    """What `read` gives; its errors say whose checkpoint it is."""
    try:
        if isinstance(source, str | os.PathLike):
            check_whole(Path(source))
        return read(source, base)
    except CheckpointError as error:
        raise CheckpointError(f"{who}: {error}") from error


def as_dtype(dtype) -> torch.dtype | None:
    """A floating-point dtype, also by its name; None stays None. Raises ValueError."""
    found = FLOATING.get(dtype.removeprefix("torch."), dtype) if isinstance(dtype, str) else dtype
    if found is not None and found not in FLOATING.values():
        raise ValueError(f"out_dtype is {dtype!r}; it can be {', '.join(FLOATING)} or None, which is the base's.")
    return found


def check_out(spec: Method, out, shard_size=1, executor=None) -> None:
    """Raise ValueError unless `out` can be a folder for what a method gives, in shards, by an executor."""
    if out is not None and (not isinstance(out, str | os.PathLike) or not str(out)):
        raise ValueError(f"out is {out!r}; it can be the path of a folder, or None to merge in memory.")
    if not isinstance(shard_size, Real) or isinstance(shard_size, bool) or not shard_size > 0:
        raise ValueError(f"shard_size is {shard_size!r}; it can be a number of bytes above 0.")
    if executor is not None and not hasattr(executor, "submit"):
        raise ValueError(f"executor is {executor!r}; it can be a concurrent.futures.Executor or None.")
    if out is not None and (spec.finish or spec.per_task):
        raise ValueError(f"{spec.title} gives more than one model, and out is a place for one. Merge without out.")


def check_apart(out, sources) -> None:
    """Raise ValueError if `out` is the folder of a checkpoint that is merged: later the merge would be taken for it."""
    for source in sources if out is not None else ():
        if isinstance(source, str | os.PathLike) and os.path.realpath(source) == os.path.realpath(out):
            raise ValueError(f"out is {out}, which is the folder of the base or of an expert. Give a folder of its own.")


def check_below(settings) -> None:
    """Raise ValueError unless the option `below`, if there is one, names a method of one model that takes `below_options`."""
    if "below" not in settings:
        return
    below, options = settings["below"], settings["below_options"] or {}
    one_model = [name for name, spec in METHODS.items() if not spec.per_task and not spec.finish]
    if below not in one_model:
        raise ValueError(f"below is {below!r}; it can be {', '.join(map(repr, one_model))}.")
    METHODS[below].settings(**{str(name): value for name, value in options.items() if name != "suite"})
