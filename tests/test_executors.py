"""Executors: the same bits from threads, processes and Dask, in whatever order; failures end the merge and leave nothing."""

import os
import pickle
import random
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest
import torch
from test_merge import DATA_FREE, FAST, RUNS, identical
from test_streaming import on_disk  # noqa: F401  (a fixture)

from mergelib import merge
from mergelib.checkpoints.states import read_state
from mergelib.merging import work
from mergelib.workers import ByValue, one_thread, processes

ONE_MODEL = [(method, preset) for method, preset in RUNS if not DATA_FREE[method].per_task]


@pytest.fixture(autouse=True)
def one_thread_here():
    """What is compared with is merged on one thread, as executors do."""
    with one_thread():
        yield


class Shuffled(Executor):
    """Does jobs in a random order, once no more have come for a moment; notes the order in which they came."""

    def __init__(self, seed):
        self.jobs, self.draw, self.names = [], random.Random(seed), []

    def submit(self, function, *arguments):
        future = Future()
        self.names.append(arguments[0].value.name)
        self.jobs.append((future, function, arguments))
        if len(self.jobs) == 1:
            threading.Thread(target=self._work, daemon=True).start()
        return future

    def _work(self):
        time.sleep(0.02)
        self.draw.shuffle(self.jobs)
        for future, function, arguments in self.jobs:
            future.set_result(function(*pickle.loads(pickle.dumps(arguments))))
        self.jobs.clear()


@pytest.fixture(scope="module")
def pools():
    """Executors by name."""
    with ThreadPoolExecutor(3) as threads, processes(2) as pool:
        yield {"threads": threads, "processes": pool, "shuffled": Shuffled(0)}


EACH = pytest.mark.parametrize("kind", ["threads", "processes", "shuffled"])


@EACH
@pytest.mark.parametrize("method, preset", ONE_MODEL)
def test_every_executor_writes_the_same_bits(tmp_path, on_disk, base, experts, pools, kind, method, preset):  # noqa: F811
    options = {"preset": preset, **FAST.get(method, {})}
    out = merge(method, *on_disk, out=tmp_path / "out", executor=pools[kind], shard_size=2000, **options)
    assert identical(read_state(out), merge(method, base, experts, **options))


@EACH
@pytest.mark.parametrize("method", ["ties", "pcb", "doge-ta", "emr", "doge-emr"])
def test_state_dicts_in_memory_go_through_executors_too(base, experts, pools, kind, method):
    ours, theirs = (merge(method, base, experts, executor=pool, keys="resblocks", others="mean", **FAST.get(method, {}))
                    for pool in (pools[kind], None))
    per_task = DATA_FREE[method].per_task
    assert all(identical(ours[task], theirs[task]) for task in experts) if per_task else identical(ours, theirs)


def test_dask_writes_the_same_bits(tmp_path, on_disk, base, experts):  # noqa: F811
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (pip install 'mergelib[cluster]')")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, \
            distributed.Client(cluster) as client:
        out = merge("ties", *on_disk, out=tmp_path / "out", executor=client.get_executor(), shard_size=2000)
        assert identical(merge("pcb", base, experts, executor=client.get_executor()), merge("pcb", base, experts))
    assert identical(read_state(out), merge("ties", base, experts))


def test_long_tensors_come_first_in_each_shard(tmp_path, base, experts):
    pool = Shuffled(1)
    merge("task-arithmetic", base, experts, executor=pool)
    sizes = [base[name].nbytes for name in pool.names]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) == len(base)
    pool = Shuffled(1)
    out = merge("task-arithmetic", base, experts, executor=pool, out=tmp_path / "out", shard_size=3500)
    first = read_state(sorted(out.glob("*.safetensors"))[0]).keys()
    assert set(pool.names[:len(first)]) == first and pool.names[0] == max(first, key=lambda name: base[name].nbytes)


def test_first_passes_are_spread_too(on_disk, base):  # noqa: F811
    pool = Shuffled(3)
    merge("ties", *on_disk, executor=pool)
    floating = [name for name in base if base[name].is_floating_point()]
    assert {pool.names.count(name) for name in floating} == {4}     # counted twice, voted on, merged


def test_jobs_about_files_hold_no_tensors_and_are_small(on_disk, base):  # noqa: F811
    pool = Shuffled(2)
    sizes, submit = [], pool.submit
    pool.submit = lambda function, sent: sizes.append(len(pickle.dumps(sent))) or submit(function, sent)
    merge("weight-average", *on_disk, executor=pool)
    assert len(sizes) == len(base) and max(sizes) < 2500


def test_a_view_is_sent_without_what_it_is_a_view_of():
    view = torch.arange(1e5)[10:12].to(torch.bfloat16)
    sent = pickle.dumps(ByValue({"w": torch.arange(1e5)[10:12], "b": view, "s": torch.tensor(3)}))
    back = pickle.loads(sent).value
    assert len(sent) < 2000 and back["w"].tolist() == [10, 11] and torch.equal(back["b"], view) and back["s"] == 3
    back["w"][0] = 1        # what comes out is nobody else's


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_failure_comes_back_and_leaves_nothing(tmp_path, on_disk, pools, kind):  # noqa: F811
    with pytest.raises(ValueError, match="mask_lam has no number for task-1, task-2"):
        merge("consensus-ta", *on_disk, out=tmp_path / "out", executor=pools[kind], mask_lam={"task-0": 0.4})
    assert os.listdir(tmp_path / "out") == []


def test_workers_use_one_thread_and_give_the_others_back(base, experts, monkeypatch):
    before, seen, run = torch.get_num_threads(), [], work.Work.run
    monkeypatch.setattr(work.Work, "run", lambda self: (seen.append(torch.get_num_threads()), run(self))[1])
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(2) as pool:
            merge("ties", base, experts, executor=pool)
        assert set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
