"""What is there to merge? Suites: a base, its experts, their frozen heads and tasks; the embedded ones from the shipped zoo."""

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..checkpoints.adapters import read_adapter
from ..checkpoints.lazy import CheckpointError
from ..networks.clip import DEVICE, PAPER_TOWERS, TEXT, build_clip
from ..networks.t5 import encode
from ..paths import ZOO
from ..tasks import EIGHT, TASKS, load_pictures
from ..tasks.corruptions import load_corrupted
from ..tasks.language import GRADED, TEXT_EIGHT, load_examples
from .store import check_file, dequantise, read_file, read_manifest, unpack_clip

SUITES = {"sketch-8": EIGHT, "sketch-20": TASKS, "text-8": TEXT_EIGHT}
MODELS = {"text-8": "text-small"}       # the model of a suite, where it is not "main"
JOINT = ("mtl", "pcgrad")       # models trained on the eight tasks together: plainly, and with gradient surgery


@dataclass(frozen=True)
class Suite:
    """Everything a merge and its evaluation need."""

    name: str            # "sketch-8"
    model: str           # the image tower, "main"
    seed: int            # of fine-tuning
    base: dict           # state dict of the image tower, fp32; empty for a tower whose weights are not shipped
    experts: dict        # task -> state dict
    heads: dict          # task -> frozen zero-shot head, embedding x classes
    digest: str          # eight hex digits of base and experts; results are filed under it
    joint: dict = field(default_factory=dict)      # name in `JOINT` -> state dict of a model trained on all tasks together;
                                                   # empty for one that is not shipped
    condition: str = "clean"      # of the test pictures, or a corruption as `benchmark.corruptions.condition` writes it
    family: str = ""              # of published experts, see `families`; none of those that are trained here

    @property
    def tasks(self):
        """Names of the tasks, in the suite's order."""
        return tuple(self.experts)

    def named(self, *names):
        """The suite's tasks for tasks of `benchmark`: a suite of the papers has the data sets that these stand for."""
        return names

    def pictures(self, task, split, count=None):
        """(pixels uint8 N x 32 x 32 x 3, labels int64 N) of one task's split: all, or the first `count`.

        Test pictures are under the suite's `condition`, all others are clean.
        """
        if split == "test" and self.condition != "clean":
            return load_corrupted(task, split, self.condition, count)
        return load_pictures(task, split, count)

    def under(self, condition):
        """The same suite with its test pictures under another condition."""
        return replace(self, condition=condition)

    def subset(self, tasks):
        """The same suite with these experts only (order kept)."""
        return replace(self, experts={task: self.experts[task] for task in self.experts if task in set(tasks)}, joint={})


@dataclass(frozen=True)
class TextSuite(Suite):
    """A suite whose tasks ask in words: base and experts are T5s, the latter LoRA adapters; there are no heads."""

    source: str = ""              # of network and tokenizer, see `texts`; empty: `model`
    longest: int = 2              # tokens of an answer, its end included
    graded: tuple = GRADED        # tasks whose answers are numbers

    def examples(self, task, split, count=None):
        """(questions, answers) of one task's split, texts: all, or the first `count`."""
        return tuple(texts[:count] for texts in load_examples(task, split))

    def questions(self, task, split):
        """Token ids (int64 N x longest) of one task's questions, without their answers."""
        return encode(self.source or self.model, self.examples(task, split)[0])


def zoo_folder(model):
    """Folder of one tower's files: below the folder that MERGELIB_ZOO names if it is there, else `data/zoo/<model>`."""
    own = Path(os.environ.get("MERGELIB_ZOO", ZOO)) / model
    return own if own.exists() else ZOO / model


def load_suite(name="sketch-8", model=None, seed=0, folder=None, device=None):
    """Read base, experts and heads of a suite; every file is checked against the manifest.

    `name`: one of `SUITES`, or how many tasks it has (8 or 20); `model`: an image tower (default "main") or, for "text-8", one
    of `texts.TEXT_MODELS`; `seed`: of fine-tuning; `folder`: of the files, default `zoo_folder(model)`; `device`: where the
    tensors go, and with them all computing (default: what MERGELIB_DEVICE says, else the CPU). With one of the papers' towers
    as `model` see `clip.load_clip_suite`.
    A tower whose manifest says that it is not shipped gives a suite without weights, good for reading what was measured on it.
    Raises ValueError for an unknown suite and CheckpointError when the zoo lacks what is asked for or a file is damaged.
    """
    if isinstance(name, int):
        name = f"{'clip' if model in PAPER_TOWERS else 'sketch'}-{name}"
    if model in PAPER_TOWERS:
        if seed or folder:
            raise ValueError("The published experts come from the Hub and have one seed, 0; give neither seed nor folder.")
        from .clip import load_clip_suite  # it needs the extra `paper`
        return load_clip_suite(name, model, device)
    if name not in SUITES:
        raise ValueError(f"There is no suite {name!r}. Known suites: {', '.join(SUITES)}.")
    model = model or MODELS.get(name, "main")
    folder = zoo_folder(model) if folder is None else Path(folder)
    manifest = read_manifest(folder)
    wanted = [f"{task}-s{seed}" for task in SUITES[name]]
    missing = [expert for expert in wanted if expert not in manifest["experts"]]
    if missing:
        raise CheckpointError(f"The zoo in {folder} has no expert {', '.join(missing)}. Train it with `make zoo`.")
    entries = [manifest["base"], *(manifest["experts"][expert] for expert in wanted)]
    digest = hashlib.sha256(json.dumps([entry["sha256"] for entry in entries]).encode()).hexdigest()[:8]
    joint = {kind: manifest["experts"].get(f"{kind}-s{seed}") for kind in JOINT if name == "sketch-8"}
    joint = {kind: entry for kind, entry in joint.items() if entry is not None}
    if not manifest.get("shipped", True):
        kind = TextSuite if name == "text-8" else Suite
        return kind(name, model, seed, {}, dict.fromkeys(SUITES[name], {}), {}, digest, dict.fromkeys(joint, {}))
    read = partial(read_file, folder, device=device or DEVICE)
    if name == "text-8":
        base = {key: tensor.float() for key, tensor in read(manifest["base"]).items()}
        files = [check_file(folder, manifest["experts"][expert]) for expert in wanted]
        return TextSuite(name, model, seed, base, {task: read_adapter(file.parent, base)
                                                   for task, file in zip(SUITES[name], files)}, {}, digest)
    visual = {key.removeprefix("visual."): tensor.float() for key, tensor in read(manifest["base"]).items()
              if key.startswith("visual.")}
    experts = {task: dequantise(visual, read(manifest["experts"][expert])) for task, expert in zip(SUITES[name], wanted)}
    joint = {kind: dequantise(visual, read(entry)) if entry.get("shipped", True) else {} for kind, entry in joint.items()}
    return Suite(name, model, seed, visual, experts, read(manifest["heads"]), digest, joint)


def load_clip(model="main", folder=None):
    """The base as a whole open_clip `CLIP`, both towers, for example to build heads of other classes (`models.build_head`).

    Arguments and errors as for `load_suite`. Words that occur in no task's prompts or captions have no embedding (zero).
    """
    folder = zoo_folder(model) if folder is None else Path(folder)
    clip = build_clip(model)
    clip.load_state_dict(unpack_clip(read_file(folder, read_manifest(folder)["base"]), TEXT["vocab_size"]))
    return clip.eval()
