"""Do the twenty tasks keep their promises? Shapes, labels, random streams, and drawings that every machine agrees on."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from mergelib import tasks
from mergelib.tasks import SPLITS, TASKS, load_pictures, load_task, picture
from mergelib.tasks.canvas import Canvas, finish, font
from mergelib.tasks.digits import scans

FINGERPRINTS = Path(__file__).parent / "data" / "fingerprints.npz"
EVERY_TASK = pytest.mark.parametrize("name", TASKS)


def fingerprint(name):
    """The first four test pictures of a task, reduced to 4 x 4 pixels each."""
    pixels = np.stack([picture(name, "test", index)[0] for index in range(4)])
    return pixels.reshape(4, 4, 8, 4, 8, 3).mean(axis=(2, 4)).round().astype(np.uint8)


def write_fingerprints():
    """Accept the present drawings. In this folder: `python -c 'import test_benchmark as t; t.write_fingerprints()'`."""
    np.savez_compressed(FINGERPRINTS, **{name: fingerprint(name) for name in TASKS})


def drawn_alike(name, web, seeds=(0, 1)):
    """Every class of a task drawn from the same random numbers: classes x seeds x pixels."""
    def draw(painter, seed):
        canvas = Canvas(np.random.default_rng(seed), web)
        painter(canvas)
        return finish(canvas, task.wear)
    task = load_task(name)
    return np.array([[draw(painter, seed) for seed in seeds] for painter in task.painters], dtype=float)


# --- what a task is

@EVERY_TASK
def test_a_task_has_10_to_40_classes_and_says_each_in_its_own_words(name):
    task = load_task(name)
    assert 10 <= len(task.classes) <= 40
    assert len(set(task.classes)) == len(task.classes) == len(task.painters)
    for template in task.prompts + task.captions:
        assert template.count("{}") == 1
        assert template.format("ABC").count("ABC") == 1


def test_glyphs_lie_alike_with_and_without_the_library_raqm():
    # Pillow uses RAQM where the system has FriBiDi, and places glyphs a fraction of a pixel elsewhere with it
    assert font("DejaVuSans", 20).layout_engine == ImageFont.Layout.BASIC


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no task 'mnist'.*scenes.*digits.*words"):
        load_task("mnist")


# --- pictures

@EVERY_TASK
def test_a_picture_is_a_function_of_task_split_index_and_seed(name):
    pixels, label = picture(name, "test", 3)
    assert (pixels.shape, pixels.dtype, label) == ((32, 32, 3), np.uint8, 3)
    assert np.array_equal(pixels, picture(name, "test", 3)[0])
    others = [picture(name, "test", 3, seed=1), picture(name, "test", 3 + len(load_task(name).classes)),
              *(picture(name, split, 3) for split in SPLITS if split != "test")]
    assert all(label == 3 and not np.array_equal(pixels, other) for other, label in others)


@EVERY_TASK
def test_labels_go_round(name):
    count = len(load_task(name).classes)
    assert [picture(name, "web", index)[1] for index in range(count + 2)] == [*range(count), 0, 1]


@EVERY_TASK
@pytest.mark.parametrize("web", [True, False])
def test_classes_differ_when_all_else_is_equal(name, web):
    # The closest pair, speed limits 100 and 120 in the field, differs by 1.2 of 255 grey levels; one painter used twice by 0.
    pictures = drawn_alike(name, web)
    closest = min(combinations(range(len(pictures)), 2), key=lambda pair: abs(pictures[pair[0]] - pictures[pair[1]]).mean())
    names = [load_task(name).classes[k] for k in closest]
    assert abs(pictures[closest[0]] - pictures[closest[1]]).mean() > 0.5, f"{' and '.join(names)} look the same"


@pytest.mark.parametrize("one, other", [*combinations(("train", "validation", "test"), 2)])
def test_no_scan_of_a_digit_is_in_two_splits(one, other):
    def pages(split):
        return {page.tobytes() for digit in scans(split) for page in digit}
    assert not pages(one) & pages(other)
    assert all(len(digit) >= 15 for split in (one, other) for digit in scans(split))     # every digit, in some variety


@EVERY_TASK
def test_the_drawings_are_those_of_the_zoo(name):
    # The C library's sine may differ in the last bit and move an edge by a pixel: 1/64 of a cell, at most 4 of 255 grey
    # levels in few cells. Another random stream, font or painter changes the mean by far more than 2.
    with np.load(FINGERPRINTS) as known:
        difference = np.abs(fingerprint(name).astype(int) - known[name])
    assert difference.mean() < 2


def test_fingerprints_of_two_tasks_are_further_apart_than_the_tolerance():
    with np.load(FINGERPRINTS) as known:
        assert set(known) == set(TASKS)
        assert min(np.abs(known[a].astype(int) - known[b]).mean() for a, b in combinations(TASKS, 2)) > 10


# --- the cache

@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(tasks, "CACHE", tmp_path)
    return tmp_path / "pictures"


def files(folder):
    return list(folder.iterdir()) if folder.exists() else []


def test_pictures_are_drawn_once_and_then_read(cache, monkeypatch):
    pixels, labels = load_pictures("dice", "validation", count=14)
    assert pixels.shape == (14, 32, 32, 3) and labels.tolist() == [*range(12), 0, 1]
    assert all(np.array_equal(pixels[k], picture("dice", "validation", k)[0]) for k in range(14))

    monkeypatch.setattr(tasks, "picture", None)         # drawing again would fail
    again, _ = load_pictures("dice", "validation", count=14)
    assert np.array_equal(again, pixels)


@pytest.mark.parametrize("what", [("dice", "validation", 3, 1), ("dice", "validation", 4, 0), ("dice", "test", 3, 0),
                                  ("clocks", "validation", 3, 0)])
def test_other_pictures_are_kept_apart(cache, what):
    name, split, count, seed = what
    load_pictures("dice", "validation", count=3)
    pixels, _ = load_pictures(*what)
    assert len(files(cache)) == 2 and len(pixels) == count
    assert all(np.array_equal(pixels[k], picture(name, split, k, seed)[0]) for k in range(count))


def test_changed_drawing_code_draws_again(cache, monkeypatch):
    load_pictures("dice", "test", count=3)
    monkeypatch.setattr(tasks, "_source_digest", lambda name: "changed")
    monkeypatch.setattr(tasks, "picture", lambda *what: (np.full((32, 32, 3), 7, np.uint8), 0))
    assert (load_pictures("dice", "test", count=3)[0] == 7).all()


def test_interrupted_drawing_leaves_nothing_behind(cache, monkeypatch):
    def interrupted(name, split, index, seed=0):
        if index == 2:
            raise KeyboardInterrupt
        return picture(name, split, index, seed)
    monkeypatch.setattr(tasks, "picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_pictures("dice", "test", count=3)
    assert files(cache) == []
