"""What did the papers print? Every published table as a tidy DataFrame."""

import pandas as pd

from .paths import PAPER


def published(name):
    """One published table by its file name without `.csv`, such as "doge_table1_vit_b32".

    Columns: paper, table, model, method, group, setting, task, metric, value, unit. Raises ValueError with the known names.
    """
    file = PAPER / f"{name}.csv"
    if not file.exists():
        known = ", ".join(sorted(path.stem for path in PAPER.glob("*.csv")))
        raise ValueError(f"There is no published table {name!r}. Known tables: {known}.")
    return pd.read_csv(file)


PRINTED = {"Consensus TA": "Consensus Merging", "Norm-based lambda": "Task Arithmetic + layer-wise lambda"}


def printed_name(label):
    """How the papers' tables call a method of ours, "" for what they do not print; readings of a method share a name.

    >>> printed_name("Ties-Merging (code)"), printed_name("Representation Surgery (adamerging)")
    ('Ties-Merging', '')
    """
    name, _, preset = label.removesuffix(")").partition(" (")
    elsewhere = preset and name in ("Representation Surgery", "Twin-Merging", "WEMoE") and preset != "task-arithmetic"
    return "" if elsewhere else PRINTED.get(name, name)


def published_averages(*names):
    """The printed averages of several tables by method: the first table that has a method counts."""
    found = {}
    for name in names:
        rows = published(name).query("task == 'Avg' and metric == 'accuracy'")
        found = {**dict(zip(rows["method"], rows["value"])), **found}
    return found


def published_average(name, method, setting=None):
    """The printed average of one method in one table, in the table's unit."""
    table = published(name)
    rows = table[(table["method"] == method) & (table["task"] == "Avg")]
    if setting is not None:
        rows = rows[rows["setting"] == setting]
    if len(rows) != 1:
        raise ValueError(f"{name} has {len(rows)} averages of {method!r}; its methods are {sorted(set(table['method']))}, "
                         f"its settings {sorted(set(table['setting']))}.")
    return float(rows["value"].iloc[0])
