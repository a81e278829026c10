"""What is a task vector, a projection, a mask, a trust region? Six diagrams in one style: nothing in them was measured.

Task 1 is blue, task 2 orange, what is merged or kept green, all else grey. Places are in inches. Arrows and regions have a name
(`gid`), by which they can be found.
"""

import numpy as np
from matplotlib.patches import Ellipse, FancyBboxPatch, Polygon, Rectangle

from .base import new_figure, show
from .grids import cells, shades
from .style import PALETTE

FIRST, SECOND, MERGED, REST = PALETTE[0], PALETTE[1], PALETTE[2], "0.45"
WIDTH, LETTERS = 6.0, 9
UNSURE, SURE = (0.2, 0.3, 0.24, 0.26), (0.05, 0.82, 0.06, 0.07)       # two predictions over four classes


def show_diagram(name):
    """Save a diagram of `DIAGRAMS` as diagram-<name> and display it with its text."""
    draw, alt = DIAGRAMS[name]
    show(draw(), f"diagram-{name}", alt)


def task_vector():
    """A task vector leads from the base to an expert; a merge goes part of the way along their sum."""
    figure, axis = _canvas(3.0)
    base, taus, lam = np.array([0.9, 0.6]), np.array([[0.8, 1.4], [3.5, 0.3]]), 0.6
    merged, whole = base + lam * taus.sum(axis=0), base + taus.sum(axis=0)
    for tau, colour, name, side in zip(taus, (FIRST, SECOND), ("1", "2"), (1, -1)):
        axis.add_patch(Ellipse(base + tau, 1.7, 0.7, facecolor=colour, alpha=0.18))
        _arrow(axis, base, base + tau, colour, f"task vector {name}")
        _point(axis, base + tau, colour)
        _say(axis, base + tau + [0, side * 0.48], rf"expert $\theta_{name}$: low loss on task {name}", "0.1")
    axis.plot(*zip(merged, whole), color="0.6", linestyle=":", linewidth=1.2, zorder=1)
    _arrow(axis, base, merged, MERGED, "merge")
    for place, colour in ((base, REST), (merged, MERGED)):
        _point(axis, place, colour)
    _say(axis, base + [0, -0.2], r"base $\theta_0$", "0.1")
    _say(axis, base + [0.3, 0.85], r"$\tau_1$", FIRST, "right")
    _say(axis, base + [1.7, -0.06], r"$\tau_2=\theta_2-\theta_0$", SECOND)
    _say(axis, merged + [0.12, -0.13], r"merge $\theta_0+\lambda\,(\tau_1+\tau_2)$", MERGED, "left")
    _say(axis, whole + [0, 0.15], r"$\theta_0+\tau_1+\tau_2$", REST)
    return figure


def projection():
    """What of a step lies in the shared subspace is removed; what is left stands at right angles to it."""
    figure, axis = _canvas(2.8)
    origin, step = np.array([0.7, 0.55]), np.array([2.4, 1.9])
    shared = np.array([np.cos(0.2), np.sin(0.2)])
    removed = (step @ shared) * shared
    axis.plot(*zip(origin - 0.4 * shared, origin + 4.9 * shared), color="0.85", linewidth=9, solid_capstyle="round", zorder=0,
              gid="subspace")
    _arrow(axis, origin, origin + step, FIRST, "step")
    _arrow(axis, origin, origin + removed, REST, "removed")
    _arrow(axis, origin + removed, origin + step, MERGED, "kept")
    across = np.array([-shared[1], shared[0]])
    corner = origin + removed + 0.15 * np.array([0 * shared, -shared, across - shared, across])
    axis.add_patch(Polygon(corner, fill=False, edgecolor=REST, linewidth=0.8))
    _say(axis, origin + 0.5 * step + [-0.12, 0.1], r"step $g$", FIRST, "right")
    _say(axis, origin + 0.5 * removed + [0.05, -0.28], r"removed: $UU^\top g$", REST)
    _say(axis, origin + removed + [0.0, 0.75], r"kept: $(I-UU^\top)\,g$", MERGED, "left")
    _say(axis, origin + 4.25 * shared + [0.0, -0.28], "what the tasks share, $U$", REST)
    return figure


def inner_products():
    """A row product gives a number for each row, a tensor product one number for the whole matrix."""
    figure, axis = _canvas(2.0)
    kinds = {"row product: a number for each row": (0.1, [FIRST, SECOND, MERGED], 0.07),
             "tensor product: one number": (3.2, ["0.6"] * 3, 0.0)}
    for title, (left, colours, gap) in kinds.items():
        rows, top, size = [[(colour, 0.55)] * 4 for colour in colours], 1.3, 0.25
        middle = top - 1.5 * size - gap
        for x, name in ((left, r"$\tau_j$"), (left + 1.24, "merged step")):
            cells(axis, rows, (x, top), size, gap)
            _say(axis, (x + 2 * size, top + 0.14), name, "0.2")
        _say(axis, (left + 1.12, middle), r"$\cdot$", "0.2", size=16)
        _say(axis, (left + 2.37, middle), "=", "0.2", size=12)
        if gap:
            cells(axis, [row[:1] for row in rows], (left + 2.5, top), size, gap)
        else:
            cells(axis, [rows[0][:1]], (left + 2.5, middle + size / 2), size)
        _say(axis, (left + 1.37, 1.82), title, "0.1", size=10)
    _say(axis, (1.47, 0.16), "three conditions for each task", REST)
    _say(axis, (4.57, 0.16), "one condition for each task", REST)
    return figure


def mask():
    """A mask keeps the largest entries of a task vector and sets the others to zero."""
    figure, axis = _canvas(1.75)
    tau = np.array([[0.9, -0.1, 0.3, -0.7], [0.1, 0.8, -0.2, 0.1], [-0.6, 0.2, 0.1, 0.5]])
    kept, size, top = np.abs(tau) >= 0.5, 0.38, 1.3
    steps = {r"task vector $\tau$": (tau, shades(tau, 1.0), ".1f"),
             r"mask $m$: the largest entries": (kept, [[("0.4", 0.45 * on) for on in row] for row in kept], "d"),
             r"what is merged: $m\circ\tau$": (tau * kept, shades(tau * kept, 1.0), ".1f")}
    for i, (title, (values, colours, form)) in enumerate(steps.items()):
        left = 0.2 + 2.04 * i
        written = [[f"{x:{form}}" if x else "0" for x in row] for row in values]
        cells(axis, colours, (left, top), size, texts=written)
        _say(axis, (left + 2 * size, top + 0.2), title, "0.1")
        if i:
            _say(axis, (left - 0.26, top - 1.5 * size), (r"$\circ$", "=")[i - 1], "0.2", size=(20, 14)[i - 1])
    return figure


def trust_region():
    """A task vector is trusted where another task's loss hardly changes; entries to which it is sensitive are left out."""
    figure, axis = _canvas(3.0)
    left, bottom, right, top = 0.55, 0.4, 5.8, 2.9
    base, tau = np.array([1.05, 0.98]), np.array([2.9, 1.3])
    for level in range(1, 16, 2):        # of a loss that grows as the square of the distance
        height = base[1] + 0.45 * level**0.5
        axis.plot([left, right], [height + 0.06, height - 0.06], color=SECOND, linewidth=1.1, alpha=0.25 + 0.04 * level,
                  zorder=0)
    axis.add_patch(Rectangle((left, base[1] - 0.32), right - left, 0.64, facecolor=MERGED, alpha=0.16, gid="trust region"))
    for end in ((right, bottom), (left, top)):
        _arrow(axis, (left, bottom), end, "0.2", "axis", width=0.9)
    _arrow(axis, base, base + tau, FIRST, "task vector 1")
    _arrow(axis, base, base + tau * [1, 0], MERGED, "kept")
    axis.plot(*zip(base + tau, base + tau * [1, 0]), color=FIRST, linestyle=":", linewidth=1.4)
    _point(axis, base, REST)
    _say(axis, ((left + right) / 2, bottom - 0.18), "an entry to which task 2 is not sensitive", "0.2")
    _say(axis, (left - 0.2, (bottom + top) / 2), "a sensitive entry", "0.2", rotation=90)
    _say(axis, base + [-0.12, 0], r"$\theta_0$", "0.1", "right")
    _say(axis, base + 0.5 * tau + [-0.15, 0.12], r"$\tau_1$", FIRST, "right", paper=True)
    _say(axis, base + tau * [1, 0.55] + [0.12, 0], "left out", FIRST, "left", paper=True)
    _say(axis, base + tau * [0.5, 0] + [0, 0.14], "kept", MERGED)
    _say(axis, base + [2.2, -0.18], "trust region: the loss of task 2 hardly changes", MERGED)
    _say(axis, (right + 0.02, 2.2), "the loss of\ntask 2 rises", SECOND, "right", paper=True)
    return figure


def coefficient_learning():
    """Coefficients are moved until the merged model is sure of its answers; nothing else is learned, no label is used."""
    figure, axis = _canvas(2.7)
    for y, place, colour, name in ((1.85, 0.6, FIRST, r"$\lambda_1$"), (1.35, 1.1, SECOND, r"$\lambda_2$")):
        axis.plot([0.4, 1.4], [y, y], color="0.75", linewidth=3, solid_capstyle="round", zorder=0)
        axis.plot(place, y, marker="o", markersize=9, color=colour)
        _say(axis, (0.28, y), name, colour, "right")
    axis.add_patch(FancyBboxPatch((1.95, 1.2), 1.5, 0.8, boxstyle="round,pad=0,rounding_size=0.1", facecolor=(*MERGED, 0.15),
                                  edgecolor=MERGED, gid="merged model"))
    _say(axis, (2.7, 1.77), "merged model", "0.1")
    _say(axis, (2.7, 1.43), r"$\theta_0+\lambda_1\tau_1+\lambda_2\tau_2$", "0.1")
    cells(axis, [["0.85", "0.7", "0.9", "0.75"]], (2.34, 2.6), 0.18)
    _say(axis, (3.15, 2.51), "pictures without labels", "0.2", "left")
    _arrow(axis, (2.7, 2.38), (2.7, 2.04), "0.2", "see", width=1.2)
    _arrow(axis, (1.52, 1.6), (1.9, 1.6), "0.2", "merge", width=1.2)
    _arrow(axis, (3.5, 1.6), (3.82, 1.6), "0.2", "answer", width=1.2)
    for left, heights, colour, words in ((3.95, UNSURE, "0.6", "unsure:\nhigh entropy"),
                                         (5.15, SURE, MERGED, "sure:\nlow entropy")):
        axis.bar(left + 0.09 + 0.18 * np.arange(4), heights, 0.14, bottom=1.2, color=colour, zorder=2)
        axis.plot([left, left + 0.72], [1.2, 1.2], color="0.2", linewidth=0.9)
        _say(axis, (left + 0.36, 1.12), words, "0.2", top=True)
    _arrow(axis, (4.75, 1.6), (5.08, 1.6), "0.2", "learn", width=1.2)
    axis.plot([4.91, 4.91, 0.9], [1.45, 0.45, 0.45], color=REST, linewidth=1.6, solid_joinstyle="round")
    _arrow(axis, (0.9, 0.43), (0.9, 1.15), REST, "gradient")
    _say(axis, (2.7, 0.25), "the gradient of the entropy moves the coefficients, and nothing else", REST)
    return figure


DIAGRAMS = {    # name: (what draws it, a text for those who cannot see it)
    "task-vector": (task_vector,
        "From the base an arrow, the task vector, leads to each of two experts. The merged model lies on the way along the sum "
        "of both arrows."),
    "projection": (projection,
        "A step is split in two: the part along the shared subspace is removed, the part at right angles to it is kept."),
    "inner-products": (inner_products,
        "Two matrices of three rows. Multiplied row by row they give three numbers, multiplied as a whole they give one."),
    "mask": (mask,
        "A matrix of twelve entries, a mask that is one at the five largest, and their product: five entries stay, seven are "
        "zero."),
    "trust-region": (trust_region,
        "A task vector with two entries. The loss of the other task rises along one of them, which is left out; the other lies "
        "in the trust region and is kept."),
    "coefficient-learning": (coefficient_learning,
        "A loop: two coefficients make a merged model, which looks at pictures without labels; the gradient of its answers' "
        "entropy moves the coefficients."),
}


def _canvas(height):
    """A figure without axes, in inches."""
    figure, axis = new_figure(WIDTH, height)
    axis.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    axis.set_axis_off()
    return figure, axis


def _arrow(axis, start, end, colour, name, width=2.0):
    """An arrow by the name `name`; its ends are `xyann` and `xy`."""
    axis.annotate("", xy=end, xytext=start, gid=name, zorder=3,
                  arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": width, "shrinkA": 0, "shrinkB": 0})


def _point(axis, place, colour):
    """A model."""
    axis.plot(*place, marker="o", markersize=6, color=colour, zorder=4)


def _say(axis, place, words, colour, horizontal="center", size=LETTERS, rotation=0, top=False, paper=False):
    """Words at a place, on white `paper` where lines pass below."""
    axis.text(*place, words, color=colour, ha=horizontal, va="top" if top else "center", fontsize=size, rotation=rotation,
              bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5} if paper else None)
