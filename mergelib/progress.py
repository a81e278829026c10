"""How is progress shown? One bar, silent when TQDM_DISABLE is set, which tqdm's own notebook bar does not heed."""

import os

from tqdm.auto import tqdm


def progress(iterable, title, disable=False, **how):
    """`iterable` with a progress bar that disappears when it is done (`how`: see tqdm)."""
    silent = disable or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(iterable, title, leave=False, disable=silent, **how)
