"""How is a zoo made? Draw, pre-train, fine-tune, store: each part unless it is there already."""

import shutil
import time
from dataclasses import asdict

import torch

from ..checkpoints.lazy import CheckpointError
from ..networks import DEVICE
from ..networks.clip import TEXT, build_head
from ..paths import ZOO
from ..progress import progress
from ..suites.sketch import load_clip
from ..suites.store import check_file, pack_clip, quantise, read_file, read_manifest, unpack_clip, write_file, write_manifest
from ..tasks import EIGHT, SPLITS, TASKS, load_pictures, load_task
from ..workers import run_all
from .corpus import SEEN, captions
from .train import BASES, expert_recipe, finetune, pretrain


def plan(tower, also=()):
    """The models to fine-tune, name -> (tasks, recipe), the longest first; `also`: see `--also`."""
    models = {f"{kind}-s0": (EIGHT, expert_recipe(tower, together=True)) for kind in ("mtl", "pcgrad") if kind in also}
    models |= {f"{task}-s0": ((task,), expert_recipe(tower)) for task in (TASKS if "twelve" in also else EIGHT)}
    if "seeds" in also:
        models |= {f"{task}-s{seed}": ((task,), expert_recipe(tower, seed)) for seed in (1, 2) for task in EIGHT}
    return models


def draw_everything(tasks, base):
    """Draw all pictures that training and evaluation read; with `base` also those that the base sees, of all tasks."""
    jobs = [(task, split) for split in SPLITS for task in TASKS if (base if split in SEEN else task in tasks)]
    for _ in progress(run_all(_draw, jobs), "drawing pictures", total=len(jobs)):
        pass


def _draw(job):
    """Draw one split of one task into the cache."""
    load_pictures(*job)


def adopt_base(tower, folder):
    """Copy the shipped base and heads of a tower to a folder, unless a base is there; whether there is one now."""
    if (folder / "manifest.json").exists():
        return True
    try:
        shipped = read_manifest(ZOO / tower)
    except CheckpointError:
        return False
    if not shipped.get("shipped", True):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    for entry in (shipped["base"], shipped["heads"]):
        shutil.copy(check_file(ZOO / tower, entry), folder)
    write_manifest(folder, {"tower": tower, "base": shipped["base"], "heads": shipped["heads"], "experts": {}})
    return True


def train_base(tower, folder, work):
    """Pre-train and store the base and the heads of all tasks, unless they are there already."""
    recipes = BASES[tower]
    recorded = dict(zip(("recipe", "naming"), map(asdict, recipes)))
    if base_is_there(folder, work, recorded):
        return
    start = time.monotonic()
    clip = pretrain(tower, recipes, work)
    base = pack_clip(clip.state_dict(), torch.cat(captions()).unique())
    clip.load_state_dict(unpack_clip(base, TEXT["vocab_size"]))
    heads = {name: build_head(clip, load_task(name).classes, load_task(name).prompts) for name in TASKS}
    write_manifest(folder, {
        "tower": tower,
        "base": write_file(folder, "base", base, **recorded, **spent(start)),
        "heads": write_file(folder, "heads", heads), "experts": {}})


def train_experts(tower, models, folder, work, train=None):
    """Fine-tune and store the models of a `plan` that are not there already, one per core at a time; `train`: who does it."""
    manifest = read_manifest(folder)
    missing = [(name, *how) for name, how in models.items()
               if not _is_there(folder, manifest["experts"].get(name, {}), {"recipe": asdict(how[1])})]
    for i, entry in progress(run_all(train or _train_expert, missing, tower, folder, work), "fine-tuning", total=len(missing)):
        manifest["experts"][missing[i][0]] = entry
        write_manifest(folder, manifest)


def base_is_there(folder, work, recorded):
    """Whether a zoo has a base of which this is recorded; if not, half-trained experts of an earlier one are removed."""
    try:
        if _is_there(folder, read_manifest(folder)["base"], recorded):
            return True
    except ValueError:
        pass
    for stale in work.glob("*-s*.pt"):
        stale.unlink()
    return False


def _is_there(folder, entry, recorded):
    """Whether a file of the manifest was made as it is recorded here, and exists."""
    return entry.items() >= recorded.items() and (folder / entry["file"]).exists()


def _train_expert(tower, folder, work, job):
    """Fine-tune and store one model; gives its entry of the manifest."""
    (name, tasks, recipe), start = job, time.monotonic()
    clip, heads = load_clip(tower, folder), read_file(folder, read_manifest(folder)["heads"])
    base = {key: tensor.clone() for key, tensor in clip.visual.state_dict().items()}
    surgery = name.startswith("pcgrad")
    expert = finetune(clip.visual.to(DEVICE), heads, tasks, recipe, work / f"{name}.pt", surgery).state_dict()
    return write_file(folder, name, quantise(base, expert), recipe=asdict(recipe), **spent(start))


def spent(start):
    """How long a training took, and on what."""
    machine = torch.cuda.get_device_name(DEVICE) if torch.device(DEVICE).type == "cuda" else DEVICE
    return {"seconds": round(time.monotonic() - start), "machine": machine}
