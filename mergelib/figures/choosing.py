"""How does a method's one setting move its validation accuracy?"""

from .base import lines, new_figure


def selection(table, marks):
    """Validation accuracy against eta for the methods that have one; `marks`: name -> eta drawn as a vertical line."""
    figure, axis = new_figure()
    lines(axis, table, "setting", "accuracy")
    for (name, eta), style in zip(marks.items(), (":", "-.")):
        axis.axvline(eta, color="0.4", linestyle=style, label=name)
    axis.set(xscale="log", xlabel="eta", ylabel="average accuracy on validation pictures (%)")
    axis.legend(fontsize=7)
    return figure
