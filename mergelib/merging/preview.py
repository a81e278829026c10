"""What would a merge do, and what is in a checkpoint? Sizes, memory and time, told before anything is written."""

import re
import shutil
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

from ..checkpoints.adapters import WEIGHTS, is_adapter
from ..checkpoints.beside import notes_beside
from ..checkpoints.configs import check_ties
from ..checkpoints.files import CheckpointError, read_json
from ..checkpoints.lazy import facts, headers
from ..checkpoints.lora_config import read_config
from ..checkpoints.output import RECIPE
from ..checkpoints.quantised import refusal
from ..checkpoints.shards import plan_shards, size_of
from ..checkpoints.states import open_state
from ..methods import METHODS
from .arguments import as_dtype, as_mapping, check_apart, check_out, known_method, open_all
from .loop import merge
from .plan import decide


def report(method, base, experts, preset=None, out=None, out_dtype=None, shard_size=5e9, **options):
    """What `merge` would do with these arguments, as JSON can hold it; writes nothing and reads little more than headers.

    The time comes from merging one tensor of middling size and is rough. Raises what `merge` raises for arguments that do not
    fit.
    """
    spec = known_method(method)
    settings = spec.settings(preset, **options)
    check_out(spec, out, shard_size)
    out_dtype = as_dtype(out_dtype)
    experts = as_mapping(experts)
    check_apart(out, (base, *experts.values()))
    source, (base, experts, notes) = base, open_all(base, experts)
    rules, more = decide(base, experts, {"keys": "", "others": "base", **settings})
    if out:
        check_ties(source, base, experts, rules)
    written = {name: _coming_out(facts(base, name), out_dtype) for name in base}
    return {"method": method, "title": spec.title, "paper": f"{spec.paper}; {spec.equation}", "settings": settings,
            "experts": list(experts), "bytes": _bytes(base),
            "tensors": list(_fates(base, rules, spec, settings.get("keys", ""))),
            "output": _output(out, written, shard_size), "memory": _memory(method, settings, base, experts, rules),
            "time": _time(method, preset, options, base, experts, [name for name, rule in rules.items() if rule == "method"]),
            "notes": [*notes, *more, *(notes_beside(source) if out else [])]}


def preview(method, base, experts, **how):
    """The `report` of a merge, as text."""
    told = report(method, base, experts, **how)
    output, memory, taken = told["output"], told["memory"], told["time"]
    fates = [f"{fate['what']}: {fate['count']} tensors, {_size(fate['bytes'])} ({', '.join(fate['names'])})"
             for fate in told["tensors"]]
    where = f" in {output['folder']}, where {_size(output['free'])} are free" if output["folder"] else ""
    kept = f"; {told['title']} also keeps {memory['keeps']} in the first process" if memory["keeps"] else ""
    lines = [f"{told['title']} ({told['paper']}), {_listed(told['settings'])}",
             f"base and {len(told['experts'])} experts ({', '.join(told['experts'])}), {_size(told['bytes'])} each as dense "
             f"checkpoints", *fates,
             f"output: {_size(output['bytes'])} in {output['files']} file(s){where}",
             f"memory: {_size(memory['bytes'])} per worker for {memory['tensor']} ((T + 2) x its fp32 numbers), and once or "
             f"twice as much again while the method works on it{kept}",
             f"time: not known, as {taken['tensor']} alone cannot be merged ({taken['unknown']})" if taken["unknown"] else
             f"time: about {_duration(taken['seconds'])} with one worker, judged by {taken['tensor']} ({taken['measured']:.2g} "
             f"s)", *told["notes"]]
    return "\n".join(lines)


def contents(path):
    """What a checkpoint, an adapter or a merged folder holds, as JSON can hold it, from headers alone.

    "refused" says why a merge would refuse it as it lies there, if it would. Raises CheckpointError for what cannot be read.
    """
    path = Path(path)
    adapter = path.is_dir() and is_adapter(path)
    state, refused = _adapter_looked_into(path) if adapter else _looked_into(path)
    known = {name: facts(state, name) for name in state}
    largest = sorted(known, key=lambda name: -size_of(*known[name]))[:5]
    told = {"path": str(path), "tensors": len(known),
            "numbers": sum(size_of(*fact) // fact[1].itemsize for fact in known.values()),
            "bytes": _bytes(state), "files": len(state.paths()) if hasattr(state, "paths") else 1,
            "dtypes": dict(Counter(str(dtype).removeprefix("torch.") for _, dtype in known.values()).most_common()),
            "largest": [{"name": name, "shape": list(known[name][0]), "bytes": size_of(*known[name])} for name in largest],
            "refused": refused}
    if adapter:
        config = read_json(path / "adapter_config.json")
        names = {"r": "r", "alpha": "lora_alpha", "base": "base_model_name_or_path"}
        told["adapter"] = {name: config.get(key) if isinstance(config, dict) else None for name, key in names.items()}
    if (path / RECIPE).exists():
        told["merged"] = _merged(path / RECIPE)
    return told


def inspect(path):
    """The `contents` of a path, as text."""
    told = contents(path)
    lines = [f"{told['path']}: {told['tensors']} tensors, {told['numbers']:,} numbers, {_size(told['bytes'])} in "
             f"{told['files']} file(s)",
             "dtypes: " + ", ".join(f"{kind} {count}" for kind, count in told["dtypes"].items()), "largest:",
             *(f"  {one['name']} {tuple(one['shape'])}, {_size(one['bytes'])}" for one in told["largest"])]
    if "adapter" in told:
        lines.append(f"LoRA adapter: r {told['adapter']['r']}, alpha {told['adapter']['alpha']}, "
                     f"of {told['adapter']['base'] or 'a base it does not name'}")
    if "merged" in told:
        lines.append(f"merged by {told['merged']['method']} ({_listed(told['merged']['settings'])}) from "
                     f"{', '.join(told['merged']['experts'])}")
    return "\n".join([*lines, *([f"would be refused: {told['refused']}"] if told["refused"] else [])])


def _adapter_looked_into(folder):
    """As `_looked_into` for an adapter's folder: whether it fits a base is not asked."""
    try:
        read_config(folder)
    except CheckpointError as error:
        return headers(folder / WEIGHTS), str(error)
    return headers(folder / WEIGHTS), ""


def _looked_into(path):
    """(state, why it would be refused or ""): headers of safetensors, numbers of any kind, or a pickled state dict."""
    try:
        return open_state(path), ""
    except CheckpointError as error:
        try:
            state = headers(path)
        except CheckpointError:
            raise error from None
        return state, refusal(state.known, path) or str(error)


def _merged(file):
    """What the recipe of a merge says. Raises CheckpointError for a damaged one."""
    try:
        recipe = read_json(file)
        return {"method": str(recipe["method"]), "settings": dict(recipe["settings"]),
                "experts": [str(task) for task, _ in recipe["experts"]]}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged, so it does not say how this was merged. Remove or restore it.") from error


def _fates(base, rules, spec, keys):
    """For each thing that becomes of tensors: how many, how large, and what their names look like."""
    which = "matrices inside blocks" if keys is None else spec.merges
    words = {"method": f"merged by {spec.title} ({which})", "base": "kept as the base has them",
             **{rule: f"tied, {rule}" for rule in rules.values() if rule.startswith("as ")}}
    for rule in dict.fromkeys(rules.values()):
        names = [name for name in rules if rules[name] == rule]
        yield {"what": words.get(rule, f"made by {rule}"), "rule": rule, "count": len(names),
               "bytes": sum(size_of(*facts(base, name)) for name in names), "names": _patterns(names)}


def _patterns(names):
    """What names look like: their numbers as *, the commonest four."""
    found = Counter(re.sub(r"\d+", "*", name) for name in names)
    return [*(pattern for pattern, _ in found.most_common(4)), *(["..."] if len(found) > 4 else [])]


def _output(out, written, shard_size):
    """How much is written, in which files, and whether the disk has room."""
    shards = plan_shards(written, shard_size)
    there = out and next(folder for folder in (Path(out).absolute(), *Path(out).absolute().parents) if folder.exists())
    return {"bytes": sum(shard.size for shard in shards), "files": len(shards), "folder": out and str(out),
            "free": shutil.disk_usage(there).free if out else None}


def _memory(method, settings, base, experts, rules):
    """What a worker holds: the base's and the experts' vectors of the largest tensor, and the method's own."""
    touched = [name for name, rule in rules.items() if rule != "base"]
    name = max(touched, key=partial(_in_fp32, base))
    held = (len(experts) + 2) * _in_fp32(base, name)
    whole = METHODS[method].holds or ("every tensor's delta, a model or more" if _needs_deltas(settings) else "")
    return {"bytes": held, "tensor": name, "keeps": whole}


def _needs_deltas(settings):
    """Whether DOGE's first pass keeps what it finds for every tensor."""
    everywhere = settings.get("mask") == "tau+delta" and settings.get("mask_scope") == "global"
    return settings.get("inner_product") == "global" or everywhere


def _time(method, preset, options, base, experts, chosen, most=1 << 24):
    """A time for the whole, from merging one tensor: the largest of at most `most` numbers, or the smallest there is."""
    touched = [name for name in chosen if all(name in getattr(expert, "touched", chosen) for expert in experts.values())]
    fitting = [name for name in touched if _in_fp32(base, name) <= 4 * most]
    name = max(fitting, key=partial(_in_fp32, base)) if fitting else min(chosen, key=partial(_in_fp32, base))
    one, each = {name: base[name]}, {task: {name: expert[name]} for task, expert in experts.items()}
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(action="ignore"):
            merge(method, one, each, preset, **{**options, "keys": ""} if "keys" in METHODS[method].declared else options)
    except ValueError as error:
        return {"seconds": None, "tensor": name, "measured": None, "unknown": str(error).splitlines()[0]}
    taken = time.perf_counter() - start
    total = taken * sum(_in_fp32(base, name) for name in chosen) / max(_in_fp32(base, name), 1)
    return {"seconds": total, "tensor": name, "measured": taken, "unknown": None}


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
