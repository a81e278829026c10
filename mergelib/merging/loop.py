"""How does a method become a merged checkpoint? Here is the only loop over a checkpoint's tensors."""

import json
import re
from collections import deque
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path

import torch

from ..checkpoints.lazy import facts
from ..checkpoints.shards import Folder, described
from ..checkpoints.states import check_compatible, open_state, read_state
from ..methods import METHODS, TEST_PICTURES
from ..methods.linear import ENCODER_MATRICES, eta_by_rule
from ..methods.tensors import one_of
from ..progress import progress
from ..workers import ByValue
from .work import OTHERS, Work, call, do, look, only, stream


def merge(method, base, experts, preset=None, out_dtype=None, out=None, executor=None, shard_size=5e9, **options):
    """Merge experts of one base into one state dict; methods that keep more give what `evaluate.logits` describes.

    `method`: a name in `METHODS`. `base`: state dict or path (see `checkpoints.open_state`); `experts`: mapping from task to
    such (a list serves too). `preset`, `options`: see `Method.settings`. All arithmetic is in fp32; `out_dtype` (default: the
    base's) is the dtype of the floating-point tensors that come out. Integer buffers are the base's.

    `out`: a folder to which the merge is written in shards of at most `shard_size` bytes, tensor by tensor, and whose path is
    given back; after an interruption the same call goes on with it. `executor`: a `concurrent.futures.Executor` that works on
    the tensors; processes of other machines must see the same paths. With either, what lies on disk is read tensor by tensor,
    again in each pass, so memory holds T + a few tensors per worker (methods that rank whole task vectors need more: see
    `preview`). Every executor gives the same bits; without one torch uses its own threads, whose number may change the last bit
    of a decomposition.

    Raises ValueError for unknown methods, presets and options and for missing data, CheckpointError for checkpoints that do
    not fit together.

    >>> merge("task-arithmetic", base, {"digits": a, "signs": b}, lam=0.3)          # doctest: +SKIP
    >>> merge("ties", "base/", ["a/", "b/"], out="merged/", executor=pool)          # doctest: +SKIP
    """
    if method not in METHODS:
        raise ValueError(f"There is no method {method!r}. Known methods: {', '.join(METHODS)}.")
    spec = METHODS[method]
    settings = spec.settings(preset, **options)
    check_out(spec, out)
    source, keep = base, spec.needs != "nothing" or (out is None and executor is None)
    base, experts = open_all(base, experts, read_state if keep else open_state)
    check_compatible(base, experts)
    if spec.needs != "nothing":
        _check_suite(spec, settings["suite"], experts)
    known = {**settings, "base": base, "tasks": tuple(experts)}
    if spec.finish:
        merged, experts = _merge_below(settings, base, experts), {task: _in_fp32(expert) for task, expert in experts.items()}
        return call(spec.finish, merged, experts, **{**known, "base": _in_fp32(base)})
    if TEST_PICTURES in spec.needs and settings["others"] != "base":
        raise ValueError(f"{spec.title} learns with the base's tensors where it does not merge, so others can only be 'base'.")
    works = _works(method, base, experts, settings, out_dtype)
    if out is None:
        target = _InMemory(base, tuple(experts) if spec.per_task else None)
    else:
        target = Folder(out, _recipe(method, base, experts, settings, out_dtype),
                        {work.name: (facts(base, work.name)[0], work.dtype) for work in works}, shard_size, _folder(source))
    with target:
        _merge_into(target, works, spec, known, keep, executor)
    return target.result()


def _works(method, base, experts, settings, out_dtype):
    """What is to be done, tensor by tensor, in the order in which first passes see them."""
    plain = {name: value for name, value in settings.items() if name != "suite"}
    works = []
    for name, rule in which_rules(base, settings).items():
        dtype = facts(base, name)[1]
        needed = {} if rule == "base" else {task: only(expert, name) for task, expert in experts.items()}
        works.append(Work(name, method, rule, plain, tuple(experts), only(base, name), needed,
                          out_dtype or dtype if dtype.is_floating_point else dtype))
    return works


def _merge_into(target, works, spec, known, keep, executor):
    """Do the works whose results a target does not have yet."""
    missing = set(target.pending())
    pending = [work for work in works if work.name in missing]
    if pending:         # else all shards are whole, and only the index may be missing
        _prepare([work for work in works if work.rule == "method"], spec, known, keep, executor)
    for work in pending:
        work.place = target.place(work.name)
    pending.sort(key=lambda work: (str(work.place and work.place[0]), -work.size()))    # shard by shard, long ones first
    _run(pending, executor, target, spec.title)


def _prepare(works, spec, known, keep, executor):
    """Do the first passes over the tensors to be merged; what they find is noted in the `works`."""
    tensors = _Tensors(works, f"reading for {spec.title}", None if keep else executor, 1 + len(known["tasks"]), keep)
    for first_pass in [*(first_pass for _, first_pass in spec.transforms), spec.first_pass]:
        found = call(first_pass, tensors, **known) if first_pass else {}
        for work in progress(works, f"preparing {spec.title}", delay=2):
            work.learn(found, keep)


class _Tensors:
    """The tensors of first passes: called it yields (name, theta_0, taus) one by one; `map` has an executor look at them."""

    def __init__(self, works, title, executor, models, hide):
        self.works, self.executor, self.models = works, executor, models
        self.bar = partial(progress, None, title, disable=hide, delay=2, unit="B", unit_scale=True)

    def __call__(self):
        for work in self._shown(self.works):
            yield work.name, *work.read()       # nothing here holds on to them

    def map(self, function, keys="", additive=False):
        """function(taus) of the works whose names match, in their order; `additive`: it may be the sum over pieces of them."""
        works = [work for work in self.works if re.search(keys, work.name)]
        if self.executor is None:
            yield from (work.look(function, additive) for work in self._shown(works))
            return
        futures = deque(self.executor.submit(look, ByValue(work), ByValue(function), additive) for work in works)
        try:
            for _ in self._shown(works):
                yield futures.popleft().result().value
        finally:
            for future in futures:
                future.cancel()

    def _shown(self, works):
        """Some works with a bar of the bytes read."""
        with self.bar(total=sum(work.size() for work in works) * self.models) as bar:
            for work in works:
                yield work
                bar.update(work.size() * self.models)


def _run(works, executor, target, title):
    """Work on the tensors, here or by an executor, and hand each result to the target."""
    done = _submitted(works, executor) if executor else ((work, work.run()) for work in works)
    with progress(None, f"merging with {title}", total=sum(work.size() for work in works), unit="B", unit_scale=True,
                  delay=2) as bar:
        for work, tensor in done:
            target.take(work.name, tensor)
            bar.update(work.size())
            work.kept = tensor = None


def _submitted(works, executor):
    """Yield (work, result) as an executor is done; if one fails, those not begun are cancelled."""
    futures = {executor.submit(do, ByValue(work)): work for work in works}
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


def open_all(base, experts, read=open_state):
    """(base, experts) as `read`, which is `open_state` or `read_state`, gives them; experts become a mapping."""
    base = read(base)
    return base, {task: read(expert, base) for task, expert in as_mapping(experts).items()}


def which_rules(base, settings):
    """Name -> what becomes of a tensor: "method", or how it is made without it; those to be merged come first."""
    if settings["others"] not in ("base", *OTHERS):
        raise ValueError(f"others is {settings['others']!r}; tensors that are not merged can become base, {', '.join(OTHERS)}.")
    chosen, rest = _divide(base, settings["keys"])
    return {**dict.fromkeys(chosen, "method"), **dict.fromkeys(rest, settings["others"]),
            **{name: "base" for name in base if not facts(base, name)[1].is_floating_point}}


def _recipe(method, base, experts, settings, out_dtype):
    """All on which a result depends, as JSON can hold it; a suite becomes its digest."""
    recipe = {"method": method, "version": METHODS[method].version, "settings": settings, "dtype": str(out_dtype),
              "base": described(base), "experts": [[task, described(expert)] for task, expert in experts.items()]}
    return json.loads(json.dumps(recipe, default=lambda value: getattr(value, "digest", repr(value))))


def _folder(source):
    """The folder that a source is, or None."""
    return Path(source) if isinstance(source, (str, Path)) and Path(source).is_dir() else None


def check_out(spec, out):
    """Raise ValueError for a folder to write to if a method gives more than one model."""
    if out is not None and (spec.finish or spec.per_task):
        raise ValueError(f"{spec.title} gives more than one model, and out is a place for one. Merge without out.")


def _check_suite(spec, suite, experts):
    """Raise ValueError unless there is a suite that has the experts' tasks."""
    if suite is None:
        raise ValueError(f"{spec.title} needs {spec.needs}. Give suite=..., as `load_suite` returns it.")
    if hasattr(suite, "examples") and not _learns(spec):
        raise ValueError(f"{spec.title} works with pictures only, and {suite.name} asks in words. What learns on test inputs "
                         f"alone works there: {', '.join(name for name, other in METHODS.items() if _learns(other))}.")
    if unknown := sorted(set(experts) - set(suite.heads or suite.tasks)):
        raise ValueError(f"{', '.join(unknown)}: no task of {suite.name}. Name the experts after its tasks: "
                         f"{', '.join(suite.tasks)}.")


def _learns(spec):
    """Whether a method gives one model and needs unlabelled test inputs, nothing else."""
    return spec.needs == TEST_PICTURES and not spec.finish


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
    floating = sorted(name for name in base if facts(base, name)[1].is_floating_point)
    chosen = [name for name in floating if re.search(keys, name)]
    if not chosen:
        raise ValueError(f"keys={keys!r} matches no tensor of this checkpoint. Its names look like {', '.join(floating[:3])}.")
    return chosen, [name for name in floating if name not in chosen]


def eta_for_mean_lambda(base, experts, target=0.3, keys=ENCODER_MATRICES):
    """`eta_by_rule` of checkpoints: `base`, `experts` are state dicts as for `merge`."""
    names = [name for name in base if re.search(keys, name)]
    return eta_by_rule(partial(stream, base, as_mapping(experts), names), target, keys)


def as_mapping(experts):
    """Experts as a mapping: a list gets the names expert-1, expert-2, ..."""
    if hasattr(experts, "items"):
        return dict(experts)
    return {f"expert-{i}": expert for i, expert in enumerate(experts, start=1)}
