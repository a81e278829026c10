"""How does DOGE's solver converge, and does its Taylor step hold? The rebuttal's figures."""

from .base import new_figure
from .style import PALETTE, STYLE


def convergence(table):
    """The rebuttal's convergence curves: DOGE's loss, relative to its start, against solver steps.

    Solvers of one problem follow each other and share a colour.
    """
    figure, axis = new_figure()
    for i, (solver, part) in enumerate(table.groupby("solver", sort=False)):
        colour, middle = PALETTE[(0, 3)[i // 2]], part.groupby("step")["loss"]
        axis.plot(middle.median().index, middle.median(), ("-", "--")[i % 2], color=colour, label=f"{solver}, median")
        axis.fill_between(middle.median().index, middle.min(), middle.max(), alpha=0.15, color=colour, lw=0)
    axis.set(xscale="log", yscale="log", xlabel="steps", ylabel="loss / loss before the first step")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def solver_budget(table):
    """Accuracy of DOGE TA against solver steps, conjugate gradients and Adam."""
    figure, axis = new_figure()
    for solver, part in table.groupby("solver", sort=False):
        colour, marker = (STYLE["DOGE TA (exact)"] if solver == "conjugate gradients" else STYLE["DOGE TA (paper)"])
        axis.plot(part["steps"], part["accuracy"], marker=marker, color=colour, label=solver)
    axis.set(xscale="log", xlabel="steps", ylabel="average accuracy on eight tasks (%)")
    axis.legend()
    return figure


def taylor(table):
    """The rebuttal's Taylor check: change of each task's loss along the merged direction, first order and actual."""
    figure, axes = new_figure(8.4, 4.2, nrows=2, ncols=4, sharex=True)
    for axis, (name, part) in zip(axes.flat, table.groupby("task", sort=False)):
        axis.plot(part["lam"], part["actual"], "-o", markersize=3, color=PALETTE[0], label="actual")
        axis.plot(part["lam"], part["first order"], "--", color=PALETTE[1], label="first order")
        axis.set_title(name)
    axes[0, 0].legend(fontsize=7)
    figure.supxlabel("lambda")
    figure.supylabel("change of the loss (nats)")
    return figure
