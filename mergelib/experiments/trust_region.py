"""Where do tasks conflict, entry by entry? Measurements of notebook 11, on TATR's trust region."""

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from ..adapt.gradients import absolute_gradient, loss_gradient
from ..progress import progress
from .learning import ALL
from .measuring import Job, from_ledger, ledger_rows, measure, valued, with_options
from .tables import RATIOS
from .vectors import by_depth, short

EXEMPLARS = (1, 2, 4, 8, 16, 32, 64, 128)
FORMS = ("tatr-positive", "tatr-negative", "tatr-ntk", "tatr-zero-shot", "tatr")
AXIS = tuple(round(-0.2 + 0.1 * i, 1) for i in range(15))        # the paper's grid on the plane
PICTURES = 100                                                   # per task and point of the plane


def exemplar_rows(suite, lam, ratio, **how):
    """TATR Fig. 3a, Tab. 5: TATR against the number of exemplars per task, at one `lam` and `ratio`."""
    return measure("trust", suite, [Job("tatr", "", {"lam": lam, "ratio": ratio, "examples": n}) for n in EXEMPLARS], **how)


def ratio_rows(suite, lam, **how):
    """TATR Fig. 3b: TATR and its zero-shot form against the fraction of entries that is left out; 0 is task arithmetic."""
    jobs = [Job(form, "", {"lam": lam, "ratio": ratio}) for form in ("tatr", "tatr-zero-shot") for ratio in (0.0, *RATIOS)]
    return measure("trust", suite, jobs, **how)


def form_rows(suite, lam, ratio, **how):
    """TATR Tab. 6: its five sensitivities with the same `lam` and `ratio` (which the signed two do not have)."""
    jobs = [Job(form, "", {"lam": lam} if form in FORMS[:2] else {"lam": lam, "ratio": ratio}) for form in FORMS]
    return measure("trust", suite, jobs, **how)


def layer_sensitivity(suite, count=16, ledger=None, recompute=False):
    """TATR Fig. 4: mean over a tensor's entries of |grad L_j| sum_{i != j} |tau_i|: DataFrame, tensors by tasks j.

    From `count` exemplars of each task. Tensors are in the network's order.
    """
    (rows,) = from_ledger("trust", suite, [count], _sensitivity_keys, _sensitivities, ledger, recompute)
    table = pd.DataFrame([{"task": row["task"], "tensor": short(row["options"]["tensor"]), "value": row["value"]}
                          for row in map(with_options, rows)])
    return table.pivot_table(index="tensor", columns="task", values="value", sort=False)


def _sensitivity_keys(suite, count):
    """The ledger keys of every task's and tensor's sensitivity."""
    for task in suite.tasks:
        row = next(ledger_rows(suite, Job("tatr", on=(task,)))) | {"metric": "sensitivity", "tasks": "+".join(suite.tasks)}
        for name in by_depth(suite.tensors):
            yield {**row, "options": {"examples": count, "tensor": name}}


def _sensitivities(suite, count):
    """The ledger rows of all sensitivities, four digits each."""
    sizes = {task: {name: (expert[name] - theta_0).abs() for name, theta_0 in suite.base.items()}
             for task, expert in suite.experts.items()}
    found = {}
    for task in progress(suite.tasks, "measuring sensitivities"):
        gradients, others = absolute_gradient(suite.base, suite, task, count=count), [t for t in suite.tasks if t != task]
        found[task] = {name: (gradients[name] * sum(sizes[t][name] for t in others)).mean().item() for name in gradients}
    return [valued(row, f"{found[row['task']][row['options']['tensor']]:.4g}", count, digits=20)
            for row in _sensitivity_keys(suite, count)]


def components(suite, target, ratio, lam, examples=128):
    """A cumulative task vector in TATR's three parts (Sec. 4): dict of positive, negative and orthogonal, name -> tensor.

    `target`: a task, whose gradient g decides and whose own vector is left out, or `ALL`, with the sum of all gradients and of
    all vectors. The vector is lam sum_i tau_i. The `ratio` of the entries with the greatest |g * vector| is split by its sign:
    positive where the vector climbs the loss, negative where it descends; orthogonal is the rest.
    """
    tasks = suite.tasks if target == ALL else (target,)
    found = [loss_gradient(suite.base, suite, task, "train", examples) for task in tasks]
    others = [task for task in suite.tasks if target == ALL or task != target]
    vector = {name: lam * sum(suite.experts[task][name] - suite.base[name] for task in others) for name in suite.base}
    product = {name: sum(gradients[name] for gradients in found) * vector[name] for name in found[0]}
    sizes = torch.cat([value.abs().flatten() for value in product.values()])
    threshold = sizes.kthvalue(len(sizes) - int(len(sizes) * ratio)).values
    masks = {"positive": {name: value > threshold for name, value in product.items()},
             "negative": {name: value < -threshold for name, value in product.items()},
             "orthogonal": {name: value.abs() <= threshold for name, value in product.items()}}
    return {part: {name: vector[name] * mask[name] for name in mask} for part, mask in masks.items()}


def landscapes(suite, targets, ratio, lam, ledger=None, recompute=False):
    """TATR Fig. 2, 5, 6: the loss on the plane through the base plus each of the three `components`.

    `targets`: tasks or `ALL`. The orthogonal part lies at (0, 0), the positive one at (1, 0), the negative one at (0, 1).
    Returns target, x, y, loss (nats, on the first `PICTURES` test pictures; for `ALL` the sum over the tasks) and a DataFrame
    of the base's projection on the plane: target, x, y.
    """
    jobs = [(target, ratio, lam) for target in targets]
    found = from_ledger("landscape", suite, jobs, _plane_keys, _measure_plane, ledger, recompute)
    table = pd.DataFrame([{"target": row["task"], **row["options"], "metric": row["metric"], "value": row["value"]}
                          for rows in found for row in map(with_options, rows)])
    points = table[table["metric"] == "plane loss"].rename(columns={"value": "loss"})
    base = table[table["metric"] != "plane loss"].pivot_table(index="target", columns="metric", values="value", sort=False)
    return points[["target", "x", "y", "loss"]], base.rename(columns={"base x": "x", "base y": "y"}).reset_index()


def corners(points):
    """The loss (nats) of a landscape's three corners: targets by orthogonal, positive and negative."""
    at = {(0.0, 0.0): "orthogonal", (1.0, 0.0): "positive", (0.0, 1.0): "negative"}
    found = points.assign(part=[at.get(place) for place in zip(points["x"], points["y"])])
    return found.pivot_table(index="target", columns="part", values="loss", sort=False)[list(at.values())]


def _plane_keys(suite, job):
    """The ledger keys of one landscape: the base's place, and the losses."""
    target, ratio, lam = job
    row = next(ledger_rows(suite, Job("tatr"))) | {"task": target, "condition": f"first {PICTURES} pictures"}
    for metric in ("base x", "base y"):
        yield {**row, "metric": metric, "options": {"ratio": ratio, "lam": lam}}
    for x in AXIS:
        for y in AXIS:
            yield {**row, "metric": "plane loss", "options": {"ratio": ratio, "lam": lam, "x": x, "y": y}}


def _measure_plane(suite, job):
    """All ledger rows of one landscape."""
    target, ratio, lam = job
    parts = components(suite, target, ratio, lam)
    origin = parts["orthogonal"]
    axes = [{name: parts[part][name] - origin[name] for name in origin} for part in ("positive", "negative")]
    values = dict(zip(("base x", "base y"), _projection(origin, axes)))
    rows = []
    for row in _plane_keys(suite, job):
        at = row["options"]
        if row["metric"] == "plane loss":
            state = {**suite.base, **{name: suite.base[name] + origin[name] + at["x"] * axes[0][name] + at["y"] * axes[1][name]
                                      for name in origin}}
        value = _loss(state, suite, target) if row["metric"] == "plane loss" else values[row["metric"]]
        rows.append(valued(row, value, PICTURES))
    return rows


def _projection(origin, axes):
    """Where the base, which is at -origin from the plane's origin, lies on the plane of two axes: least squares."""
    def dot(a, b):
        return sum((a[name].double() * b[name].double()).sum().item() for name in a)
    matrix = [[dot(a, b) for b in axes] for a in axes]
    return np.linalg.solve(matrix, [-dot(a, origin) for a in axes]).tolist()


def _loss(state, suite, target):
    """Cross-entropy (nats) on the first test pictures of a task, or summed over all."""
    total = 0.0
    for task in suite.tasks if target == ALL else (target,):
        pixels, labels = suite.pictures(task, "test", PICTURES)
        total += cross_entropy(suite.logits(state, task, pixels), torch.as_tensor(labels)).item()
    return total
