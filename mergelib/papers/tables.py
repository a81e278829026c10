"""What did the papers print? Every published table as a tidy DataFrame."""

import math

import pandas as pd

from ..paths import PAPER

FAMILY_B = ("fusionbench", "doge_table5", "doge_table8")        # tables of family B's experts begin so


def published(name, beside=None):
    """One published table by its file name without `.csv`, such as "doge_table1_vit_b32".

    Columns: paper, table, model, method, group, setting, task, metric, value, unit; "after_doge", which mixes models and
    families, also has family and source. `beside`: the suite beside whose numbers they are to stand; if its experts are
    published ones, only rows of their family and tower are left, or none. Raises ValueError with the known names.
    """
    file = PAPER / f"{name}.csv"
    if not file.exists():
        known = ", ".join(sorted(path.stem for path in PAPER.glob("*.csv")))
        raise ValueError(f"There is no published table {name!r}. Known tables: {known}.")
    table = pd.read_csv(file)
    if beside is None:
        return table
    families = table.get("family", pd.Series("B" if name.startswith(FAMILY_B) else "A", table.index))
    return table[[beside.stands_beside(model, family) for model, family in zip(table["model"], families)]]


PRINTED = {"Consensus TA": "Consensus Merging", "Norm-based lambda": "Task Arithmetic + layer-wise lambda"}


def printed_name(label):
    """How the papers' tables call a method of ours, "" for what they do not print; readings of a method share a name.

    >>> printed_name("Ties-Merging (code)"), printed_name("Representation Surgery (adamerging)")
    ('Ties-Merging', '')
    """
    name, _, preset = label.removesuffix(")").partition(" (")
    elsewhere = preset and name in ("Representation Surgery", "Twin-Merging", "WEMoE") and preset != "task-arithmetic"
    return "" if elsewhere else PRINTED.get(name, name)


AVERAGED = ("accuracy", "mean of the 8 task scores")


def published_averages(*names, beside=None):
    """The printed averages of several tables by method: the first table that has a method counts; `beside`: see `published`."""
    found = {}
    for name in names:
        rows = published(name, beside).query("task == 'Avg' and metric in @AVERAGED")
        found = {**dict(zip(rows["method"], rows["value"])), **found}
    return found


def printed_averages(*names, beside=None):
    """As `published_averages`, for our labels: a function that gives the average printed for one, or nan."""
    found = published_averages(*names, beside=beside)
    return lambda label: found.get(printed_name(label), math.nan)


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


def published_cost(left_out, model="ViT-B/32"):
    """What leaving out a part of DOGE TA costs by DOGE's Table 6 (points); ValueError for a part without a number."""
    rows = published("doge_table6_ablation_partial").query("metric.str.startswith('change') and model == @model")
    rows = rows[rows["setting"].str.lower().str.startswith(f"w/o {left_out}")]
    if len(rows) != 1:
        raise ValueError(f"DOGE's Table 6 has {len(rows)} costs of {left_out!r} on {model}.")
    return -float(rows["value"].iloc[0])


ROW = ["file", "table", "model", "group", "method", "setting"]      # what tells one printed row from another
RERUN = {"adamerging_table3_unseen_vit_b32": "doge_table5_unseen_vit_b32",      # AdaMerging's tables, and DOGE's of the same,
         "adamerging_table4_robustness_vit_b32": "doge_table8_robustness_vit_b32"}       # whose baselines FusionBench ran


def printed_rows(*names):
    """The rows of tables that print scores and their average: `ROW`, printed, recomputed (the mean of the scores), tasks."""
    scores = pd.concat(published(name).assign(file=name) for name in names).query("unit in ('%', 'x100')")
    average = scores["task"] == "Avg"
    tasks = scores[~average].groupby(ROW).agg(recomputed=("value", "mean"), tasks=("task", lambda names: tuple(sorted(names))))
    return scores[average].rename(columns={"value": "printed"})[[*ROW, "printed"]].join(tasks, on=ROW).dropna()


def disagreements(tolerance=0.1):
    """Printed averages that differ by more than the tolerance from the mean of the values printed beside them.

    Columns: file, method, setting, printed, recomputed, difference. Where every number is rounded to 0.1, rounding alone can
    make a difference of 0.1 (data/paper/errata.md, section 1).
    """
    rows = printed_rows(*sorted(file.stem for kind in ("table", "rebuttal") for file in PAPER.glob(f"*_{kind}*.csv")))
    rows["difference"] = (rows["printed"] - rows["recomputed"]).round(6)       # 0.1 is 0.1, whatever its binary form
    return rows.loc[rows["difference"].abs() > tolerance,
                    ["file", "method", "setting", "printed", "recomputed", "difference"]].reset_index(drop=True)


def cross_paper():
    """The averages that AdaMerging and DOGE print for the same method, setting and tasks; DOGE's are FusionBench's."""
    key = ["method", "setting", "tasks"]
    pairs = [printed_rows(theirs)[[*key, "printed"]].merge(printed_rows(doge)[[*key, "printed"]], on=key)
             for theirs, doge in RERUN.items()]
    rows = pd.concat(pairs, ignore_index=True).drop(columns="tasks")
    return rows.set_axis(["method", "setting", "AdaMerging paper", "DOGE paper"], axis=1)
