"""`python -m mergelib.zoo`: train the zoo from nothing, resumable at any point, and print its regime table."""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ..benchmark import EIGHT, SPLITS, TASKS, load_pictures, load_task
from ..experiments import regime_table, regime_verdict
from ..ledger import Ledger
from ..models import TEXT, build_head
from ..paths import CACHE, ROOT, ZOO
from . import load_clip, load_suite
from .store import pack_clip, quantise, read_file, read_manifest, unpack_clip, write_file, write_manifest
from .train import FINETUNE, PRETRAIN, caption_tokens, finetune, pretrain


def main():
    """Draw pictures, pre-train, fine-tune, store, report."""
    parser = argparse.ArgumentParser(prog="python -m mergelib.zoo", description=__doc__)
    parser.add_argument("--tower", default="main", help="image tower to train (default: main)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "zoo",
                        help="folder to write to; the shipped zoo in data/zoo stays as it is unless named here")
    options = parser.parse_args()
    start, folder, work = time.monotonic(), options.out / options.tower, CACHE / "training" / options.tower
    draw_everything()
    train_base(options.tower, folder, work)
    for task in tqdm(EIGHT, "experts"):
        train_expert(options.tower, task, FINETUNE, folder, work)
    print(f"\nThe zoo is in {folder} ({time.monotonic() - start:.0f} s). Its regime:\n")
    table = regime_table(load_suite("sketch-8", options.tower, folder=folder), ledger=Ledger(folder / "results"))
    write_manifest(folder, {**read_manifest(folder), "regime": table.round(4).to_dict("index")})
    print(table.round(3).to_string(), regime_verdict(table).to_string(index=False), sep="\n\n")
    if options.out != ZOO:
        print(f"\nTo use it instead of the shipped one, set MERGELIB_ZOO={options.out}")


def draw_everything():
    """Draw all pictures that training and evaluation read, on two processes."""
    jobs = [(task, split) for split in SPLITS for task in (TASKS if split == "web" else EIGHT)]
    with ProcessPoolExecutor(2) as pool:
        list(tqdm(pool.map(_draw, jobs), "drawing pictures", total=len(jobs)))


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


def train_expert(tower, task, recipe, folder, work):
    """Fine-tune and store one expert, unless it is there already."""
    manifest, name = read_manifest(folder), f"{task}-s{recipe.seed}"
    if manifest["experts"].get(name, {}).get("recipe") == asdict(recipe):
        return
    start = time.monotonic()
    clip = load_clip(tower, folder)
    base = {key: tensor.clone() for key, tensor in clip.visual.state_dict().items()}
    expert = finetune(clip, read_file(folder, manifest["heads"])[task], task, recipe, work).state_dict()
    manifest["experts"][name] = write_file(folder, name, quantise(base, expert), recipe=asdict(recipe),
                                           seconds=round(time.monotonic() - start))
    write_manifest(folder, manifest)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
