"""What is there to merge? Suites: a base, its experts, and the tasks on which they are measured."""

from importlib import import_module
from pathlib import Path

from .suite import Suite

WORLDS = {"sketch": "pictures drawn here", "text": "questions made here", "clip": "the papers' CLIP and data sets",
          "glue": "Flan-T5 and GLUE"}         # each a module of this package with `SUITES` and `load`


def load_suite(name: str | int = "sketch-8", model: str | None = None, seed: int = 0, folder: str | Path | None = None,
               device: str | None = None) -> Suite:
    """Read base, experts and heads of a suite; every file is checked against its manifest or pinned commit.

    `name`: "sketch-8", "sketch-20", "text-8", "clip-8", "clip-20" or "glue-8", or how many tasks it has (8 or 20; then the
    tower says which); `model`: an image tower (default "main"; of the papers "ViT-B-32", "ViT-B-16", "ViT-L-14") or a language
    model ("text-small", "text-large", "flan-t5-base" ...); `seed`: of fine-tuning; `folder`: of the files, which "glue-8"
    needs; `device`: where the tensors go, and with them all computing (default: what MERGELIB_DEVICE says, else the CPU).
    A tower whose manifest says that it is not shipped gives a suite without weights, good for reading what was measured on it.
    Raises ValueError for an unknown suite and CheckpointError when what is asked for is missing or a file is damaged.

    >>> load_suite("sketch-8").tasks[:3]
    ('scenes', 'vehicles', 'aerial')
    """
    published = str(model).startswith("ViT-")
    if isinstance(name, int):
        name = f"{'clip' if published else 'sketch'}-{name}"
    world = "clip" if published else name.partition("-")[0]
    module = import_module(f".{world}", __name__) if world in WORLDS else None
    if module is None or (name not in module.SUITES and not published):
        known = [suite for world in ("sketch", "text") for suite in import_module(f".{world}", __name__).SUITES]
        raise ValueError(f"There is no suite {name!r}. Known suites: {', '.join([*known, 'clip-8', 'clip-20', 'glue-8'])}.")
    return module.load(name, model, seed, None if folder is None else Path(folder), device)
