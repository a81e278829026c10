"""Are the base and the experts what they should be? Their accuracies against known ones, before anything is merged.

It catches what loads without complaint: a lost QuickGELU, another split, exchanged or damaged files, a head with its classes
in another order. The published golden values and their sources are in data/paper/golden.csv, family by family (see
`families`); for checkpoints of your own, what you noted when you made them.
"""

from statistics import mean, median

import pandas as pd

from ..checkpoints.lazy import CheckpointError
from .tables import published

EIGHT = ("SUN397", "Cars", "RESISC45", "EuroSAT", "SVHN", "GTSRB", "MNIST", "DTD")
FAR = 10            # points below the golden value, from which on another split does not explain it
LEARNED = 0.05      # of the way from chance to the golden value: below this nothing is left of what was learned
MOST = 0.75         # of all compared accuracies: if so many are low by a little, there is one cause


def preflight(base, experts, model, family, tolerance=1.0):
    """`compare` with the published golden values of one model ("ViT-B-32" and so on) and family ("A", "B" or "C").

    The tasks are named as in the papers' tables.
    """
    return compare(base, experts, golden(model, family), tolerance, f" for {model} in family {family}")


def compare(base, experts, known, tolerance=1.0, where=""):
    """Compare the accuracies of the base on all tasks, and of every expert on its own, with those that they should have.

    `base`, `experts`: mapping from task to accuracy (fraction); `known`: (checkpoint, task) -> golden value (%), or a list of
    them, as `golden` gives it, or your own notes; of several the nearest counts; `tolerance`: points; `where`: whose values
    they are, for the error. Where no value of a task is known, the average of the papers' eight is compared if all are there;
    an expert below the base is off unless its golden value says the same. Returns a DataFrame: checkpoint ("zero-shot" or
    "expert"), task, measured and golden (%), difference (points), cause ("" where nothing is wrong). Raises ValueError if
    there is nothing to compare with.
    """
    rows = [{"checkpoint": kind, "task": task, "measured": points, "golden": _nearest(points, known.get((kind, task)))}
            for kind, found in (("zero-shot", base), ("expert", experts)) for task, points in _points(kind, found, known)]
    table = pd.DataFrame(rows, columns=["checkpoint", "task", "measured", "golden"])
    if table["golden"].isna().all():
        raise ValueError(f"No accuracy that was measured has a golden value{where}. Known: "
                         f"{', '.join(f'{kind} {task}' for kind, task in known)}. For Avg measure all of {', '.join(EIGHT)}.")
    table["difference"] = table["measured"] - table["golden"]
    return table.assign(cause=_causes(table, tolerance))


def check_preflight(report):
    """Raise CheckpointError that names every accuracy of a `preflight` that is off, by how much, and the likely cause."""
    off = report[report["cause"] != ""]
    lines = [f"{row.checkpoint} {row.task}: {row.measured:.1f} %{_against(row)}; {row.cause}" for row in off.itertuples()]
    if lines:
        raise CheckpointError(f"{len(lines)} of {len(report)} accuracies are not what they should be, so nothing was merged:"
                              + "".join(f"\n  {line}" for line in lines) + "\nPut this right and measure again.")


def golden(model, family):
    """The published accuracies (%) of one model and family: (checkpoint, task) -> accuracy, or a list of several.

    Raises ValueError with what there is.
    """
    table = published("golden")
    rows = table[(table["model"] == model) & (table["family"] == family)]
    if rows.empty:
        there = sorted(set(zip(table["model"], table["family"])))
        raise ValueError(f"There are no golden values for {model} in family {family}; there are: "
                         f"{', '.join(f'{model} in {family}' for model, family in there)}.")
    values = rows.groupby(["checkpoint", "task"], sort=False)["accuracy"].apply(list)
    return {key: several if len(several) > 1 else several[0] for key, several in values.items()}


def _nearest(points, known):
    """The golden value next to what was measured, nan if there is none; `known`: one or several."""
    several = known if isinstance(known, (list, tuple)) else [known]
    return float("nan") if known is None else min(several, key=lambda value: abs(value - points))


def _points(kind, found, known):
    """(task, accuracy in %) of all that was measured, and of the average where single values are not published."""
    if odd := {task: value for task, value in found.items() if not 0 <= value <= 1}:
        raise ValueError(f"Accuracies are fractions from 0 to 1; {kind} has {odd}.")
    points = {task: 100 * value for task, value in found.items()}
    if set(EIGHT) <= set(points) and any((kind, task) not in known for task in EIGHT):
        points["Avg"] = mean(points[task] for task in EIGHT)
    return points.items()


def _causes(table, tolerance):
    """The likely cause for each row of a report, "" where nothing is wrong."""
    off = table[table["difference"].abs() > tolerance]
    low = off[off["difference"] < 0]
    compared = table["golden"].notna().sum()
    if compared > 2 and len(low) >= MOST * compared and median(low["difference"]) > -FAR:
        common = ("nearly all are low by a little: plain GELU in place of QuickGELU (models.check_quick_gelu), other "
                  "preprocessing, or other splits")
        return [common if index in low.index else "" for index in table.index]
    floor = table[table["checkpoint"] == "zero-shot"].set_index("task")["measured"]
    experts = table[table["checkpoint"] == "expert"]
    useless = (experts["measured"] < experts["task"].map(floor).astype(float)) & ~(experts["difference"].abs() <= tolerance)
    lost = experts[(experts["difference"] < -FAR) | useless]["task"].tolist()
    return [_lost(row, lost) if row.checkpoint == "expert" and row.task in lost
            else _moved(row) if row.Index in off.index else "" for row in table.itertuples()]


def _lost(row, lost):
    """Why an expert does not know its task; `lost`: all tasks of such experts."""
    others = [task for task in lost if task not in (row.task, "Avg")]
    causes = ["a damaged file or a head with other class names or another order of classes"] if _at_chance(row) else []
    if others:
        some = " or ".join([*others[:3], *["another"] * (len(others) > 3)])
        causes.append(f"exchanged with the expert of {some} (measure each on the other's task)")
    return "perhaps " + ", or ".join(causes or ["the expert of another task, or not fine-tuned"])


def _moved(row):
    """Why an accuracy is off by less than that."""
    if row.difference > 0:
        return "perhaps an easier split, or a checkpoint of another family"
    if row.checkpoint == "zero-shot":
        return "perhaps another base, other prompts or class names, or another split"
    return "perhaps another split of this data set, or another version of this checkpoint"


def _at_chance(row):
    """Whether next to nothing is left of what a golden expert knows more than chance."""
    classes = published("golden").drop_duplicates("task").set_index("task")["classes"].get(row.task, float("nan"))
    chance = 100 / classes
    return row.measured - chance < LEARNED * (row.golden - chance)


def _against(row):
    """The golden value in words, where there is one."""
    return "" if pd.isna(row.golden) else f", should be {row.golden:.1f} % ({row.difference:+.1f} points)"
