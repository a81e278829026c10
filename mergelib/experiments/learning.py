"""What do learned coefficients look like, and is a sure model right? Measurements of notebook 10."""


import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch.nn.functional import cross_entropy

from ..adapt.adamerging import EVERY
from ..checkpoints.blocks import matching
from ..merging.loop import first_pass, merge
from ..methods import METHODS
from .measuring import SCORES, Job, from_ledger, label, ledger_rows, valued, with_options
from .vectors import by_depth, short

PATHS = (Job("adamerging-taskwise", "paper"), Job("adamerging-taskwise++", "paper"))
HEATS = (Job("adamerging", "paper"), Job("adamerging++", "paper"), Job("doge-am", "exact"))
EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, np.inf)      # of the papers' eleven groups, nats
ALL = "all tasks"


def coefficients(suite, jobs, ledger=None, recompute=False):
    """The coefficients that methods learn, from the ledger or learned (minutes each): label, task, tensor, step, lam.

    Of a layer-wise method every tensor's after the last step; of a task-wise one those of every tenth step, which all tensors
    share (tensor "").
    """
    found = from_ledger("coefficients", suite, jobs, _keys, _learn, ledger, recompute)
    return pd.DataFrame([{"label": label(job.method, job.preset), "task": row["task"], "step": row["options"]["step"],
                          "tensor": short(row["options"]["tensor"]), "lam": row["value"]}
                         for job, rows in zip(jobs, found) for row in map(with_options, rows)])


def _keys(suite, job):
    """The ledger keys of a job's coefficients."""
    settings = METHODS[job.method].settings(job.preset or None, **job.options)
    names = by_depth(matching(settings["keys"], suite.tensors))
    places = [(name, settings["steps"]) for name in names]
    if settings["granularity"] == "task":
        places = [("", step) for step in range(0, settings["steps"] + 1, EVERY)]
    accuracies = [row for row in ledger_rows(suite, job) if row["metric"] in SCORES]
    return [{**row, "metric": "coefficient", "options": {**job.options, "tensor": tensor, "step": step}}
            for tensor, step in places for row in accuracies]


def _learn(suite, job):
    """Learn once: the ledger rows of a job's coefficients."""
    part = suite.subset(job.tasks or suite.tasks)
    found = first_pass(job.method, part.base, part.experts, job.preset or None, suite=part, **job.options)["each"]
    paths = {tensor: each["path"] for tensor, each in found.items()}
    paths[""] = next(iter(paths.values()))          # what a task-wise method shares

    def coefficient(task, tensor, step, **_):
        return paths[tensor][step // EVERY][part.tasks.index(task)]

    return [valued(row, coefficient(row["task"], **row["options"])) for row in _keys(suite, job)]


def entropy_and_loss(suite, lam, ledger=None, recompute=False):
    """AdaMerging Fig. 3 and 11: the test pictures of a merged model, grouped by the entropy of its predictions.

    The model is task arithmetic with `lam`. Returns a DataFrame by task (and `ALL`) and group (left edge, nats): loss (mean,
    nats), accuracy (percent) and count; and a Series of Spearman's correlation of entropy and loss by task.
    """
    (rows,) = from_ledger("entropy", suite, [lam], _group_keys, _measure_groups, ledger, recompute)
    found = pd.DataFrame([row | {"group": row["options"].get("group")} for row in map(with_options, rows)])
    rho = found[found["metric"] == "spearman"].set_index("task")["value"]
    groups = found[found["metric"] != "spearman"]
    counts = groups[groups["metric"] == "group loss"].set_index(["task", "group"])["count"].astype(int)
    groups = groups.pivot_table(index=["task", "group"], columns="metric", values="value", sort=False).assign(count=counts)
    groups = groups.rename(columns={"group loss": "loss", "group accuracy": "accuracy"})
    groups["accuracy"] *= 100
    return groups[groups["count"] > 0], rho


def _group_keys(suite, lam):
    """The ledger keys of all tasks' groups and correlations."""
    return [row for task in (*suite.tasks, ALL) for row in _group_rows(suite, lam, task)]


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
        scores = suite.logits(model, task, pixels)
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
        rows.append(valued(whole, np.nan_to_num(spearmanr(table["entropy"], table["loss"]).statistic), len(table)))
        rows += [valued(row, found[row["metric"]][row["options"]["group"]], groups.size()[row["options"]["group"]])
                 for row in parts]
    return rows
