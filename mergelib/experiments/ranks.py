"""How large should DOGE's shared subspace be, and where may delta go? Measurements of notebook 08."""

import json
import re

import pandas as pd
import torch

from ..merging.work import stream
from ..methods import ENCODER_MATRICES
from ..methods.doge.subspace import as_matrices, leading_left
from .gaps import averages_by
from .measuring import Job, measure
from .vectors import DIGITS

RANK_RATIOS = (0.02, 0.05, 0.1, 1 / 6, 0.2, 0.3, 0.5, 0.7, 0.9)
DIRECTIONS = ("orthogonal", "along")
ADAM = {"solver": "adam", "steps": 400}         # along a small subspace there is no exact solution


def rank_rows(suite, eta, **how):
    """DOGE Fig. 4, Tab. 7: DOGE TA against the rank ratio, delta orthogonal to the shared subspace, along it, and free.

    All by 400 steps of Adam.
    """
    jobs = [Job("doge-ta", preset, {**ADAM, "eta": value, "direction": direction, "rank_ratio": ratio})
            for preset, value in eta.items() for direction in DIRECTIONS for ratio in RANK_RATIOS]
    jobs += [Job("doge-ta", preset, {**ADAM, "eta": value, "direction": "free"}) for preset, value in eta.items()]
    return measure("rank", suite, jobs, **how)


def rank_table(rows):
    """Average accuracy (percent) of `rank_rows`: ratios by (reading, direction), and a Series by reading without a subspace."""
    found = averages_by(rows, "preset", "direction", "rank_ratio")
    free = found[found["direction"] == "free"].set_index("preset")["accuracy"]
    found = found[found["direction"] != "free"]
    return found.pivot_table(index="rank_ratio", columns=["preset", "direction"], values="accuracy"), free


def direction_table(rows, reading, ratio=1 / 6):
    """DOGE Tab. 7: accuracy (percent) of each task (rows) by direction at one rank ratio, from `rank_rows`."""
    options = rows["options"].map(json.loads)
    here = options.map(lambda given: given.get("rank_ratio", ratio) == ratio)
    rows = rows.assign(direction=options.map(lambda given: given["direction"]))
    kept = rows[here & (rows["preset"] == reading) & (rows["metric"] == "accuracy")]
    return kept.pivot_table(index="task", columns="direction", values="value", sort=False)


def explained(suite, ratios=RANK_RATIOS):
    """Share of the singular values that the first k directions keep, mean over the transformer matrices: DataFrame by ratio.

    `bases`: of the concatenated bases, whose directions the shared subspace takes; `task vectors`: of sum_i tau_i.
    """
    rows = []
    for _, _, taus in stream(suite.base, suite.experts, [name for name in suite.base if re.search(ENCODER_MATRICES, name)]):
        taus = as_matrices(taus)
        count = min(taus.shape[1:])
        bases = torch.cat([leading_left(tau, count // len(taus)) for tau in taus], dim=1)
        for name, matrix in (("bases", bases), ("task vectors", taus.sum(dim=0))):
            values = torch.linalg.svdvals(matrix.double())
            rows += [{"of": name, "ratio": ratio, "share": (values[:int(count * ratio)].sum() / values.sum()).item()}
                     for ratio in ratios]
    return pd.DataFrame(rows).pivot_table(index="ratio", columns="of", values="share").round(DIGITS)
