"""How is progress shown? A bar per process, silent when TQDM_DISABLE is set, which tqdm's own notebook bar does not heed."""

import os
from multiprocessing import current_process, parent_process

from tqdm.auto import tqdm


def progress(iterable, title, disable=False, **how):
    """`iterable` with a progress bar that disappears when it is done (`how`: see tqdm), on a line of its own in a worker."""
    silent = disable or bool(os.environ.get("TQDM_DISABLE"))
    line = 0 if parent_process() is None else int(current_process().name.rpartition("-")[2])      # SpawnProcess-2
    return tqdm(iterable, title, leave=False, disable=silent, position=line, **how)
