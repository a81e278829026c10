"""What does each part of DOGE TA do? It is left out or changed: measurements of notebooks 07 and 15."""

from functools import partial

import pandas as pd

from ..merging.work import stream
from ..methods.linear import norm_first_pass
from .choosing import DOGE, ETAS, LAMBDAS, choose, chosen_jobs, setting
from .measuring import Job, measure

LAMS = LAMBDAS[1:11]
PRINTED = tuple(round(0.01 * i, 2) for i in range(1, 10))       # the rebuttal's values of eta
READINGS = {"code": ("code", {}), "exact": ("exact", {})}           # preset and options
WITHOUT = {"nothing": {}, "shared subspace": {"direction": "free"}, "task-aware lambda": {"uniform": True}}
CHANGES = {                 # from what was released to what is printed, one at a time
    "as released": {},
    "one inner product per layer": {"inner_product": "tensor"},
    "no mask": {"mask": "none"},
    "every tensor": {"keys": ""},
    "shared basis of r / 8": {"rank_ratio": 1 / 8},
    "delta projected, too": {"project_after": True},
    "a delta per task": {"delta": "per_task"},
    "exact solution": {"solver": "exact", "steps": 32},
}


def ablation(suite, readings=READINGS, etas=ETAS, guard=None, **how):
    """DOGE Tab. 6: DOGE TA without one of its parts; without delta it is the norm-based lambda on the same tensors.

    `guard`: options of all. Rows of `measure` with columns `without` and `reading`. Each variant has its own coefficient, the
    best on validation pictures.
    """
    tables, guard = [], guard or {}
    for reading, (preset, options) in readings.items():
        for name, left_out in WITHOUT.items():
            values = LAMS if "uniform" in left_out else etas
            grid = ("doge-ta", preset, "eta", values, {**guard, **options, **left_out})
            tables.append(_best(suite, grid, name, reading, **how))
    tables.append(_best(suite, ("norm-lambda", "code", "eta", etas, guard), "delta", "", **how))
    return pd.concat(tables)


def _best(suite, grid, name, reading, **how):
    """The test rows of one variant with its best setting."""
    tried = choose("ablation-selection", suite, [grid], **how)
    return measure("ablation", suite, chosen_jobs(tried), **how).assign(without=name, reading=reading)


def printed_ablation(suite, eta, **how):
    """The ablation as printed: the full method's `eta` for all (preset -> eta), and 0.3 for the uniform coefficient."""
    tables = []
    for preset, value in eta.items():
        for name, left_out in WITHOUT.items():
            job = Job("doge-ta", preset, {**left_out, "eta": 0.3 if "uniform" in left_out else value})
            tables.append(measure("ablation", suite, [job], **how).assign(without=name, reading=preset))
        job = Job("norm-lambda", "code", {"eta": value})
        tables.append(measure("ablation", suite, [job], **how).assign(without="delta", reading=preset))
    return pd.concat(tables)


def lambda_rows(suite, **how):
    """DOGE Tab. 9: task arithmetic with one coefficient, one per task, and one per task and layer, each chosen.

    Rows of `measure` with a column `form`. The task-wise eta's values are those at which the mean coefficient is one of the
    others' values.
    """
    norms = norm_first_pass(partial(stream, suite.base, suite.experts, list(suite.base)), "task")["norms"]
    etas = tuple(float(f"{lam / (1 / norms).mean().item():.2g}") for lam in LAMS)
    grids = {"one lambda": ("task-arithmetic", "", "lam", LAMS, {}),
             "a lambda per task": ("norm-lambda", "paper", "eta", etas, {"scope": "task"}),
             "per task and layer": ("norm-lambda", "paper", "eta", ETAS, {}),
             "per task and matrix": ("norm-lambda", "code", "eta", ETAS, {})}
    return pd.concat([_best(suite, grid, "", "", **how).assign(form=name) for name, grid in grids.items()])


def eta_rows(suite, **how):
    """DOGE TA's readings on the test pictures against eta, the printed values and larger ones."""
    etas = sorted({*PRINTED, *ETAS})
    return measure("eta", suite, [Job("doge-ta", preset, {"eta": eta}) for preset in DOGE for eta in etas], **how)


def per_task_rows(suite, eta, **how):
    """DOGE TA with a universal delta and with one per task; `eta`: preset -> eta."""
    jobs = [Job("doge-ta", preset, {"eta": value, "delta": delta}) for preset, value in eta.items()
            for delta in ("universal", "per_task")]
    return measure("ablation", suite, jobs, **how)


def gradient_rows(suite, **how):
    """DOGE TA with the losses' gradients in the place of the task vectors, every reading with its own best eta."""
    tried = choose("ablation-selection", suite, [("doge-gradients", preset, "eta", ETAS, {}) for preset in DOGE], **how)
    return measure("ablation", suite, chosen_jobs(tried), **how)


def changed(suite, eta, **how):
    """The released DOGE TA with one thing changed towards the text, at the released one's `eta`.

    Rows of `measure` with columns `change` and `chosen`, which says how eta was: "as released".
    """
    table = measure("ablation", suite, [Job("doge-ta", "code", {**fixed, "eta": eta}) for fixed in CHANGES.values()], **how)
    return table.assign(change=[name for name in CHANGES for _ in range(len(table) // len(CHANGES))], chosen="as released")


def changed_anew(suite, **how):
    """As `changed`, each with the eta that is its best on validation pictures: `chosen` is "anew"."""
    return pd.concat([_best(suite, ("doge-ta", "code", "eta", ETAS, fixed), "", "", **how).assign(change=name, chosen="anew")
                      for name, fixed in CHANGES.items()])


def chosen_etas(tried, presets=("code", "exact")):
    """The eta that was chosen for DOGE TA's presets: preset -> eta."""
    return {preset: setting(tried, f"DOGE TA ({preset})") for preset in presets}
