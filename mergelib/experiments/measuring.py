"""How is a declared measurement made? Jobs go in, tidy rows come out; the ledger is asked before anything is computed.

The ledger keeps scores as fractions. `measure` gives them in percent (Spearman's rho x 100), and so does all that is made of
its rows.
"""

import json
import time
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd

from ..checkpoints.lazy import CheckpointError
from ..measure.ledger import Ledger
from ..measure.scoring import evaluate
from ..merging.loop import merge
from ..methods import METHODS, TEST_PICTURES
from ..paths import ROOT
from ..progress import progress
from ..suites.suite import JOINT
from ..workers import run_all

SCORES = ("accuracy", "spearman")       # how good: one of them for each task, see `evaluate`
ROWS = {"pretrained": "Pre-trained", "individual": "Individual", "mtl": "Traditional MTL",
        "pcgrad": "MTL with PCGrad"}         # what is no merge


@dataclass(frozen=True)
class Job:
    """One merge and where it is evaluated."""

    method: str                      # a name in METHODS or in ROWS
    preset: str = ""
    options: dict = field(default_factory=dict)
    tasks: tuple | None = None       # merged; None means all of the suite's
    on: tuple | None = None          # evaluated; None means those merged
    split: str = "test"
    conditions: tuple = ("clean",)   # of the test pictures; what learns on these learns under each condition anew
    losses: bool = False             # whether loss and entropy are kept on validation pictures, too


def label(method, preset=""):
    """How a method is called in tables and figures: its title and, where it has several readings, the preset."""
    if method in ROWS:
        return ROWS[method]
    spec = METHODS[method]
    return f"{spec.title} ({preset})" if len(spec.presets) > 1 else spec.title


def group(method):
    """Where a method stands in the tables: by what it needs besides weights, and whether one model comes out."""
    if method in ROWS:
        return "no merge"
    spec = METHODS[method]
    if spec.per_task or spec.finish:
        return "more than one model"
    return "data-free" if not spec.data else "test pictures" if TEST_PICTURES in spec.data else "training pictures"


# --- asking the ledger ------------------------------------------------------------------------------------------------

def from_ledger(experiment, suite, jobs, keys_of, measure_job, ledger=None, recompute=False):
    """The ledger's rows of each job, a list of lists: those it has, else measured and recorded.

    `keys_of(suite, job)`: the keys of a job's rows; `measure_job(suite, job)`: the same with what was measured, see `valued`;
    it may run in another process. A job has a `method`, or is a method's name with more. It can be interrupted at any time:
    what has been measured is on disk. A suite without weights is only read; CheckpointError if something is missing.
    """
    ledger = Ledger() if ledger is None else ledger
    wanted = [[*keys_of(suite, job)] for job in jobs]
    missing = [i for i, job in enumerate(jobs)
               if (recompute and suite.has_weights(method_of(job))) or None in map(ledger.find, wanted[i])]
    _check_weights(experiment, suite, [jobs[i] for i in missing])
    done = run_jobs(measure_job, suite, [jobs[i] for i in missing])
    for _, rows in progress(done, f"measuring {experiment}", disable=not missing, total=len(missing), mininterval=1):
        ledger.record(experiment, rows)
    return [[ledger.find(key) for key in keys] for keys in wanted]


def method_of(job):
    """The method of a job; "" for one that is of base and experts alone."""
    return getattr(job, "method", "")


def valued(row, value, count=1, digits=5):
    """A ledger row for a number that is no score, rounded to some digits after the point."""
    return {**row, "value": round(float(value), digits), "count": int(count), "seconds": 0, "hits": ""}


def with_options(row):
    """A row of the ledger whose options are a dict."""
    return {**row, "options": json.loads(row["options"])}


def _check_weights(experiment, suite, jobs):
    """Raise CheckpointError if jobs are to be measured on weights that are not shipped."""
    if not all(suite.has_weights(method_of(job)) for job in jobs):
        raise CheckpointError(f"The ledger lacks {len(jobs)} measurements ({experiment}) on the tower {suite.model!r}, "
                              f"whose weights are not all shipped. Train them with `make zoo TOWER={suite.model} "
                              f"ARGS='--also mtl pcgrad'` (hours), then set MERGELIB_ZOO={ROOT / 'build' / 'zoo'}.")


def run_jobs(function, suite, jobs):
    """As `workers.run_all`; one after the other where each job needs the whole machine."""
    if not suite.side_by_side:
        return enumerate(function(suite, job) for job in jobs)
    return run_all(function, jobs, suite)


# --- scores -----------------------------------------------------------------------------------------------------------

def measure(experiment, suite, jobs, ledger=None, recompute=False):
    """Score, loss and entropy of every job, from the ledger where they are known, else measured and recorded.

    Returns a DataFrame with a row per job, task and metric: the ledger's columns, `label` and `group`; `value` is in percent
    for the metrics in `SCORES`, in nats for the others.
    """
    found = from_ledger(experiment, suite, jobs, ledger_rows, _measure_job, ledger, recompute)
    table = pd.DataFrame([row for rows in found for row in rows])
    table["value"] *= np.where(table["metric"].isin(SCORES), 100, 1)
    table["label"] = [label(method, preset) for method, preset in zip(table["method"], table["preset"])]
    table["group"] = [group(method) for method in table["method"]]
    return table


def reference_rows(suite, **how):
    """The rows that are no merge: the pre-trained model, the experts, and the models trained on all tasks that there are."""
    return measure("reference", suite, [Job(name) for name in ROWS if name not in JOINT or name in suite.joint], **how)


def ledger_rows(suite, job):
    """The ledger keys of one job: a dict per condition, task and metric."""
    merged, version = job.tasks or suite.tasks, 1 if job.method in ROWS else METHODS[job.method].version
    if job.method == "pretrained":
        merged = ()
    for condition, task in product(job.conditions, job.on or job.tasks or suite.tasks):
        tasks = "+".join((task,) if job.method == "individual" else merged)
        losses = ("loss", "entropy") if job.split == "test" or job.losses else ()
        for metric in (suite.metric(task), *losses):
            yield {"suite": suite.name, "model": suite.model, "seed": suite.seed, "zoo": suite.digest,
                   "method": job.method, "preset": job.preset, "options": job.options, "tasks": tasks, "task": task,
                   "split": job.split, "condition": condition, "metric": metric, "version": version}


def _measure_job(suite, job):
    """Merge, evaluate under each condition, and give the ledger rows."""
    found, learns = {}, job.method not in ROWS and TEST_PICTURES in METHODS[job.method].data
    for condition in job.conditions:
        under = suite.under(condition)
        if learns or not found:
            start = time.perf_counter()
            models = _models(under, job)
            seconds = round(time.perf_counter() - start, 2)
        for task in job.on or job.tasks or suite.tasks:
            found[condition, task] = evaluate(models(task), under, [task], job.split, hits=job.split == "test").iloc[0]
    rows = [(row, found[row["condition"], row["task"]]) for row in ledger_rows(suite, job)]
    return [{**row, "value": round(float(numbers[row["metric"]]), 6), "count": int(numbers["n"]), "seconds": seconds,
             "hits": numbers.get("hits", "") if row["metric"] in SCORES else ""} for row, numbers in rows]


def _models(suite, job):
    """A function from a task to the model of a job that is evaluated on it."""
    if job.method == "individual":
        return suite.experts.__getitem__
    if job.method in ROWS:
        model = suite.base if job.method == "pretrained" else suite.joint[job.method]
        _check_weights("reference", suite, [job])
        return lambda task: model
    part = suite.subset(job.tasks or suite.tasks)
    data = {"suite": part} if _needs_data(job.method) else {}
    merged = merge(job.method, part.base, part.experts, preset=job.preset or None, **data, **job.options)
    return lambda task: merged


def accuracy_table(table):
    """Methods by tasks in percent (rho x 100 where answers are numbers) with the average: the papers' main tables."""
    wide = table[table["metric"].isin(SCORES)].pivot_table(index="label", columns="task", values="value", sort=False)
    return wide.assign(Avg=wide.mean(axis=1))


# --- is the ledger still right? ---------------------------------------------------------------------------------------

def spot_check(suite, count=6, seed=0, ledger=None):
    """Measure a random sample of the ledger's accuracies afresh: DataFrame of the rows with `value` and `fresh` (fractions).

    Methods that learn on pictures take minutes a row and are left to `make reproduce`.
    """
    ledger = Ledger() if ledger is None else ledger
    rows = [row for row in ledger.rows.values() if row["zoo"] == suite.digest and row["metric"] == "accuracy"
            and not _needs_data(row["method"]) and suite.has_weights(row["method"])]
    picked = np.random.default_rng(seed).choice(len(rows), size=min(count, len(rows)), replace=False)
    table = pd.DataFrame([rows[i] for i in picked])
    table["fresh"] = [_measure_job(suite, _job_of(rows[i]))[0]["value"] for i in picked]
    return table


def _needs_data(method):
    """Whether a method needs more than weights."""
    return method not in ROWS and bool(METHODS[method].data)


def _job_of(row):
    """The job that gives one row of the ledger."""
    merged = tuple(row["tasks"].split("+")) if row["tasks"] else None
    return Job(row["method"], row["preset"], json.loads(row["options"]), merged, (row["task"],), row["split"],
               (row["condition"],))
