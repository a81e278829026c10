"""How do a data set's pictures become arrays? Decoded, scaled and cropped once as CLIP sees them, then mapped from disk."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from ...paths import CACHE, write_atomically
from ...progress import progress
from .hub import check_room

BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}        # how files are read, by their ending; else as pictures
HELD, MOST = 0.1, 5000      # the share of the training pictures that is for validation; of these at most so many are used


class DataError(ValueError):
    """A data set that is not what the table says; the message names it and what to do."""


def load_pictures(task, split, files, version, side, count=None):
    """`count` pictures of one split of a `PaperTask`, default all, read once and kept on disk.

    `split`: "train", "validation", "test", or a corrupted copy of the last by its name in the data set. `files`: paths of the
    data set's files for it; `version`: of the data set, eight digits or so; `side`: of the pictures, in pixels; `count`: of
    test pictures, which may lie class by class, so many are taken at equal distances, of others the first.
    Returns (pixels uint8 N x side x side x 3, mapped from disk; labels int64 N). The shorter side is scaled to `side`
    (bicubic), then the middle is cut out, as OpenAI's preprocessing does. Raises DataError.
    """
    stem = CACHE / "clip" / f"{task.name}-{split}-{'all' if count is None else count}-{side}-{version}"
    pixels, labels = (Path(f"{stem}{end}.npy") for end in ("", "-labels"))
    if not pixels.exists():             # it is written last
        stem.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=stem.parent) as folder:
            _write(task, split, _open(files, folder), side, count, pixels, labels)
    return np.load(pixels, mmap_mode="r"), np.load(labels)


def rows_of(split, total):
    """Which rows of a data set's training or test pictures (`total` of them) a split has, in its order.

    The test split and its copies have all in theirs. Training pictures are shuffled and their last tenth held out, as
    FusionBench does by `random_split` with seed 0, so that its validation pictures are ours.
    """
    if split not in ("train", "validation"):
        return np.arange(total)
    order, held = torch.randperm(total, generator=torch.Generator().manual_seed(0)).numpy(), int(total * HELD)
    return {"validation": order[total - held:][:MOST], "train": order[:total - held]}[split]


def fit(image, side):
    """A picture of Pillow's as CLIP sees it: uint8 side x side x 3."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import center_crop, resize
    return np.asarray(center_crop(resize(image.convert("RGB"), side, InterpolationMode.BICUBIC), [side, side]))


def _open(files, folder):
    """The data set in some files, by way of `datasets`, whose own copy lies in `folder`."""
    try:
        from datasets import load_dataset
    except ModuleNotFoundError as error:
        raise DataError("The papers' data sets are read by the package `datasets`: pip install 'mergelib[paper]'.") from error
    builder = BUILDERS.get(Path(files[0]).suffix, "imagefolder")
    return load_dataset(builder, data_files=[str(file) for file in files], split="train", cache_dir=folder)


def _write(task, split, data, side, count, pixels, labels):
    """Write the pixels and labels of one split's pictures, each file whole or not at all."""
    part = "train" if split in ("train", "validation") else "test"
    _check(task, part, data)
    rows = rows_of(split, len(data))
    if count is not None and count < len(rows):
        rows = rows[np.arange(count) * len(rows) // count] if part == "test" else rows[:count]
    found = np.array(data.select_columns([task.label])[rows][task.label], dtype=np.int64)
    if found.min() < 0 or found.max() >= len(task.classes):
        raise DataError(f"{task.dataset} has labels from {found.min()} to {found.max()}, {task.name} has {len(task.classes)} "
                        f"classes. Compare data/clip/tasks.json with the data set's card.")

    def fill(file):
        array = np.lib.format.open_memmap(file, "w+", np.uint8, (len(rows), side, side, 3))
        for i, row in enumerate(progress(rows, f"reading {task.name} ({split})")):
            array[i] = fit(_picture(task, data, row), side)
        array.flush()

    size = len(rows) * side * side * 3
    check_room(labels.parent, size, f"The pictures of {task.name} ({split}) take {size / 1e9:.1f} GB", "MERGELIB_CACHE")
    write_atomically(labels, lambda file: np.save(file, found))
    write_atomically(pixels, fill)


def _picture(task, data, row):
    """One row's picture; DataError if its bytes are none."""
    try:
        return data[int(row)][task.image]
    except OSError as error:        # Pillow's
        raise DataError(f"{task.dataset}: the picture in row {row} cannot be decoded ({error}). Delete its files from the "
                        f"Hub's cache and call again.") from error


def _check(task, part, data):
    """Raise DataError unless a data set has the columns, the number of rows and the order of classes that the table says."""
    if missing := [name for name in (task.image, task.label) if name not in data.column_names]:
        raise DataError(f"{task.dataset} has no column {', '.join(missing)}; it has {', '.join(data.column_names)}. Correct "
                        f"data/clip/tasks.json.")
    if task.rows[part] not in (None, len(data)):
        raise DataError(f"{task.dataset} has {len(data)} pictures in {task.splits[part]}, expected are {task.rows[part]}: it "
                        f"is another split or version, and accuracies on it cannot be compared.")
    theirs, ours = [_plain(name) for name in getattr(data.features[task.label], "names", ())], list(map(_plain, task.classes))
    if theirs != ours and sorted(theirs) == sorted(ours):
        i = next(i for i, pair in enumerate(zip(theirs, ours)) if len(set(pair)) == 2)
        raise DataError(f"{task.dataset} has the classes of {task.name} in another order: number {i} is "
                        f"{data.features[task.label].names[i]!r}, not {task.classes[i]!r}. Correct data/clip/tasks.json.")


def _plain(name):
    """The letters and digits of a class name, small."""
    return "".join(filter(str.isalnum, name.lower()))
