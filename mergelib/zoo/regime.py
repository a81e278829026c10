"""Are base and experts in the papers' regime? Criteria that concern the models alone, fixed before methods are compared."""

import pandas as pd
import torch

from ..evaluate import evaluate
from ..merge import merge
from .store import flatten_state

LAMBDAS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def regime_table(suite, split="test"):
    """Per task: zero-shot, expert, task arithmetic (percent), and the task vector's relative norm and largest |cosine|.

    Task arithmetic uses the coefficient that is best on the validation pictures. The last row holds the means.
    """
    theta_0 = flatten_state(suite.base)
    taus = {task: flatten_state(expert) - theta_0 for task, expert in suite.experts.items()}
    cosines = cosine_matrix(taus)
    merged = merge("task-arithmetic", suite.base, suite.experts, lam=best_lambda(suite))
    table = pd.DataFrame({
        "zero-shot": _accuracies(suite.base, suite, split),
        "expert": pd.concat([_accuracies(suite.experts[task], suite, split, [task]) for task in suite.tasks]),
        "task arithmetic": _accuracies(merged, suite, split),
        "relative norm": pd.Series({task: (tau.norm() / theta_0.norm()).item() for task, tau in taus.items()}),
        "mean |cos|": (cosines.abs().sum() - 1) / (len(cosines) - 1)})
    return pd.concat([table, table.mean().rename("mean").to_frame().T])


def best_lambda(suite):
    """The coefficient of task arithmetic that is best on the validation pictures, among `LAMBDAS`."""
    scores = {lam: _accuracies(merge("task-arithmetic", suite.base, suite.experts, lam=lam), suite, "validation").mean()
              for lam in LAMBDAS}
    return max(scores, key=scores.get)


def regime_verdict(table):
    """The design's criteria with what was found: a DataFrame of criterion, found, holds."""
    mean, tasks = table.loc["mean"], table.drop("mean")
    gain = tasks["expert"] - tasks["zero-shot"]
    rows = [
        ("zero-shot average 35 to 60 %", f"{mean['zero-shot']:.1f}", 35 <= mean["zero-shot"] <= 60),
        ("every expert 30 points above zero-shot, or above 90 %",
         f"worst gain {gain.min():.1f}, worst expert {tasks['expert'].min():.1f}",
         bool(((gain >= 30) | (tasks["expert"] > 90)).all())),
        ("individual average at least 92 %", f"{mean['expert']:.1f}", mean["expert"] >= 92),
        ("relative norm of a few percent", f"{tasks['relative norm'].min():.3f} to {tasks['relative norm'].max():.3f}",
         bool(tasks["relative norm"].between(0.005, 0.08).all())),
        ("mean |cosine| below 0.2", f"{mean['mean |cos|']:.3f}", mean["mean |cos|"] < 0.2),
        ("task arithmetic ten points from zero-shot and from individual", f"{mean['task arithmetic']:.1f}",
         mean["zero-shot"] + 10 <= mean["task arithmetic"] <= mean["expert"] - 10)]
    return pd.DataFrame(rows, columns=["criterion", "found", "holds"])


def cosine_matrix(taus):
    """Cosine similarity of flat task vectors (task -> tensor) as a square DataFrame (DOGE Fig. 2a)."""
    names = list(taus)
    unit = torch.stack([taus[name] / taus[name].norm() for name in names])
    return pd.DataFrame((unit @ unit.T).numpy(), index=names, columns=names)


def _accuracies(state, suite, split, tasks=None):
    """Accuracy in percent per task, as a Series."""
    return evaluate(state, suite, tasks, split).set_index("task")["accuracy"] * 100
