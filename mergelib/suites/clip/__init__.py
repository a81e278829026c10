"""What is there to merge at the papers' scale? Suites of OpenAI's CLIP, its published experts and the papers' data sets.

Base, experts (family B of `families`) and data sets come from the Hugging Face Hub; the heads are built from the base's own
text tower. Only the image towers are merged; their projection, which these experts do not have, stays the base's.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ...checkpoints.families import read_clip, read_tower
from ...checkpoints.states import read_state, write_state
from ...networks.clip import PAPER_TOWERS, build_head, build_paper_clip, openai_pixels
from ...paths import CACHE, checksum
from ...progress import progress
from ...tasks import load_task
from ...tasks.corruptions import SEVERITIES, parse_condition
from ..pictures import PictureSuite
from .hub import Source, choose, fetch, pin
from .pictures import load_pictures
from .tasks import load_tasks

SUITES = {"clip-8": 8, "clip-20": 20}
SIZES = dict(zip(PAPER_TOWERS, ("base-patch32", "base-patch16", "large-patch14")))      # in the names of repositories
WEIGHTS = ("config.json", "*.safetensors|*.bin")


@dataclass(frozen=True)
class ClipSuite(PictureSuite):
    """A suite of one of the papers' towers."""

    family: str = "B"
    data: dict = field(default_factory=dict, repr=False)       # task -> (name -> path, commit) of its data set

    side_by_side = False        # a merge needs the whole machine
    gradient_batch = 50
    half = True

    def named(self, *names):
        """The data sets for which some tasks of ours stand."""
        return tuple(load_task(name).sibling for name in names)

    def stands_beside(self, model, family):
        return (str(model).replace("/", "-"), family) == (self.model, self.family)

    def images(self, pixels):
        return openai_pixels(pixels, self.device)

    def pictures(self, task, split, count=None):
        """(pixels uint8 N x side x side x 3, labels int64 N) of one task's split: all, or `count` (see `load_pictures`)."""
        known, (files, commit) = load_tasks()[task], self.data[task]
        part = "test" if split == "test" else "train"
        if split == "test" and self.condition != "clean":
            part = split = parse_condition(self.condition)[0].replace(" ", "_")
            source = Source(known.dataset, "dataset", (_pattern(known, part),))
            files = fetch([source])[source]
        names = choose(Source(known.dataset, "dataset", (_pattern(known, part),)), files)
        grid = int((len(self.base["positional_embedding"]) - 1) ** 0.5)
        side = grid * self.base["conv1.weight"].shape[-1]
        return load_pictures(known, split, [files[name] for name in names], commit[:8], side, count)

    def has_condition(self, condition):
        return condition == "clean" or parse_condition(condition)[1:] == (SEVERITIES[-1], "cifar")

    def under(self, condition):
        """The same suite with its test pictures under another condition, of the four tasks that the papers corrupt.

        The data sets of these have a corrupted copy for every corruption, which stands for the worst severity of "cifar": how
        strong it is they do not say. It is fetched when it is needed. ValueError for other severities and definitions.
        """
        if not self.has_condition(condition):
            raise ValueError(f"The data sets of {self.name} have one copy for each corruption, filed as severity "
                             f"{SEVERITIES[-1]} of 'cifar', and none for {condition!r}.")
        return replace(self, condition=condition)


def load(name, model, seed=0, folder=None, device=None):
    """The `ClipSuite` "clip-8" or "clip-20" of one of `PAPER_TOWERS`; what is not on this disk is fetched (see `hub`).

    `device`: where tensors go and all computing; default: what MERGELIB_DEVICE says, else a GPU if there is one. Raises
    ValueError for an unknown suite or tower and for a seed or folder, FetchError, and CheckpointError for files that are not
    what they should be.
    """
    if name not in SUITES or model not in PAPER_TOWERS:
        raise ValueError(f"There is no suite {name!r} of {model!r}. The papers' towers {', '.join(PAPER_TOWERS)} have the "
                         f"suites {', '.join(SUITES)}.")
    if seed or folder:
        raise ValueError("The published experts come from the Hub and have one seed, 0; give neither seed nor folder.")
    device = torch.device(device or os.environ.get("MERGELIB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))
    tasks = dict(list(load_tasks().items())[:SUITES[name]])
    base, *experts = weights = [Source(f"openai/clip-vit-{SIZES[model]}", "model", WEIGHTS),
                                *(Source(f"tanganke/clip-vit-{SIZES[model]}_{task.expert}", "model", WEIGHTS)
                                  for task in tasks.values())]
    data = [Source(task.dataset, "dataset", (_pattern(task, "train"), _pattern(task, "test"))) for task in tasks.values()]
    found = fetch([*weights, *data])
    pinned = pin(found)
    commits = {source: pinned[source.key]["commit"] for source in found}
    said = [(task.name, task.classes, task.prompts) for task in tasks.values()]
    visual = _tower(found[base], device)
    return ClipSuite(name, model, 0, visual,
                     {task: visual | _tower(found[source], device) for task, source in zip(tasks, experts)},
                     _heads(model, tasks, _weights(found[base]), _digest(commits[base], said), device),
                     _digest(*commits.values(), said),
                     data={task: (found[source], commits[source]) for task, source in zip(tasks, data)})


def with_experts(suite, files, family):
    """A `ClipSuite` with other experts: files that `convert` wrote, task -> path, of family "A" or "C" (see `families`).

    Everything else stays: base, heads and test pictures. Raises CheckpointError.

    >>> suite = with_experts(load_suite(8, "ViT-B-32"), {"SVHN": "a/svhn.safetensors", ...}, "A")       # doctest: +SKIP
    >>> check_preflight(golden_report(suite))                                                           # doctest: +SKIP
    """
    towers = {task: read_tower(file) for task, file in files.items()}
    experts = {task: suite.base | {name: tensor.to(suite.device, torch.float32) for name, tensor in tower.items()}
               for task, tower in towers.items()}
    digest = _digest(suite.digest, family, {task: checksum(Path(file)) for task, file in files.items()})
    return replace(suite, experts=experts, family=family, digest=digest)


def _digest(*what):
    """Eight hex digits of commits and of what heads are made of: where one differs, results are others."""
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:8]


def _pattern(task, part):
    """Which files of a data set's repository hold its training or test pictures, or a corrupted copy; no scripts."""
    name = task.splits.get(part, part)
    stem = f"{task.folder}/*{name}*" if task.folder else f"*{name}*"
    return f"{stem}.parquet|{stem}.tar|{stem}"


def _weights(files):
    """The path of the weights among the files of a model."""
    return next(path for name, path in sorted(files.items()) if name != "config.json")


def _tower(files, device):
    """An image tower in fp32."""
    return {name: tensor.to(device, torch.float32) for name, tensor in read_tower(_weights(files)).items()}


def _heads(model, tasks, weights, digest, device):
    """Task -> zero-shot head, built by the base's text tower once and kept on disk."""
    file = CACHE / "clip" / f"heads-{model}-{digest}.safetensors"
    if not file.exists():
        clip = build_paper_clip(model)
        clip.load_state_dict(read_clip(weights))
        clip.to(device)
        write_state(file, {task.name: build_head(clip, task.classes, task.prompts)
                           for task in progress(tasks.values(), "building heads")})
    return {task: head.to(device) for task, head in read_state(file).items()}
