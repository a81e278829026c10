"""Are pictures read from the published formats once, as CLIP sees them, and is what does not fit the table named?"""

import io
import os
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from open_clip import image_transform
from PIL import Image

from mergelib.networks.clip import openai_pixels
from mergelib.suites.clip import hub, pictures
from mergelib.suites.clip.hub import FetchError
from mergelib.suites.clip.pictures import DataError, fit, load_pictures, rows_of
from mergelib.suites.clip.tasks import PaperTask

datasets = pytest.importorskip("datasets", reason="the extra `paper` is not installed")
NAMES = ("bird", "cat", "dog")


def task(**changed):
    return PaperTask(**{"name": "Pets", "dataset": "who/pets", "image": "image", "label": "label", "expert": "pets",
                        "splits": {"train": "train", "test": "test"}, "rows": {"train": None, "test": 6},
                        "prompts": ("a {}.",), "classes": NAMES, **changed})


def images(count=6, seed=0):
    """Pictures of Pillow's in several sizes and modes."""
    rng, modes = np.random.default_rng(seed), ("RGB", "L", "RGBA", "P")
    return [Image.fromarray(rng.integers(256, size=(40 + i, 50 - i, 3), dtype=np.uint8)).convert(modes[i % 4])
            for i in range(count)]


def parquet(file, names=NAMES, labels=None, count=6):
    """A data set as the Hub has most: columns image and label in Parquet, class names among the features."""
    labels = [i % 3 for i in range(count)] if labels is None else labels
    kind = datasets.ClassLabel(names=list(names)) if names else datasets.Value("int64")
    features = datasets.Features({"image": datasets.Image(), "label": kind})
    datasets.Dataset.from_dict({"image": images(count), "label": labels}, features=features).to_parquet(file)
    return [file]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(pictures, "CACHE", tmp_path / "cache")
    return tmp_path / "cache" / "clip"


def load(files, split="test", count=None, side=32, **changed):
    return load_pictures(task(**changed), split, files, "0123abcd", side, count)


# --- what is read

def test_test_pictures_come_in_order_with_their_labels_mapped_from_disk(tmp_path, cache):
    pixels, labels = load(parquet(tmp_path / "test.parquet"))
    assert isinstance(pixels, np.memmap) and pixels.dtype == np.uint8 and pixels.shape == (6, 32, 32, 3)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2] and labels.dtype == np.int64
    assert all(np.array_equal(ours, fit(image, 32)) for ours, image in zip(pixels, images()))
    assert sorted(os.listdir(cache)) == ["Pets-test-all-32-0123abcd-labels.npy", "Pets-test-all-32-0123abcd.npy"]


def test_a_second_call_reads_the_cache(tmp_path):
    files = parquet(tmp_path / "test.parquet")
    first, _ = load(files)
    files[0].unlink()
    assert np.array_equal(load(files)[0], first)


def test_several_files_are_one_data_set(tmp_path):
    files = [*parquet(tmp_path / "a.parquet", labels=[0] * 6), *parquet(tmp_path / "b.parquet", labels=[2] * 6)]
    assert load(files, rows={"test": 12})[1].tolist() == [0] * 6 + [2] * 6


def test_web_data_sets_are_read_too(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for i, image in enumerate(images()):
            jpg = io.BytesIO()
            image.convert("RGB").save(jpg, "JPEG")
            for end, data in (("jpg", jpg.getvalue()), ("cls", str(i % 3).encode())):
                entry = tarfile.TarInfo(f"s{i:07d}.{end}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    pixels, labels = load([tmp_path / "0.tar"], image="jpg", label="cls")
    assert pixels.shape == (6, 32, 32, 3) and labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_truth_values_are_labels_as_well(tmp_path):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("bool")})
    data = datasets.Dataset.from_dict({"image": images(), "label": [True, False] * 3}, features=features)
    data.to_parquet(tmp_path / "t.parquet")
    assert load([tmp_path / "t.parquet"], classes=("no", "yes"))[1].tolist() == [1, 0] * 3


def test_pictures_are_what_open_clip_makes_of_them():
    transform = image_transform(24, is_train=False)
    ours = openai_pixels(np.stack([fit(image, 24) for image in images()]))
    theirs = torch.stack([transform(image.convert("RGB")) for image in images()])
    assert torch.allclose(ours, theirs, atol=1e-6)          # fp32, of numbers up to 3


# --- splits

@pytest.mark.parametrize("total, held", [(30, 3), (1020, 102), (60000, 6000)])
def test_the_validation_split_is_fusion_benchs_tenth_at_most_5000_of_it(total, held):
    validation, train = rows_of("validation", total), rows_of("train", total)
    generator = torch.Generator().manual_seed(0)
    rest, tenth = torch.utils.data.random_split(range(total), [total - held, held], generator=generator)
    assert validation.tolist() == list(tenth)[:5000] and train.tolist() == list(rest)
    assert rows_of("test", total).tolist() == list(range(total))


def test_the_first_training_pictures_are_the_beginning_of_all(tmp_path):
    files = parquet(tmp_path / "train.parquet", count=20)
    (few, labels), (pixels, all_labels) = load(files, "train", 5), load(files, "train")
    assert len(pixels) == 18 and np.array_equal(few, pixels[:5]) and np.array_equal(labels, all_labels[:5])
    assert len(load(files, "validation")[0]) == 2


# --- what does not fit

def test_another_number_of_pictures_is_refused(tmp_path, cache):
    with pytest.raises(DataError, match="who/pets has 6 pictures in test, expected are 7: it is another split"):
        load(parquet(tmp_path / "test.parquet"), rows={"test": 7})
    assert os.listdir(cache) == []


def test_classes_in_another_order_are_refused_and_other_spellings_are_not(tmp_path):
    files = parquet(tmp_path / "test.parquet", names=("Bird", "DOG", "c a t"))
    with pytest.raises(DataError, match="in another order: number 1 is 'DOG', not 'cat'. Correct data/clip/tasks.json"):
        load(files)
    load(parquet(tmp_path / "test.parquet", names=("bird", "kitten", "dog")))


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 0, 0], [-1, 0, 0, 0, 0, 0]])
def test_labels_without_a_class_are_refused(tmp_path, labels):
    with pytest.raises(DataError, match="has labels from .* Pets has 3 classes"):
        load(parquet(tmp_path / "test.parquet", names=(), labels=labels))


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(DataError, match="has no column jpg, cls; it has image, label"):
        load(parquet(tmp_path / "test.parquet"), image="jpg", label="cls")


def test_a_damaged_picture_is_named_and_nothing_half_written(tmp_path, cache):
    bytes_of = [{"bytes": b"no picture" if i == 4 else png(image), "path": None} for i, image in enumerate(images())]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict({"image": bytes_of, "label": [0] * 6}, features=features).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="who/pets: the picture in row 4 cannot be decoded"):
        load([tmp_path / "t.parquet"])
    assert os.listdir(cache) == ["Pets-test-all-32-0123abcd-labels.npy"]


def test_too_small_a_disk_is_seen_before_anything_is_written(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda place: SimpleNamespace(free=hub.SPARE))
    with pytest.raises(FetchError, match=r"pictures of Pets \(test\) take 0.0 GB, but .* set MERGELIB_CACHE to a folder"):
        load(parquet(tmp_path / "test.parquet"))
    assert os.listdir(cache) == []


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
