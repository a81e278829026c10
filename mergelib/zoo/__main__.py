"""`python -m mergelib.zoo`: train the zoo from nothing, resumable at any point, and print its regime table."""

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path

from ..benchmark import EIGHT, SPLITS, TASKS, load_pictures, load_task
from ..experiments import regime_table, regime_verdict
from ..ledger import Ledger
from ..models import TEXT, TOWERS, build_head
from ..paths import CACHE, ROOT, ZOO
from ..progress import progress
from ..workers import run_all
from . import load_clip, load_suite
from .store import pack_clip, quantise, read_file, read_manifest, unpack_clip, write_file, write_manifest
from .train import FINETUNE, JOINT, PRETRAIN, caption_tokens, finetune, pretrain


def main():
    """Draw pictures, pre-train, fine-tune, store, report."""
    parser = argparse.ArgumentParser(prog="python -m mergelib.zoo", description=__doc__)
    parser.add_argument("--tower", default="main", choices=TOWERS, help="image tower to train (default: main)")
    parser.add_argument("--also", nargs="*", default=[], choices=("twelve", "seeds", "mtl"),
                        help="beside the base and the experts of the eight tasks: those of the twelve further tasks, two more "
                             "fine-tuning seeds of the eight, one model trained on the eight tasks together")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "zoo",
                        help="folder to write to; the shipped zoo in data/zoo stays as it is unless named here")
    options = parser.parse_args()
    start, folder, work = time.monotonic(), options.out / options.tower, CACHE / "training" / options.tower
    models = plan(options.also)
    draw_everything({task for tasks, _ in models.values() for task in tasks})
    train_base(options.tower, folder, work)
    train_experts(options.tower, models, folder, work)
    print(f"\nThe zoo is in {folder} ({time.monotonic() - start:.0f} s). Its regime:\n")
    table = regime_table(load_suite("sketch-8", options.tower, folder=folder), ledger=Ledger(folder / "results"))
    write_manifest(folder, {**read_manifest(folder), "regime": table.round(4).to_dict("index")})
    print(table.round(3).to_string(), regime_verdict(table).to_string(index=False), sep="\n\n")
    if options.out != ZOO:
        print(f"\nTo use it instead of the shipped one, set MERGELIB_ZOO={options.out}")


def plan(also=()):
    """The models to fine-tune, name -> (tasks, recipe), the longest first; `also`: see `--also`."""
    models = {"mtl-s0": (EIGHT, JOINT)} if "mtl" in also else {}
    models |= {f"{task}-s0": ((task,), FINETUNE) for task in (TASKS if "twelve" in also else EIGHT)}
    if "seeds" in also:
        models |= {f"{task}-s{seed}": ((task,), replace(FINETUNE, seed=seed)) for seed in (1, 2) for task in EIGHT}
    return models


def draw_everything(tasks):
    """Draw all pictures that training and evaluation read."""
    jobs = [(task, split) for split in SPLITS for task in TASKS if split == "web" or task in tasks]
    for _ in progress(run_all(_draw, jobs), "drawing pictures", total=len(jobs)):
        pass


def _draw(job):
    """Draw one split of one task into the cache."""
    load_pictures(*job)


def train_base(tower, folder, work):
    """Pre-train and store the base and the heads of all tasks, unless they are there already."""
    try:
        if read_manifest(folder)["base"]["recipe"] == asdict(PRETRAIN):
            return
    except ValueError:
        pass
    for stale in work.glob("*-s*.pt"):      # half-trained experts of an earlier base
        stale.unlink()
    start = time.monotonic()
    clip = pretrain(tower, PRETRAIN, work)
    base = pack_clip(clip.state_dict(), caption_tokens())
    clip.load_state_dict(unpack_clip(base, TEXT["vocab_size"]))
    heads = {name: build_head(clip, load_task(name).classes, load_task(name).prompts) for name in TASKS}
    write_manifest(folder, {
        "tower": tower,
        "base": write_file(folder, "base", base, recipe=asdict(PRETRAIN), seconds=round(time.monotonic() - start)),
        "heads": write_file(folder, "heads", heads), "experts": {}})


def train_experts(tower, models, folder, work):
    """Fine-tune and store the models of a `plan` that are not there already, one per core at a time."""
    manifest = read_manifest(folder)
    missing = [(name, *how) for name, how in models.items()
               if manifest["experts"].get(name, {}).get("recipe") != asdict(how[1])]
    for i, entry in progress(run_all(_train_expert, missing, tower, folder, work), "fine-tuning", total=len(missing)):
        manifest["experts"][missing[i][0]] = entry
        write_manifest(folder, manifest)


def _train_expert(tower, folder, work, job):
    """Fine-tune and store one model; gives its entry of the manifest."""
    (name, tasks, recipe), start = job, time.monotonic()
    clip, heads = load_clip(tower, folder), read_file(folder, read_manifest(folder)["heads"])
    base = {key: tensor.clone() for key, tensor in clip.visual.state_dict().items()}
    expert = finetune(clip.visual, heads, tasks, recipe, work / f"{name}.pt").state_dict()
    return write_file(folder, name, quantise(base, expert), recipe=asdict(recipe), seconds=round(time.monotonic() - start))


if __name__ == "__main__":
    main()
