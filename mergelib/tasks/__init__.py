"""What are the tasks? Twenty picture classification tasks, drawn by code: the embedded benchmark "sketch".

Every picture is a function of (task, style, split, index, seed) alone, so any machine draws the same ones.
"""

import hashlib
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np

from ..paths import CACHE, write_atomically
from .canvas import Canvas, finish

EIGHT = ("scenes", "vehicles", "aerial", "landuse", "housenumbers", "signs", "digits", "textures")
TWELVE = ("letters", "scripts", "clothing", "flowers", "clocks", "dice",
          "flags", "chess", "faces", "weather", "animals", "words")
TASKS = EIGHT + TWELVE
SPLITS = {"web": 0, "train": 1, "validation": 2, "test": 3, "seen": 4}      # each has a stream of random numbers of its own
SIZES = {"web": 6000, "train": 12000, "validation": 300, "test": 600, "seen": 12000}     # pictures per task


@dataclass(frozen=True)
class Task:
    """One classification task: its name, its class names, how they are said, and who paints them."""

    name: str
    sibling: str | None       # the data set of the papers that this task stands for
    wear: float               # distance of the field style from the web style, see `canvas.finish`
    painters: tuple           # one function of a Canvas per class
    classes: tuple            # class names, in label order
    prompts: tuple            # templates of the zero-shot head
    captions: tuple           # further templates, seen in pre-training only


@cache
def load_task(name):
    """The task called `name` (one of `TASKS`); ValueError with the known names otherwise."""
    if name not in TASKS:
        raise ValueError(f"There is no task {name!r}. Known tasks: {', '.join(TASKS)}.")
    module = import_module(f"{__name__}.{name}")
    return Task(name, module.SIBLING, module.WEAR, tuple(module.CLASSES.values()), tuple(module.CLASSES),
                tuple(module.PROMPTS), tuple(module.CAPTIONS))


def picture(name, split, index, seed=0):
    """Draw picture `index` of a split: (pixels uint8 32 x 32 x 3, label). Labels go round: index modulo classes."""
    task = load_task(name)
    label = index % len(task.classes)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), SPLITS[split], index])
    canvas = Canvas(rng, web=split == "web", split=split)
    task.painters[label](canvas)
    return finish(canvas, task.wear), label


def load_pictures(name, split, count=None, seed=0):
    """All pictures of a split, drawn once and kept on disk.

    Returns (pixels uint8 count x 32 x 32 x 3, labels int64 count); `count` defaults to `SIZES[split]`.
    Drawing takes about a millisecond a picture and core; a second call reads the file.
    """
    count = SIZES[split] if count is None else count
    file = CACHE / "pictures" / f"{name}-{split}-{count}-{seed}-{_source_digest(name)}.npy"
    if not file.exists():
        pixels = np.stack(_draw_range((name, split, seed), range(count)))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda part: np.save(part, pixels))
    return np.load(file), np.arange(count) % len(load_task(name).classes)


def _draw_range(what, indices):
    """Pixels of the pictures `indices` of `what` = (name, split, seed)."""
    name, split, seed = what
    return [picture(name, split, index, seed)[0] for index in indices]


@cache
def _source_digest(name):
    """Eight hex digits of the drawing code, so that changed code never reads old pictures."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / f"{m}.py").read_bytes() for m in ("canvas", name))).hexdigest()[:8]
