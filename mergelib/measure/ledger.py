"""Has this exact thing been measured? The ledger answers from disk; what is new is added, whole or not at all."""

import json
from functools import lru_cache
from pathlib import Path

import pandas as pd
from filelock import FileLock

from ..paths import RESULTS, write_atomically

KEY = ["suite", "model", "seed", "zoo", "method", "preset", "options", "tasks", "task", "split", "condition", "metric",
       "version"]
COLUMNS = ["experiment", *KEY, "value", "count", "seconds", "hits"]


class LedgerError(ValueError):
    """A file of results that cannot be read; the message names it and the repair."""


class Ledger:
    """Every number measured so far: one row each, in one CSV file per experiment.

    >>> ledger = Ledger()
    >>> row = next(iter(ledger.rows.values()))
    >>> ledger.find(row) == row                              # None where nothing was measured
    True
    """

    def __init__(self, folder=RESULTS):
        self.folder = Path(folder)
        self._read()

    def _read(self):
        """Take in what lies in the folder."""
        files = sorted(self.folder.glob("[!.]*.csv"))                      # a dot: a write that was killed
        self.rows = _all(tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)).copy()

    def find(self, wanted):
        """The row whose `KEY` columns are as in `wanted`, or None. `options` may be a dict."""
        return self.rows.get(_key(wanted))

    def record(self, experiment, rows):
        """Add rows (dicts with `KEY`, value, count, seconds, and for a score on test pictures hits) to an experiment's file.

        What was measured before, for this or another experiment, is replaced in its file: a key has one row. The rows of a file
        are sorted by their keys, so it does not matter in which order they were measured.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder.with_name(f".{self.folder.name}.lock")):       # others may be writing, too
            self._read()
            homes = set()
            for row in rows:
                home = self.rows.get(_key(row), {}).get("experiment", experiment)
                self.rows[_key(row)] = {**row, "experiment": home, **dict(zip(KEY, _key(row)))}      # as they will be read
                homes.add(home)
            for home in sorted(homes):
                kept = sorted((row for row in self.rows.values() if row["experiment"] == home), key=_key)
                table = pd.DataFrame(kept, columns=COLUMNS)
                write_atomically(self.folder / f"{home}.csv", lambda part, table=table: table.to_csv(part, index=False))


def canonical(options):
    """Options as JSON with sorted keys, the same text for the same options."""
    return options if isinstance(options, str) else json.dumps(options, sort_keys=True)


def _key(row):
    """The `KEY` columns of a row as a tuple of strings."""
    return tuple(canonical(row[name]) if name == "options" else str(row[name]) for name in KEY)


@lru_cache(maxsize=4)
def _all(files):
    """The rows of all files (name, time, size) by their keys; kept in memory until one changes."""
    return {key: row for file in files for key, row in _rows(*file).items()}


@lru_cache(maxsize=64)
def _rows(file, written, size):
    """The rows of one file by their keys; kept in memory until the file changes."""
    table = _read(file)
    keys, values = (zip(*(table[name].tolist() for name in names)) for names in (KEY, COLUMNS))
    return {key: dict(zip(COLUMNS, row)) for key, row in zip(keys, values)}


def _read(file):
    """One file of the ledger; LedgerError when it is damaged or has other columns."""
    try:
        table = pd.read_csv(file, dtype={name: str for name in ("experiment", *KEY)}, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise LedgerError(f"{file} is damaged ({error}). {_repair(file)}") from error
    if list(table.columns) != COLUMNS:
        raise LedgerError(f"{file} has the columns {', '.join(table.columns)}; this mergelib writes {', '.join(COLUMNS)}. "
                          f"{_repair(file)}")
    for name in ("value", "count", "seconds"):
        bad = pd.to_numeric(table[name], errors="coerce").isna()
        if bad.any():
            raise LedgerError(f"{file}, line {bad.idxmax() + 2}: {table[name][bad.idxmax()]!r} is no {name}. {_repair(file)}")
    return table


def _repair(file):
    """What a person can do about a damaged file of results."""
    return f"Restore it with `git checkout -- {file}`, or delete it: its rows are then measured again."
