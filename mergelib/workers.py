"""How is work spread over the cores? One process each with one thread, which beats many threads on small matrices."""

import os
import pickle
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process


def cores():
    """How many processes to start: one per processor and eight at most, or as many as MERGELIB_CORES says."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("MERGELIB_CORES", min(8, available)))


def run_all(function, jobs, *shared):
    """Yield (i, function(*shared, jobs[i])) as they are done, in any order; in this process if there is one job or core.

    `function`, the jobs, the `shared` arguments and the results must be picklable; `shared` is copied to each process once.
    Leaving the iteration early ends the workers at once, so jobs must bear being killed.
    """
    if min(len(jobs), cores()) < 2:
        yield from ((i, function(*shared, job)) for i, job in enumerate(jobs))
        return
    context = get_context("spawn")
    what = pickle.dumps((function, shared))     # by value: torch would share tensors through a file descriptor each
    pool = ProcessPoolExecutor(min(len(jobs), cores()), context, _start, (what, context.Value("i", 0)))
    try:
        futures = {pool.submit(_work, job): i for i, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:
        for process in list(pool._processes.values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def worker_number():
    """Which worker this process is, from 1; 0 in a process that is none."""
    return _number


_number = 0


def _start(what, counter):
    """Set a worker up: its number, one thread, no interrupts of its own, and an end with its parent however that one ends."""
    global _task, _number
    import torch
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with counter.get_lock():
        counter.value += 1
        _number = counter.value
    _task = pickle.loads(what)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """Wait for the parent's end, then end."""
    parent_process().join()
    os._exit(1)


def _work(job):
    """Do one job in a worker."""
    function, shared = _task
    return function(*shared, job)
