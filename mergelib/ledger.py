"""Has this exact thing been measured? The ledger answers from disk; what is new is appended, whole or not at all."""

import json
from pathlib import Path

import pandas as pd

from .paths import RESULTS, write_atomically

KEY = ["suite", "model", "seed", "zoo", "method", "preset", "options", "tasks", "task", "split", "condition", "metric",
       "version"]
COLUMNS = ["experiment", *KEY, "value", "count", "seconds"]


class LedgerError(ValueError):
    """A file of results that cannot be read; the message names it and the repair."""


class Ledger:
    """Every number measured so far: one row each, in one CSV file per experiment.

    >>> ledger = Ledger("data/results")                      # doctest: +SKIP
    >>> ledger.find({"method": "ties", ...})                 # the row as a dict, or None         # doctest: +SKIP
    """

    def __init__(self, folder=RESULTS):
        self.folder = Path(folder)
        self.rows, self.files = {}, {}
        for file in sorted(self.folder.glob("*.csv")):
            for row in _read(file).to_dict("records"):
                self.rows[_key(row)] = row
                self.files.setdefault(file.stem, []).append(_key(row))

    def find(self, wanted):
        """The row whose `KEY` columns are as in `wanted`, or None. `options` may be a dict."""
        return self.rows.get(_key(wanted))

    def record(self, experiment, rows):
        """Append rows (dicts with `KEY`, value, count, seconds) to an experiment's file; the same key is replaced."""
        keys = self.files.setdefault(experiment, [])
        for row in rows:
            row = {"experiment": experiment, **row, "options": canonical(row["options"])}
            key = _key(row)
            self.rows[key] = row
            if key not in keys:
                keys.append(key)
        table = pd.DataFrame([self.rows[key] for key in keys], columns=COLUMNS)
        write_atomically(self.folder / f"{experiment}.csv", lambda part: table.to_csv(part, index=False))


def canonical(options):
    """Options as JSON with sorted keys, the same text for the same options."""
    return options if isinstance(options, str) else json.dumps(options, sort_keys=True)


def _key(row):
    """The `KEY` columns of a row as a tuple of strings."""
    return tuple(canonical(row[name]) if name == "options" else str(row[name]) for name in KEY)


def _read(file):
    """One file of the ledger; LedgerError when it is damaged or has other columns."""
    try:
        table = pd.read_csv(file, dtype={name: str for name in KEY}, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise LedgerError(f"{file} is damaged ({error}). {_repair(file)}") from error
    if list(table.columns) != COLUMNS:
        raise LedgerError(f"{file} has the columns {', '.join(table.columns)}; this mergelib writes {', '.join(COLUMNS)}. "
                          f"{_repair(file)}")
    bad = pd.to_numeric(table["value"], errors="coerce").isna()
    if bad.any():
        raise LedgerError(f"{file}, line {bad.idxmax() + 2}: {table['value'][bad.idxmax()]!r} is no number. {_repair(file)}")
    return table


def _repair(file):
    """What a person can do about a damaged file of results."""
    return f"Restore it with `git checkout -- {file}`, or delete it: its rows are then measured again."
