"""How is work spread over the cores? One process each with one thread, which beats many threads on small matrices."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process


def cores():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def run_all(function, jobs, *shared):
    """Yield (i, function(*shared, jobs[i])) as they are done, in any order; in this process if there is one job or core.

    `function`, the jobs, the `shared` arguments and the results must be picklable; `shared` is sent to each process once.
    Leaving the iteration early gives up the jobs that have not begun.
    """
    if min(len(jobs), cores()) < 2:
        yield from ((i, function(*shared, job)) for i, job in enumerate(jobs))
        return
    pool = ProcessPoolExecutor(min(len(jobs), cores()), get_context("spawn"), _start, (function, shared))
    try:
        futures = {pool.submit(_work, job): i for i, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(function, shared):
    """Set a worker up: one thread, and an end with its parent, however that one ends."""
    global _task
    import torch
    torch.set_num_threads(1)
    _task = function, shared
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    parent_process().join()
    os._exit(1)


def _work(job):
    """Do one job in a worker."""
    function, shared = _task
    return function(*shared, job)
