"""What would a merge do, and what is in a checkpoint? Sizes, memory and time, told before anything is written."""

import json
import re
import shutil
import time
from collections import Counter
from functools import partial
from pathlib import Path

from ..checkpoints.adapters import is_adapter
from ..checkpoints.folder import RECIPE
from ..checkpoints.lazy import facts, lazy_state
from ..checkpoints.shards import plan_shards, size_of
from ..methods import METHODS
from .loop import merge
from .plan import check_out, decide, open_all


def preview(method, base, experts, preset=None, out=None, out_dtype=None, shard_size=5e9, **options):
    """What `merge` would do with these arguments, as text; writes nothing and reads little more than headers.

    The time comes from merging one tensor of middling size and is rough. Raises what `merge` raises for arguments that do not
    fit.
    """
    spec = METHODS[method]
    settings = spec.settings(preset, **options)
    check_out(spec, out)
    base, experts, notes = open_all(base, experts)
    rules, more = decide(base, experts, settings)
    written = {name: _coming_out(facts(base, name), out_dtype) for name in base}
    lines = [f"{spec.title} ({spec.paper}; {spec.equation}), {_listed(settings)}",
             f"base and {len(experts)} experts ({', '.join(experts)}), {_size(_bytes(base))} each as dense checkpoints",
             *_fates(base, rules, spec),
             _output(out, written, shard_size),
             _memory(method, settings, base, experts, rules),
             _time(method, preset, options, base, experts, [name for name, rule in rules.items() if rule == "method"]),
             *notes, *more]
    return "\n".join(lines)


def inspect(path):
    """What a checkpoint, an adapter or a merged folder holds, as text, from headers alone."""
    path = Path(path)
    state = lazy_state(path / "adapter_model.safetensors" if is_adapter(path) else path)
    kinds = Counter(str(state.facts(name)[1]).removeprefix("torch.") for name in state)
    numbers = sum(size_of(*state.facts(name)) // state.facts(name)[1].itemsize for name in state)
    largest = sorted(state, key=lambda name: -size_of(*state.facts(name)))[:5]
    lines = [f"{path}: {len(state)} tensors, {numbers:,} numbers, {_size(_bytes(state))} in {len(state.paths())} file(s)",
             "dtypes: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()), "largest:",
             *(f"  {name} {state.facts(name)[0]}, {_size(size_of(*state.facts(name)))}" for name in largest)]
    if is_adapter(path):
        config = json.loads((path / "adapter_config.json").read_text())
        lines.append(f"LoRA adapter: r {config.get('r')}, alpha {config.get('lora_alpha')}, "
                     f"of {config.get('base_model_name_or_path') or 'a base it does not name'}")
    if (path / RECIPE).exists():
        recipe = json.loads((path / RECIPE).read_text())
        lines.append(f"merged by {recipe['method']} ({_listed(recipe['settings'])}) from "
                     f"{', '.join(task for task, _ in recipe['experts'])}")
    return "\n".join(lines)


def _fates(base, rules, spec):
    """A line for each thing that becomes of tensors: how many, how large, and what their names look like."""
    words = {"method": f"merged by {spec.title} ({spec.merges})", "base": "kept as the base has them"}
    for rule in dict.fromkeys(rules.values()):
        names = [name for name in rules if rules[name] == rule]
        yield (f"{words.get(rule, f'made by {rule}')}: {len(names)} tensors, "
               f"{_size(sum(size_of(*facts(base, name)) for name in names))} ({', '.join(_patterns(names))})")


def _patterns(names):
    """What names look like: their numbers as *, the commonest four."""
    found = Counter(re.sub(r"\d+", "*", name) for name in names)
    return [*(pattern for pattern, _ in found.most_common(4)), *(["..."] if len(found) > 4 else [])]


def _output(out, written, shard_size):
    """How much is written, in which files, and whether the disk has room."""
    shards = plan_shards(written, shard_size)
    line = f"output: {_size(sum(shard.size for shard in shards))} in {len(shards)} file(s)"
    if out is None:
        return line
    there = next(folder for folder in (Path(out).absolute(), *Path(out).absolute().parents) if folder.exists())
    return f"{line} in {out}, where {_size(shutil.disk_usage(there).free)} are free"


def _memory(method, settings, base, experts, rules):
    """What a worker holds: the base's and the experts' vectors of the largest tensor, and the method's own."""
    touched = [name for name, rule in rules.items() if rule != "base"]
    name = max(touched, key=partial(_in_fp32, base))
    held = (len(experts) + 2) * _in_fp32(base, name)
    whole = METHODS[method].holds or ("every tensor's delta, a model or more" if _needs_deltas(settings) else "")
    line = (f"memory: {_size(held)} per worker for {name} ((T + 2) x its fp32 numbers), and once or twice as much again while "
            f"the method works on it")
    return f"{line}; {METHODS[method].title} also keeps {whole} in the first process" if whole else line


def _needs_deltas(settings):
    """Whether DOGE's first pass keeps what it finds for every tensor."""
    everywhere = settings.get("mask") == "tau+delta" and settings.get("mask_scope") == "global"
    return settings.get("inner_product") == "global" or everywhere


def _time(method, preset, options, base, experts, chosen, most=1 << 24):
    """A time for the whole, from merging one tensor: the largest of at most `most` numbers, or the smallest there is."""
    touched = [name for name in chosen if all(name in getattr(expert, "touched", chosen) for expert in experts.values())]
    fitting = [name for name in touched if _in_fp32(base, name) <= 4 * most]
    name = max(fitting, key=partial(_in_fp32, base)) if fitting else min(chosen, key=partial(_in_fp32, base))
    start = time.perf_counter()
    try:
        merge(method, {name: base[name]}, {task: {name: expert[name]} for task, expert in experts.items()}, preset, **options)
    except ValueError as error:
        return f"time: not known, as {name} alone cannot be merged ({str(error).splitlines()[0]})"
    taken = time.perf_counter() - start
    total = taken * sum(_in_fp32(base, name) for name in chosen) / _in_fp32(base, name)
    return f"time: about {_duration(total)} with one worker, judged by {name} ({taken:.2g} s)"


def _coming_out(fact, out_dtype):
    """(shape, dtype) of a tensor that comes out."""
    shape, dtype = fact
    return shape, out_dtype or dtype if dtype.is_floating_point else dtype


def _in_fp32(state, name):
    """Bytes of a tensor in fp32."""
    shape, dtype = facts(state, name)
    return size_of(shape, dtype) // dtype.itemsize * 4


def _bytes(state):
    return sum(size_of(*facts(state, name)) for name in state)


def _size(count):
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _duration(seconds):
    """Seconds for people."""
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _listed(settings):
    """Settings as name=value."""
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())
