"""What do learned coefficients look like, and is a sure model right? Measurements of notebook 10."""

import re

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch.nn.functional import cross_entropy

from ..adapt.coefficients import EVERY
from ..measure.ledger import Ledger
from ..measure.scoring import logits
from ..merging.loop import merge
from ..methods import METHODS
from ..networks.clip import empty_tower
from ..progress import progress
from .measuring import Job, check_weights, label, ledger_rows, run_jobs
from .vectors import by_depth, short

PATHS = (Job("adamerging-taskwise", "paper"), Job("adamerging-taskwise++", "paper"))
HEATS = (Job("adamerging", "paper"), Job("adamerging++", "paper"), Job("doge-am", "exact"))
EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, np.inf)      # of the papers' eleven groups, nats
ALL = "all tasks"


def coefficients(suite, jobs, ledger=None, recompute=False):
    """The coefficients that methods learn, from the ledger or learned (minutes each): label, task, tensor, step, lam.

    Of a layer-wise method every tensor's after the last step; of a task-wise one those of every tenth step, which all tensors
    share (tensor ""). A suite without weights is only read; CheckpointError if something is missing.
    """
    ledger = Ledger() if ledger is None else ledger
    missing = [job for job in jobs if (recompute and suite.base) or None in [ledger.find(row) for row in _rows(suite, job)]]
    check_weights("coefficients", suite, missing)
    done = run_jobs(_learn, suite, missing)
    for k, path in progress(done, "learning coefficients", disable=not missing, total=len(missing)):
        ledger.record("coefficients", [_valued(row, path[row["options"]["tensor"], row["options"]["step"]][row["task"]])
                                       for row in _rows(suite, missing[k])])
    return pd.DataFrame([{"label": label(job.method, job.preset), "task": row["task"], "step": row["options"]["step"],
                          "tensor": short(row["options"]["tensor"]), "lam": ledger.find(row)["value"]}
                         for job in jobs for row in _rows(suite, job)])


def _valued(row, value, count=1):
    """A ledger row for a number that is no accuracy."""
    return {**row, "value": round(float(value), 5), "count": int(count), "seconds": 0, "hits": ""}


def _rows(suite, job):
    """The ledger keys of a job's coefficients."""
    settings = METHODS[job.method].settings(job.preset)
    every = suite.base or empty_tower(suite.model, "cpu").state_dict()      # of a tower that is not shipped
    names = [name for name in by_depth(every) if re.search(settings["keys"], name)]
    places = [(name, settings["steps"]) for name in names]
    if settings["granularity"] == "task":
        places = [("", step) for step in range(0, settings["steps"] + 1, EVERY)]
    accuracies = [row for row in ledger_rows(suite, job) if row["metric"] == "accuracy"]
    return [{**row, "metric": "coefficient", "options": {"tensor": tensor, "step": step}}
            for tensor, step in places for row in accuracies]


def _learn(suite, job):
    """Learn once: (tensor, step) -> task -> coefficient."""
    path = {}
    merge(job.method, suite.base, suite.experts, preset=job.preset, suite=suite, path=path)
    path[""] = next(iter(path.values()))        # what a task-wise method shares
    return {(tensor, EVERY * i): dict(zip(suite.tasks, lam.tolist()))
            for tensor, steps in path.items() for i, lam in enumerate(steps)}


def entropy_and_loss(suite, lam, ledger=None, recompute=False):
    """AdaMerging Fig. 3 and 11: the test pictures of a merged model, grouped by the entropy of its predictions.

    The model is task arithmetic with `lam`. Returns a DataFrame by task (and `ALL`) and group (left edge, nats): loss (mean,
    nats), accuracy (fraction) and count; and a Series of Spearman's correlation of entropy and loss by task.
    """
    ledger = Ledger() if ledger is None else ledger
    wanted = [row for task in (*suite.tasks, ALL) for row in _group_rows(suite, lam, task)]
    if recompute or None in [ledger.find(row) for row in wanted]:
        ledger.record("entropy", _measure_groups(suite, lam))
    found = pd.DataFrame([ledger.find(row) | {"group": row["options"].get("group")} for row in wanted])
    rho = found[found["metric"] == "spearman"].set_index("task")["value"]
    groups = found[found["metric"] != "spearman"]
    counts = groups[groups["metric"] == "group loss"].set_index(["task", "group"])["count"].astype(int)
    groups = groups.pivot_table(index=["task", "group"], columns="metric", values="value", sort=False).assign(count=counts)
    groups = groups.rename(columns={"group loss": "loss", "group accuracy": "accuracy"})
    return groups[groups["count"] > 0], rho


def _group_rows(suite, lam, task):
    """The ledger keys of one task's groups and correlation."""
    row = next(ledger_rows(suite, Job("task-arithmetic", "", {"lam": lam}))) | {"task": task}
    yield {**row, "metric": "spearman"}
    for edge in EDGES[:-1]:
        for metric in ("group loss", "group accuracy"):
            yield {**row, "metric": metric, "options": {"lam": lam, "group": edge}}


def _measure_groups(suite, lam):
    """Entropy and loss of every test picture, summed up: ledger rows."""
    model, pictures = merge("task-arithmetic", suite.base, suite.experts, lam=lam), {}
    for task in suite.tasks:
        pixels, labels = suite.pictures(task, "test")
        scores = logits(model, suite, task, pixels)
        log_p, labels = scores.log_softmax(dim=1), torch.as_tensor(labels)
        pictures[task] = pd.DataFrame({"entropy": -(log_p.exp() * log_p).sum(dim=1),
                                       "loss": cross_entropy(scores, labels, reduction="none"),
                                       "accuracy": (scores.argmax(dim=1) == labels).float()})
    pictures[ALL] = pd.concat(pictures.values())
    rows = []
    for task, table in pictures.items():
        groups = table.groupby(pd.cut(table["entropy"].clip(lower=1e-9), EDGES, labels=EDGES[:-1]), observed=False)
        found = {"group loss": groups["loss"].mean().fillna(0), "group accuracy": groups["accuracy"].mean().fillna(0)}
        whole, *parts = _group_rows(suite, lam, task)
        rows.append(_valued(whole, np.nan_to_num(spearmanr(table["entropy"], table["loss"]).statistic), len(table)))
        rows += [_valued(row, found[row["metric"]][row["options"]["group"]], groups.size()[row["options"]["group"]])
                 for row in parts]
    return rows
