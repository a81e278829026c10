"""How is progress shown? One bar, silent when TQDM_DISABLE is set, which tqdm's own notebook bar does not heed."""

import os
import sys

from tqdm.auto import tqdm

from .workers import worker_number


def progress(iterable, title, disable=False, **how):
    """`iterable` with a progress bar that disappears when it is done (`how`: see tqdm).

    A worker's bar has a line of its own below its parent's, on a terminal only.
    """
    number = worker_number()
    silent = disable or bool(os.environ.get("TQDM_DISABLE")) or (number > 0 and not sys.stderr.isatty())
    return tqdm(iterable, title, leave=False, disable=silent, position=number, **how)
