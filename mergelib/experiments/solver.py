"""How well is DOGE's problem solved, and does its Taylor step hold? Measurements of notebooks 03 and 07."""

import json
import re
from dataclasses import replace
from functools import partial

import pandas as pd
import torch

from ..adapt.gradients import loss_gradient
from ..measure.ledger import canonical
from ..merging.loop import merge
from ..merging.work import stream
from ..methods import ENCODER_MATRICES
from ..methods.doge.delta import Problem
from ..methods.doge.solvers import Block, descend, exact
from ..methods.doge.subspace import project_out, shared_subspace
from ..methods.linear import norm_coefficients
from ..methods.tensors import norms_of
from .measuring import Job, from_ledger, ledger_rows, measure, valued, with_options

LOSSES_OF = r"c_fc\.weight"         # the matrices on which the solvers are watched
STEPS = {"Adam": (1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100, 140, 200, 280, 399),
         "conjugate gradients": (1, 2, 3, 5, 7, 10, 14, 20, 32)}
LAM_MAX = 1.0                       # of matrices that are taken apart
APART = ((0.0, 32), (0.1, 32), (1.0, 32), (0.0, 1000))        # damping and steps with which they are solved
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
    return means.rename(columns={"value": "accuracy"})


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
    return table.groupby(damping)["value"].mean().rename("accuracy")


def step_lengths(suite, jobs, ledger=None, recompute=False):
    """How far merges (name -> `Job`) go along the task vectors: DataFrame, name by inside, outside; see `step_length`."""
    found = from_ledger("step-lengths", suite, list(jobs.values()), _length_keys, _lengths, ledger, recompute)
    return pd.DataFrame([{row["metric"].split()[-1]: row["value"] for row in rows} for rows in found], index=list(jobs))


def _length_keys(suite, job):
    """The ledger keys of one merge's lengths."""
    row = next(ledger_rows(suite, job)) | {"task": ""}
    return [{**row, "metric": f"step {part}"} for part in ("inside", "outside")]


def _lengths(suite, job):
    """Merge, and give the ledger rows of both lengths."""
    merged = merge(job.method, suite.base, suite.experts, preset=job.preset or None, **job.options)
    return [valued(*each) for each in zip(_length_keys(suite, job), step_length(suite, merged))]


def step_length(suite, merged):
    """How far a merged model goes along the task vectors: (inside, outside) the shared subspace.

    Over all transformer matrices sum_j <P tau_j, P M> / sum_j ||P tau_j||^2, M the merged step and P the projection on the
    subspace or out of it. 1 is as far as the experts went.
    """
    sums = torch.zeros(2, 2)            # inside and outside: product with the step, square
    keys = [name for name in suite.base if re.search(ENCODER_MATRICES, name)]
    for key, theta_0, taus in stream(suite.base, suite.experts, keys):
        outside = torch.stack([project_out(tau, shared_subspace(taus)) for tau in taus])
        for i, part in enumerate((taus - outside, outside)):
            sums[i] += torch.stack([(part * (merged[key] - theta_0)).sum(), part.square().sum()]).cpu()
    return (sums[:, 0] / sums[:, 1]).tolist()


def solver_losses(suite, eta, ledger=None, recompute=False):
    """Loss of DOGE's objective (row-wise) on the MLPs' first matrices after some solver steps, relative to the start.

    Columns: solver, tensor, step, loss, from the ledger or computed (seconds); rounding errors of Adam's first steps move the
    later ones, so machines differ by a percent.
    """
    names = sorted(name for name in suite.tensors if re.search(LOSSES_OF, name))
    rows = from_ledger("solver-losses", suite, names, partial(_loss_keys, eta), partial(_losses, eta), ledger, recompute)
    return pd.DataFrame([{**row["options"], "loss": row["value"]} for found in rows for row in map(with_options, found)])


def _loss_keys(eta, suite, name):
    """The ledger keys of one matrix's losses."""
    row = next(ledger_rows(suite, Job("doge-ta", "exact"))) | {"task": "", "metric": "relative loss"}
    for solver, steps in STEPS.items():
        for step in steps:
            yield {**row, "options": {"eta": eta, "solver": solver, "tensor": name, "step": step}}


def _losses(eta, suite, name):
    """The ledger rows of one matrix's losses."""
    ((_, _, taus),) = stream(suite.base, suite.experts, [name])
    block = Block(taus, norm_coefficients(norms_of(taus), eta), shared_subspace(taus))
    gap, losses = block.gap(True), []
    descend([block], gap, True, steps=max(STEPS["Adam"]) + 1, record=losses)
    found = {("Adam", i): loss / losses[0] for i, loss in enumerate(losses)}
    wide = Block(taus.double(), block.lam.double(), block.basis.double())
    for step in STEPS["conjugate gradients"]:
        residual = wide.dot(wide.total(exact([wide], wide.gap(True), True, steps=step)[0]), True) - wide.gap(True)
        found["conjugate gradients", step] = (residual.square().sum() / gap.square().sum()).item()
    return [valued(row, f"{found[row['options']['solver'], row['options']['step']]:.3g}", digits=20)
            for row in _loss_keys(eta, suite, name)]


def taken_apart(suite, eta, pattern=ENCODER_MATRICES, ranks=("matrix", "numerical", "none"), ledger=None, recompute=False):
    """What DOGE's smallest solution (row-wise, no mask) is on single matrices, for each meaning of rank and without a subspace.

    DataFrame of name, lam (the largest coefficient without `LAM_MAX`), rank, r, shared (directions in the subspace), inside
    (share of the task vectors' square in it), damping, steps (1000 in fp64 beside what a merge takes), length (of the merged
    modification, in those of all task vectors together) and left (of the loss of Eq. 5). From the ledger, or computed.
    """
    names = [name for name in suite.tensors if re.search(pattern, name)]
    jobs = [(name, rank) for name in names for rank in ranks]
    rows = from_ledger("taken-apart", suite, jobs, partial(_apart_keys, eta), partial(_apart, eta), ledger, recompute)
    table = pd.DataFrame([{**row["options"], "metric": row["metric"], "value": row["value"]}
                          for found in rows for row in map(with_options, found)])
    wide = table.pivot_table(index=["name", "rank", "damping", "steps"], columns="metric", values="value", sort=False)
    wide = wide.reset_index().rename_axis(columns=None).astype({"r": int, "shared": int})
    return wide[["name", "lam", "rank", "r", "shared", "inside", "damping", "steps", "length", "left"]]


def _apart_keys(eta, suite, job):
    """The ledger keys of one matrix and meaning of rank."""
    row = next(ledger_rows(suite, Job("doge-ta", "exact"))) | {"task": ""}
    for damping, steps in APART:
        options = {"eta": eta, "lam_max": LAM_MAX, "damping": damping, "steps": steps, **dict(zip(("name", "rank"), job))}
        for metric in ("lam", "r", "shared", "inside", "length", "left"):
            yield {**row, "metric": metric, "options": options}


def _apart(eta, suite, job):
    """The ledger rows of one matrix and meaning of rank."""
    name, rank = job
    ((_, _, taus),) = stream(suite.base, suite.experts, [name])
    sizes = {"matrix": min(taus.shape[1:]), "numerical": int(torch.linalg.matrix_rank(taus).max()), "none": 0}
    how = Problem(eta=eta, lam_max=LAM_MAX, solver="exact")
    taus = taus.double()                            # what a merge in fp32 does not solve it solves in fp64, too
    basis = shared_subspace(taus, rank=rank) if sizes[rank] else taus.new_zeros(taus.shape[1], 0)
    block = Block(taus, how.coefficients(taus), basis)
    gap = block.gap(True)
    found = {"lam": replace(how, lam_max=None).coefficients(taus).max(), "r": sizes[rank], "shared": basis.shape[1],
             "inside": 1 - (project_out(taus, basis).norm() / taus.norm()) ** 2}
    for damping, steps in APART:
        total = block.total(exact([block], gap, True, steps, damping)[0])
        found["length", damping, steps] = total.norm() / taus.norm()
        found["left", damping, steps] = (block.dot(total, True) - gap).square().sum() / gap.square().sum()

    def value(metric, damping, steps, **_):
        return found[metric] if metric in found else found[metric, damping, steps]

    return [valued(row, value(row["metric"], **row["options"])) for row in _apart_keys(eta, suite, job)]


def taylor_check(suite, ledger=None, recompute=False):
    """The rebuttal's Taylor check: each task's loss along sum_i tau_i on validation pictures, actual and first order.

    Returns columns task, lam, actual, first order (changes of the loss in nats) and proxy: minus the inner product of
    the task vector with lam sum_i tau_i, which Eq. 5 puts in the gradient's place (arbitrary unit).
    """
    where = {"split": "validation", "losses": True}
    jobs = [Job("task-arithmetic", "", {"lam": lam}, **where) for lam in TAYLOR_LAMBDAS]
    table = measure("taylor", suite, [Job("pretrained", **where), *jobs], ledger, recompute)
    loss = table[table["metric"] == "loss"].set_index(["options", "task"])["value"]
    counts = table.drop_duplicates("task").set_index("task")["count"]
    jobs = [(task, int(counts[task])) for task in suite.tasks]
    slopes = [row["value"] for (row,) in from_ledger("taylor", suite, jobs, _slope_keys, _slope, ledger, recompute)]
    taus = {task: {name: expert[name] - suite.base[name] for name in suite.base} for task, expert in suite.experts.items()}
    total = {name: sum(tau[name] for tau in taus.values()) for name in suite.base}
    rows = []
    for task, slope in zip(suite.tasks, slopes):
        proxy = -float(sum((taus[task][name] * total[name]).sum() for name in total))
        rows += [{"task": task, "lam": lam, "actual": loss[canonical({"lam": lam}), task] - loss["{}", task],
                  "first order": lam * slope, "proxy": lam * proxy} for lam in TAYLOR_LAMBDAS]
    return pd.DataFrame(rows)


def _slope_keys(suite, job):
    """The ledger key of one task's slope."""
    task, _ = job
    yield next(ledger_rows(suite, Job("pretrained", on=(task,), split="validation"))) | {"metric": "loss slope"}


def _slope(suite, job):
    """<grad L_task(theta_0), sum_i tau_i> on the validation pictures: a ledger row; `job`: the task, their number."""
    task, count = job
    gradient = loss_gradient(suite.base, suite, task)
    value = sum((gradient[name] * (expert[name] - suite.base[name])).sum() for expert in suite.experts.values()
                for name in gradient)
    return [valued(row, value, count, digits=6) for row in _slope_keys(suite, job)]
