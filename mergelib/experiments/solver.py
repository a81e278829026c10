"""How well is DOGE's problem solved, and does its Taylor step hold? Measurements of notebooks 03 and 07."""

import json
import re
import time
from itertools import product

import pandas as pd
import torch

from ..adapt.gradients import loss_gradient
from ..measure.ledger import Ledger, canonical
from ..merging.work import stream
from ..methods.doge.solvers import Block, descend, exact
from ..methods.doge.subspace import project_out, shared_subspace
from ..methods.linear import ENCODER_MATRICES, coefficients_of, norm_coefficients
from .measuring import Job, ledger_rows, measure

CG_STEPS = (1, 2, 3, 5, 7, 10, 14, 20, 32)
TAYLOR_LAMBDAS = (0.05, 0.1, 0.2, 0.3)


def solver_budget(suite, eta, steps=(1, 2, 3, 5, 10, 20, 32), adam=(25, 50, 100, 200, 400), **how):
    """Accuracy of DOGE TA (row-wise, no mask) against the number of solver steps: conjugate gradients and Adam."""
    jobs = [Job("doge-ta", "exact", {"eta": eta, "steps": n}) for n in steps]
    jobs += [Job("doge-ta", "exact", {"eta": eta, "steps": n, "solver": "adam"}) for n in adam]
    return measure("solver-budget", suite, jobs, **how)


def solver_counts(suite, eta, counts=(2, 4, 8, 12, 20), steps=(1, 2, 3, 5, 10, 32), **how):
    """Accuracy of DOGE TA (row-wise, no mask) on a suite's first tasks: conjugate-gradient steps beside 400 steps of Adam."""
    budgets = [{"steps": n} for n in steps] + [{"steps": 400, "solver": "adam"}]
    jobs = [Job("doge-ta", "exact", {"eta": eta, **budget}, suite.tasks[:count]) for count in counts for budget in budgets]
    return measure("solver-counts", suite, jobs, **how)


def budget_averages(table):
    """Average accuracy (percent) and merging time of the above: columns size (tasks), solver, steps, accuracy, seconds."""
    table = table[table["metric"] == "accuracy"]
    table = table.assign(size=table["tasks"].str.count(r"\+") + 1)
    options = table["options"].map(json.loads)
    names = {"exact": "conjugate gradients", "adam": "Adam"}
    table = table.assign(solver=options.map(lambda o: names[o.get("solver", "exact")]), steps=options.map(lambda o: o["steps"]))
    means = table.groupby(["size", "solver", "steps"])[["value", "seconds"]].mean().reset_index()
    return means.assign(accuracy=100 * means.pop("value"))


def budget_table(table):
    """The accuracies of `budget_averages` (percent): a row for each number of tasks, a column for each solver and steps."""
    means = budget_averages(table).rename(columns={"size": "tasks"})
    return means.pivot(index="tasks", columns=["solver", "steps"], values="accuracy").sort_index(axis=1)


def damping_sweep(suite, eta, dampings=(0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0), **how):
    """Validation accuracy (percent) of DOGE TA (exact) against the damping of its solver: a Series by damping."""
    jobs = [Job("doge-ta", "exact", {"eta": eta, "damping": damping}, split="validation") for damping in dampings]
    table = measure("damping", suite, jobs, **how)
    table = table[table["metric"] == "accuracy"]
    damping = table["options"].map(lambda text: json.loads(text)["damping"]).rename("damping")
    return 100 * table.groupby(damping)["value"].mean().rename("accuracy")


def step_lengths(suite, **merged):
    """How far merged models (name -> state dict) go along the task vectors, inside and outside the shared subspace.

    Over all transformer matrices sum_j <P tau_j, P M> / sum_j ||P tau_j||^2, M the merged step and P the projection on the
    subspace or out of it. 1 is as far as the experts went. DataFrame: name by inside, outside.
    """
    sums = {name: torch.zeros(2, 2) for name in merged}      # inside and outside: product with the step, square
    keys = [name for name in suite.base if re.search(ENCODER_MATRICES, name)]
    for key, theta_0, taus in stream(suite.base, suite.experts, keys):
        outside = torch.stack([project_out(tau, shared_subspace(taus)) for tau in taus])
        for name, state in merged.items():
            for i, part in enumerate((taus - outside, outside)):
                sums[name][i] += torch.stack([(part * (state[key] - theta_0)).sum(), part.square().sum()]).cpu()
    return pd.DataFrame({name: {"inside": (s[0, 0] / s[0, 1]).item(), "outside": (s[1, 0] / s[1, 1]).item()}
                         for name, s in sums.items()}).T


def solver_losses(suite, eta, pattern=r"c_fc\.weight", steps=400):
    """Loss of DOGE's objective (row-wise) on some matrices after each solver step, relative to the start.

    Columns: solver, tensor, step, loss. Computed afresh (seconds): conjugate gradients up to 32 steps, Adam up to `steps`.
    Losses have three digits, so that machines that sum in another order draw the same figure.
    """
    names = sorted(name for name in suite.base if re.search(pattern, name))
    rows = []
    for name, _, taus in stream(suite.base, suite.experts, names):
        lam = norm_coefficients(taus.flatten(1).norm(dim=1), eta)
        block = Block(taus, lam, shared_subspace(taus))
        gap, losses = block.gap(True), []
        descend([block], gap, steps=steps, record=losses)
        rows += [{"solver": "Adam", "tensor": name, "step": i + 1, "loss": x / losses[0]} for i, x in enumerate(losses[1:])]
        for count in CG_STEPS:
            residual = block.dot(block.total(exact([block], gap, steps=count)[0]), True) - gap
            rows.append({"solver": "conjugate gradients", "tensor": name, "step": count,
                         "loss": (residual.square().sum() / gap.square().sum()).item()})
    table = pd.DataFrame(rows)
    return table.assign(loss=table["loss"].map(lambda loss: float(f"{loss:.3g}")))


def taken_apart(suite, eta, pattern=ENCODER_MATRICES, ranks=("matrix", "numerical", "none"), dampings=(0.0, 0.1, 1.0),
                lam_max=1.0):
    """What DOGE's smallest solution (row-wise, no mask) is on single matrices, for each meaning of rank and without a subspace.

    DataFrame of name, lam (the largest coefficient without `lam_max`), rank, r, shared (directions in the subspace), inside
    (share of the task vectors' square in it), damping, steps (1000 in fp64 beside what a merge takes), length (of the merged
    modification, in those of all task vectors together) and left (of the loss of Eq. 5).
    """
    rows, solvers = [], [(damping, 32, torch.float32) for damping in dampings] + [(0.0, 1000, torch.float64)]
    for name, _, taus in stream(suite.base, suite.experts, [name for name in suite.base if re.search(pattern, name)]):
        lam, highest = coefficients_of(taus, eta, lam_max=lam_max), coefficients_of(taus, eta).max().item()
        sizes = {"matrix": min(taus.shape[1:]), "numerical": int(torch.linalg.matrix_rank(taus).max()), "none": 0}
        for rank, (damping, steps, dtype) in product(ranks, solvers):
            basis = shared_subspace(taus, rank=rank) if sizes[rank] else taus.new_zeros(taus.shape[1], 0)
            block = Block(taus.to(dtype), lam.to(dtype), basis.to(dtype))
            gap = block.gap(True)
            total = block.total(exact([block], gap, steps, damping)[0])
            left = (block.dot(total, True) - gap).square().sum() / gap.square().sum()
            rows.append({"name": name, "lam": highest, "rank": rank, "r": sizes[rank], "shared": basis.shape[1],
                         "inside": 1 - (project_out(taus, basis).norm() / taus.norm()).item() ** 2, "damping": damping,
                         "steps": steps, "length": (total.norm() / taus.norm()).item(), "left": left.item()})
    return pd.DataFrame(rows)


def taylor_check(suite, ledger=None, recompute=False):
    """The rebuttal's Taylor check: each task's loss along sum_i tau_i on validation pictures, actual and first order.

    Returns columns task, lam, actual, first order (changes of the loss in nats) and proxy: minus the inner product of
    the task vector with lam sum_i tau_i, which Eq. 5 puts in the gradient's place (arbitrary unit).
    """
    ledger = Ledger() if ledger is None else ledger
    how = {"ledger": ledger, "recompute": recompute}
    where = {"split": "validation", "losses": True}
    jobs = [Job("task-arithmetic", "", {"lam": lam}, **where) for lam in TAYLOR_LAMBDAS]
    table = measure("taylor", suite, [Job("pretrained", **where), *jobs], **how)
    loss = table[table["metric"] == "loss"].set_index(["options", "task"])["value"]
    count = table.drop_duplicates("task").set_index("task")["count"]
    taus = {task: {name: expert[name] - suite.base[name] for name in suite.base} for task, expert in suite.experts.items()}
    total = {name: sum(tau[name] for tau in taus.values()) for name in suite.base}
    rows = []
    for task in suite.tasks:
        slope = _slope(suite, task, total, count[task], ledger, recompute)
        proxy = -float(sum((taus[task][name] * total[name]).sum() for name in total))
        rows += [{"task": task, "lam": lam, "actual": loss[canonical({"lam": lam}), task] - loss["{}", task],
                  "first order": lam * slope, "proxy": lam * proxy} for lam in TAYLOR_LAMBDAS]
    return pd.DataFrame(rows)


def _slope(suite, task, direction, count, ledger, recompute):
    """<grad L_task(theta_0), direction> on the `count` validation pictures, from the ledger or measured."""
    key = next(ledger_rows(suite, Job("pretrained", on=(task,), split="validation"))) | {"metric": "loss slope"}
    row = None if recompute else ledger.find(key)
    if row is None:
        start, gradient = time.perf_counter(), loss_gradient(suite.base, suite, task)
        value = float(sum((gradient[name] * direction[name]).sum() for name in gradient))
        row = {**key, "value": round(value, 6), "count": int(count), "seconds": round(time.perf_counter() - start, 2)}
        ledger.record("taylor", [row])
    return row["value"]
