"""Is work spread over processes done, whatever its order, and do its failures come back?"""

import os
import time

import pytest
import torch

from mergelib import workers
from mergelib.workers import run_all


def job(offset, number):
    if number < 0:
        raise ValueError(f"no job {number}")
    return number + offset, os.getpid()


def test_every_job_is_done_by_workers_with_what_they_share(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    results = dict(run_all(job, [1, 2, 3, 4], 10))
    assert {i: value for i, (value, _) in results.items()} == {0: 11, 1: 12, 2: 13, 3: 14}
    assert os.getpid() not in {process for _, process in results.values()}


def total(tensors, number):
    return tensors["w"].sum().item() + number


def test_tensors_are_shared_by_value(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    assert dict(run_all(total, [1, 2], {"w": torch.ones(3)})) == {0: 4.0, 1: 5.0}


def note(folder, seconds):
    (folder / f"begun-{seconds}").touch()
    time.sleep(seconds)
    (folder / f"done-{seconds}").touch()


def test_leaving_early_ends_the_workers_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    start = time.monotonic()
    for _ in run_all(note, [0, 300, 301, 302], tmp_path):
        break
    assert time.monotonic() - start < 200            # none of the long jobs was waited for
    assert sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("done")) == ["done-0"]


def test_a_failure_comes_back(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    with pytest.raises(ValueError, match="no job -1"):
        list(run_all(job, [1, -1, 2], 10))


@pytest.mark.parametrize("cores, jobs", [(1, [1, 2]), (2, [1]), (2, [])])
def test_one_core_or_one_job_needs_no_other_process(monkeypatch, cores, jobs):
    monkeypatch.setattr(workers, "cores", lambda: cores)
    assert list(run_all(job, jobs, 10)) == [(i, (number + 10, os.getpid())) for i, number in enumerate(jobs)]
