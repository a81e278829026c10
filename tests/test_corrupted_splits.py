"""Are whole splits corrupted once, the same on every machine, and kept on disk?"""

import numpy as np
import pytest

from mergelib import tasks
from mergelib.tasks import corruptions, load_pictures
from mergelib.tasks.corruptions import corrupt, load_corrupted


@pytest.fixture
def cache(monkeypatch, tmp_path):
    for module in (tasks, corruptions):
        monkeypatch.setattr(module, "CACHE", tmp_path)
    return tmp_path / "pictures"


@pytest.fixture
def all_grey(cache, monkeypatch):
    """Every picture of every split is the same: what differs is what the corruption does."""
    monkeypatch.setattr(corruptions, "load_pictures", lambda task, split, count, seed: (
        np.full((count, 32, 32, 3), 128, np.uint8), np.zeros(count, int)))


def test_a_split_is_corrupted_once_and_then_read(cache, monkeypatch):
    clean, labels = load_pictures("dice", "test", count=14)
    pixels, again = load_corrupted("dice", "test", "contrast 3 cifar", count=14)
    assert (pixels.shape, pixels.dtype) == ((14, 32, 32, 3), np.uint8) and again.dtype == np.int64
    assert np.array_equal(labels, again)
    assert all(np.array_equal(corrupt(clean[k], "contrast 3 cifar", None), pixels[k]) for k in range(14))    # no chance in it

    monkeypatch.setattr(corruptions, "corrupt", None)         # corrupting again would fail
    assert np.array_equal(load_corrupted("dice", "test", "contrast 3 cifar", count=14)[0], pixels)
    [file] = cache.glob("*contrast*")
    np.save(file, pixels[::-1])
    assert np.array_equal(load_corrupted("dice", "test", "contrast 3 cifar", count=14)[0], pixels[::-1])


def test_each_picture_has_a_seed_of_its_own_whatever_the_count(all_grey):
    four, _ = load_corrupted("dice", "test", "gaussian noise 1 cifar", count=4)
    assert len(np.unique(four, axis=0)) == 4
    assert np.array_equal(load_corrupted("dice", "test", "gaussian noise 1 cifar", count=2)[0], four[:2])


@pytest.mark.parametrize("what", [
    ("dice", "test", "gaussian noise 1 cifar", 2, 1), ("dice", "test", "gaussian noise 2 cifar", 2, 0),
    ("dice", "test", "gaussian noise 1 imagenet", 2, 0), ("dice", "train", "gaussian noise 1 cifar", 2, 0),
    ("words", "test", "gaussian noise 1 cifar", 2, 0)])
def test_chance_differs_between_seeds_conditions_splits_and_tasks(all_grey, what):
    known, _ = load_corrupted("dice", "test", "gaussian noise 1 cifar", 2, 0)
    other, _ = load_corrupted(*what)
    # The same noise, even scaled, would be correlated by 1 (rounded: 0.99); of 6144 independent values 0.013 is usual
    assert abs(np.corrcoef(known.ravel(), other.ravel())[0, 1]) < 0.07


@pytest.mark.parametrize("changed", ["_source_digest", "__file__"])
def test_changed_code_corrupts_again(cache, monkeypatch, tmp_path, changed):
    load_corrupted("dice", "test", "contrast 1 cifar", count=2)
    (tmp_path / "changed.py").write_text("changed")
    monkeypatch.setattr(corruptions, changed, {"_source_digest": lambda task: "changed",
                                               "__file__": str(tmp_path / "changed.py")}[changed])
    monkeypatch.setattr(corruptions, "corrupt", lambda *what: np.full((32, 32, 3), 7, np.uint8))
    assert (load_corrupted("dice", "test", "contrast 1 cifar", count=2)[0] == 7).all()


def test_an_interruption_leaves_nothing_behind(cache, monkeypatch):
    def interrupted(*what):
        raise KeyboardInterrupt
    monkeypatch.setattr(corruptions, "corrupt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_corrupted("dice", "test", "contrast 1 cifar", count=2)
    assert list(cache.glob("*contrast*")) == list(cache.glob(".*")) == []


def test_an_unknown_task_is_refused(cache):
    with pytest.raises(ValueError, match="no task 'mnist'"):
        load_corrupted("mnist", "test", "contrast 1 cifar", count=2)
