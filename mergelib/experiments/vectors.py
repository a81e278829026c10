"""What do the task vectors look like, alone and together? Measurements of notebook 02."""

import json
import re

import pandas as pd
import torch

from ..checkpoints.states import flatten_state
from ..merging.work import stream
from ..methods import ENCODER_MATRICES
from ..methods.doge.subspace import as_matrices, project_out, shared_subspace
from .choosing import LAMBDAS
from .measuring import Job, measure

DIGITS = 4          # of what is drawn: machines that sum in another order draw the same figure
# where a part of a name stands here is its place in the network
DEPTH = "conv1 class_embedding positional_embedding ln_pre transformer ln_1 attn ln_2 mlp ln_post proj"


def lambda_sweep(suite, **how):
    """AdaMerging Fig. 1: accuracy against lambda for task arithmetic and both readings of TIES; averaging as a level."""
    jobs = [Job(method, preset, {"lam": lam}) for lam in LAMBDAS
            for method, preset in (("task-arithmetic", ""), ("ties", "paper"), ("ties", "code"))]
    return measure("lambda-sweep", suite, [*jobs, Job("weight-average")], **how)


def sweep_averages(table):
    """Average accuracy (percent) of a sweep: lambda (rows) by method (columns)."""
    table = table[(table["metric"] == "accuracy") & (table["options"] != "{}")]
    lam = table["options"].map(lambda text: json.loads(text)["lam"]).rename("lam")
    return table.pivot_table(index=lam, columns="label", values="value", sort=False).sort_index()


def task_cosines(suite):
    """DOGE Fig. 2a: cosine similarity of every pair of task vectors, all tensors taken together."""
    theta_0 = flatten_state(suite.base)
    taus = torch.stack([flatten_state(expert) - theta_0 for expert in suite.experts.values()])
    unit = taus / taus.norm(dim=1, keepdim=True)
    cosines = (unit @ unit.T).cpu().numpy().round(DIGITS)
    return pd.DataFrame(cosines, index=list(suite.tasks), columns=list(suite.tasks))


def conflict_losses(suite, lam=0.3, **how):
    """TATR Definition 1: losses on every task when all experts are merged by task arithmetic, and when one is left out."""
    options = {"lam": lam}
    without = [Job("task-arithmetic", "", options, tuple(t for t in suite.tasks if t != left), suite.tasks)
               for left in suite.tasks]
    return measure("conflict", suite, [Job("task-arithmetic", "", options), *without], **how)


def conflict_matrix(table, tasks):
    """C_{j|i} = L_j(all merged) - L_j(all but i merged) in nats: rows j (who suffers), columns i (who is added)."""
    loss = table[table["metric"] == "loss"].set_index(["tasks", "task"])["value"]
    everything = "+".join(tasks)
    return pd.DataFrame({i: {j: loss[everything, j] - loss["+".join(t for t in tasks if t != i), j] for j in tasks}
                         for i in tasks})


def magnitudes(suite):
    """DOGE Fig. 3: root mean square of each task vector's elements, tasks by tensors (in the order of the network).

    Tensors that no expert has changed are left out.
    """
    table = {name: taus.flatten(1).double().square().mean(dim=1).sqrt().tolist()
             for name, _, taus in stream(suite.base, suite.experts, by_depth(suite.tensors)) if taus.any()}
    return pd.DataFrame(table, index=list(suite.tasks)).round(DIGITS + 4).rename(columns=short)


def subspace_shares(suite):
    """DOGE Fig. 2b, measured: the share of each task vector's squared norm inside S_share, per transformer matrix.

    Columns: task, layer, share, chance (the share of a random subspace of that size: its dimension over the rows).
    """
    rows = []
    names = [name for name in by_depth(suite.tensors) if re.search(ENCODER_MATRICES, name)]
    for name, _, taus in stream(suite.base, suite.experts, names):
        taus = as_matrices(taus)
        basis = shared_subspace(taus)
        for task, tau in zip(suite.tasks, taus):
            outside = project_out(tau, basis).square().sum() / tau.square().sum()
            rows.append({"task": task, "layer": short(name), "share": round(1 - outside.item(), DIGITS),
                         "chance": basis.shape[1] / basis.shape[0]})
    return pd.DataFrame(rows)


def short(name):
    """A tensor's name without the parts that all names share."""
    return name.removeprefix("transformer.resblocks.").removesuffix(".weight")


def by_depth(names):
    """The names of an image tower's tensors from the input to the output."""
    def place(name):
        stem, _, block, part = (*name.split("."), "", "", "")[:4]
        inside = stem == "transformer"
        return DEPTH.find(stem), int(block) if inside else 0, DEPTH.find(part) if inside else 0
    return sorted(names, key=place)
