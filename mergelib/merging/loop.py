"""How does a method become a merged checkpoint? Here is the only loop over a checkpoint's tensors."""

import warnings
from collections.abc import Mapping
from concurrent.futures import Executor, as_completed
from functools import partial
from pathlib import Path

import torch

from ..checkpoints.beside import notes_beside
from ..checkpoints.blocks import matching
from ..checkpoints.configs import check_ties
from ..checkpoints.lazy import facts
from ..checkpoints.output import Folder
from ..checkpoints.states import open_state, read_state
from ..methods import METHODS, call
from ..methods.linear import eta_by_rule
from ..progress import progress
from ..workers import ByValue
from .arguments import as_dtype, as_mapping, check_apart, check_below, check_out, known_method, open_all
from .passes import prepare
from .plan import check_suite, decide, recipe_of, works
from .work import do, stream


def merge(method: str, base, experts, preset: str | None = None, out_dtype: torch.dtype | str | None = None,
          out: str | Path | None = None, executor: Executor | None = None, shard_size: float = 5e9, **options):
    """Merge experts of one base into one state dict; methods that keep more give what `PictureSuite.logits` describes.

    `method`: a name in `METHODS`. `base`: state dict, module or path (see `checkpoints.states.open_state`); `experts`: mapping
    from task to such (a list serves too, and one alone). `preset`, `options`: see `Method.settings`. All arithmetic is in fp32;
    `out_dtype` (default: the base's) is the dtype of the floating-point tensors that come out. Integer buffers are the base's.

    `out`: a folder to which the merge is written in shards of at most `shard_size` bytes, tensor by tensor, and whose path is
    given back; after an interruption the same call goes on with it. `executor`: a `concurrent.futures.Executor` that works on
    the tensors; processes of other machines must see the same paths. With either, what lies on disk is read tensor by tensor,
    again in each pass, so memory holds T + a few tensors per worker (methods that rank whole task vectors need more: see
    `preview`). Every executor gives the same bits; without one torch uses its own threads, whose number may change the last bit
    of a decomposition.

    Raises ValueError for unknown methods, presets and options and for missing data, CheckpointError for checkpoints that do
    not fit together.

    >>> base, a, b = ({"w": torch.full((2,), x)} for x in (0.0, 1.0, 2.0))
    >>> merge("task-arithmetic", base, {"digits": a, "signs": b}, lam=0.5)
    {'w': tensor([1.5000, 1.5000])}
    """
    spec = known_method(method)
    settings = spec.settings(preset, **options)
    check_out(spec, out, shard_size, executor)
    check_below(settings)
    out_dtype = as_dtype(out_dtype)
    experts = as_mapping(experts)
    check_apart(out, (base, *experts.values()))
    source, keep = base, bool(spec.data) or (out is None and executor is None)
    base, experts, notes = open_all(base, experts, read_state if keep else open_state)
    rules, more = decide(base, experts, {"keys": "", "others": "base", **settings})
    if out:
        check_ties(source, base, experts, rules)
    say([*notes, *more, *(notes_beside(source) if out else [])])
    if spec.data:
        check_suite(spec, settings, experts)
    known = {**settings, "base": base, "tasks": tuple(experts)}
    if spec.finish:
        merged, experts = _merge_below(settings, base, experts), {task: _in_fp32(expert) for task, expert in experts.items()}
        return call(spec.finish, merged, experts, **{**known, "base": _in_fp32(base)})
    todo = works(method, base, experts, settings, out_dtype, rules)
    if out is None:
        target = _InMemory(base, tuple(experts) if spec.per_task else None)
    else:
        by_name = {name: work for work in todo for name in (work.name, *work.aliases)}
        target = Folder(out, recipe_of(method, base, experts, settings, out_dtype),
                        {name: (facts(base, name)[0], work.dtype) for name, work in by_name.items()}, shard_size,
                        source if isinstance(source, (str, Path)) else None, (base, *experts.values()),
                        lambda name: by_name[name].digest())
    with target:
        _merge_into(target, todo, spec, known, keep, executor)
    return target.result()


def first_pass(method: str, base: Mapping, experts: Mapping, preset: str | None = None, **options) -> dict:
    """What a method's own first pass finds in state dicts, such as the coefficients that AdaMerging learns and their path.

    Arguments as for `merge`. Nothing is merged.
    """
    spec = known_method(method)
    settings = spec.settings(preset, **options)
    rules, _ = decide(base, experts, settings)
    todo = [work for work in works(method, base, experts, settings, None, rules) if work.rule == "method"]
    return prepare(todo, spec, {**settings, "base": base, "tasks": tuple(experts)}, keep=True)


def _merge_into(target, todo, spec, known, keep, executor):
    """Do the works whose results a target does not have yet."""
    missing = set(target.pending())
    for work in todo:
        work.wanted = tuple(name for name in (work.name, *work.aliases) if name in missing)
    pending = [work for work in todo if work.wanted]
    if pending:         # else all shards are whole, and only the index may be missing
        prepare([work for work in todo if work.rule == "method"], spec, known, keep, executor)
    for work in pending:
        work.places = [place for place in map(target.place, work.wanted) if place]
    pending.sort(key=_shard_and_size)
    _run(pending, executor, target, spec.title)


def _shard_and_size(work):
    """Shard by shard, long ones first."""
    shard = str(work.places[0][0]) if work.places else ""
    return shard, -work.size()


def _run(pending, executor, target, title):
    """Work on the tensors, here or by an executor, and hand each result to the target."""
    done = _submitted(pending, executor) if executor else ((work, work.run()) for work in pending)
    with progress(None, f"merging with {title}", total=sum(work.size() for work in pending), unit="B", unit_scale=True,
                  delay=2) as bar:
        for work, result in done:
            for name in work.wanted:
                target.take(name, result)
            bar.update(work.size())
            work.kept = result = None


def _submitted(pending, executor):
    """Yield (work, result) as an executor is done; if one fails, those not begun are cancelled."""
    futures = {executor.submit(do, ByValue(work)): work for work in pending}
    try:
        for future in as_completed(list(futures)):
            yield futures.pop(future), future.result().value
    finally:
        for future in futures:
            future.cancel()


class _InMemory:
    """A merge that becomes a state dict, or one for each of `tasks`."""

    def __init__(self, base, tasks=None):
        self.names, self.tasks, self.merged = tuple(base), tasks, {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def pending(self):
        return self.names

    def place(self, name):
        return None

    def take(self, name, tensor):
        self.merged[name] = tensor

    def result(self):
        if self.tasks is None:
            return {name: self.merged[name] for name in self.names}
        return {task: {name: self.merged[name][i] for name in self.names} for i, task in enumerate(self.tasks)}


def say(notes):
    """Warn of what a person should know about a merge that goes on, such as what is left out."""
    if notes:
        warnings.warn("\n  ".join(["About this merge:", *notes]), stacklevel=3)


def _merge_below(settings, base, experts):
    """The merged state dict on which a method builds that is more than one: its option `below` with `below_options`."""
    below = settings["below"]
    data = {"suite": settings["suite"]} if METHODS[below].data else {}
    return merge(below, base, experts, out_dtype=torch.float32, **data, **settings["below_options"] or {})


def _in_fp32(state):
    """A state dict whose floating-point tensors are fp32."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def eta_for_mean_lambda(base, experts, target: float = 0.3, keys: str | None = None) -> float:
    """`eta_by_rule` of checkpoints: `base`, `experts` are state dicts as for `merge`."""
    base, experts, _ = open_all(base, experts, read_state)
    names = matching(keys, {name: len(facts(base, name)[0]) for name in base})
    return eta_by_rule(partial(stream, base, experts, names), target, keys="")
