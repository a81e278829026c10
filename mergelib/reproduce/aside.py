"""How is everything measured again? The ledger is set aside, what takes too long is put back, the time left is shown."""

import os
import threading
from contextlib import contextmanager

from tqdm.auto import tqdm

from ..measure.ledger import Ledger
from ..methods import METHODS, TEST_PICTURES
from ..networks.clip import TOWERS
from ..paths import RESULTS, ROOT
from ..suites.store import read_manifest, zoo_folder

BEFORE = ROOT / "build" / "results-before"      # the ledger as it was when `reproduce` began
SLOW = 600                                      # seconds of a merge that only `reproduce --all` repeats


def set_ledger_aside(everything, slow=False):
    """Move the ledger away, so that all is measured again (what takes long only if `slow`).

    When an earlier `reproduce` was interrupted, go on with it.
    """
    if not everything:
        return
    if BEFORE.exists():
        print(f"Going on with the reproduction that was interrupted (the earlier ledger is in {BEFORE}).")
        return
    print(f"Measuring everything again; until that is finished the present ledger is kept in {BEFORE}.")
    BEFORE.parent.mkdir(exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    os.replace(RESULTS, BEFORE)
    _keep(not slow)


def _keep(slow):
    """Put back into the ledger the numbers of models whose weights are not shipped, and if asked for those that take long."""
    manifests = {tower: read_manifest(zoo_folder(tower)) for tower in TOWERS if zoo_folder(tower).exists()}
    bare = {tower for tower, manifest in manifests.items() if not manifest.get("shipped", True)}
    bare |= {(tower, name.split("-")[0]) for tower, manifest in manifests.items()
             for name, entry in manifest["experts"].items() if not entry.get("shipped", True)}
    rows = [row for row in Ledger(BEFORE).rows.values()
            if row["model"] in bare or (row["model"], row["method"]) in bare or (slow and takes_long(row))]
    for experiment in {row["experiment"] for row in rows}:
        Ledger(RESULTS).record(experiment, [row for row in rows if row["experiment"] == experiment])


def takes_long(row):
    """Whether a number belongs to those that take a day together: other seeds, twenty tasks, slow merges, most learned ones."""
    learns = row["method"] in METHODS and TEST_PICTURES in METHODS[row["method"]].data
    slow = row["seconds"] > SLOW or (learns and row["experiment"] != "learned")
    return row["seed"] != "0" or row["suite"] == "sketch-20" or slow


@contextmanager
def time_left(every=30):
    """A bar of how much of what the ledger lacks has been measured again, with an estimate of the time left."""
    there, done = Ledger(RESULTS).rows, threading.Event()
    goal = {key: row for key, row in Ledger(BEFORE).rows.items() if key not in there} if BEFORE.exists() else {}

    def work(rows):      # seconds: a share of a merge for eight tasks, and of evaluating one, which has one row or three
        return sum((0.6 + row["seconds"] / 8) / (1 if row["split"] == "validation" else 3)
                   for key, row in rows.items() if key in goal)

    def watch():
        with tqdm(total=work(goal), desc="measured", position=1, leave=False, smoothing=0,
                  bar_format="{desc}: {percentage:.0f}% |{bar}| about {remaining} left") as bar:
            while not done.wait(every):
                bar.update(max(0, work(Ledger(RESULTS).rows) - bar.n))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
