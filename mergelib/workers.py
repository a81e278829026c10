"""How is work spread over the cores? One process each with one thread, which beats many threads on small matrices."""

import io
import os
import pickle
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
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
    what = pickle.dumps((function, shared))     # by value: torch would share tensors through a file descriptor each
    counter = get_context("spawn").Value("i", 0)
    with processes(min(len(jobs), cores()), _start, (what, counter)) as pool:
        futures = {pool.submit(_work, job): i for i, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def processes(count, start=None, arguments=()):
    """An executor of `count` fresh processes with one thread each, for a `with`; leaving it by an exception ends them at once.

    `start`: what each calls first, with `arguments`.

    >>> with processes(2) as pool:              # as `mergelib.merge(..., executor=pool)` takes it
    ...     list(pool.map(abs, [-1, 2]))
    [1, 2]
    """
    pool = ProcessPoolExecutor(count, get_context("spawn"), start or _settle, arguments)
    try:
        _start_all(pool, count)
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_all(pool, count):
    """Start a pool's processes deaf to interrupts, of which they would complain while they import; `_settle` comes after."""
    if threading.current_thread() is not threading.main_thread():       # only that one may say what a signal does
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for _ in range(count):
            pool.submit(os.getpid)
    finally:
        signal.signal(signal.SIGINT, before)


def worker_number():
    """Which worker this process is, from 1; 0 in a process that is none."""
    return _number


_number = 0


def _settle():
    """Set a worker up: one thread, no interrupts of its own, and an end with its parent however that one ends."""
    import torch
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _start(what, counter):
    """Set a worker of `run_all` up: its number, and its function with what is shared."""
    global _task, _number
    _settle()
    with counter.get_lock():
        counter.value += 1
        _number = counter.value
    _task = pickle.loads(what)


def _end_with_parent():
    """Wait for the parent's end, then end."""
    parent_process().join()
    os._exit(1)


def _work(job):
    """Do one job in a worker."""
    function, shared = _task
    return function(*shared, job)


@contextmanager
def one_thread():
    """torch on one thread, within a `with`: decompositions then round alike on every machine."""
    import torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class ByValue:
    """Something that is pickled with its tensors' numbers; torch would send whole storages, by a file descriptor each."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        file = io.BytesIO()
        _Pickler(file).dump(self.value)
        return _by_value, (file.getvalue(),)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value):
        import torch
        if not isinstance(value, torch.Tensor):
            return NotImplemented
        numbers = value.detach().cpu().contiguous()
        return _tensor, (numbers.reshape(-1).view(torch.uint8).numpy(), value.dtype, tuple(value.shape))


def _tensor(numbers, dtype, shape):
    import torch
    return torch.from_numpy(numbers).view(dtype).reshape(shape)


def _by_value(pickled):
    return ByValue(pickle.loads(pickled))
