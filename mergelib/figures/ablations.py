"""What does each part of DOGE TA, its eta and each difference from the text do? DOGE Tab. 6, the rebuttal, notebook 15."""

from .base import lines, new_figure
from .style import PALETTE, STYLE

READINGS = {"code": STYLE["DOGE TA (code)"], "exact": STYLE["DOGE TA (exact)"], "paper": STYLE["DOGE TA (paper)"],
            "": STYLE["Norm-based lambda (code)"]}


def ablation(table):
    """DOGE Tab. 6: average accuracy without a part; columns without, reading, accuracy, half."""
    figure, axis = new_figure(6.4, 2.8)
    names = list(dict.fromkeys(table["without"]))
    for (reading, part), shift in zip(table.groupby("reading", sort=False), (-0.12, 0.12, 0)):
        colour, marker = READINGS[reading]
        places = [names.index(name) + shift for name in part["without"]]
        axis.errorbar(part["accuracy"], places, xerr=part["half"], color=colour, marker=marker, linestyle="", capsize=2,
                      label=f"DOGE TA ({reading})" if reading else "no delta")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlabel="average accuracy on eight tasks (%)", ylabel="left out")
    axis.legend(fontsize=7)
    return figure


def eta(table, published):
    """The rebuttal's sensitivity: test accuracy against eta, and the published values (a Series by eta)."""
    figure, axis = new_figure(6.4, 4.0)
    lines(axis, table, "eta", "accuracy", "half")
    axis.plot(published.index, published, color="0.4", marker="o", markerfacecolor="none", linestyle=":", label="published")
    axis.set(xscale="log", xlabel="eta", ylabel="average accuracy on eight tasks (%)", ylim=(0, 90))
    axis.set_xticks([0.01, 0.03, 0.05, 0.1, 0.2, 0.3], ["0.01", "0.03", "0.05", "0.1", "0.2", "0.3"])
    axis.minorticks_off()
    axis.legend(fontsize=7)
    return figure


def changes(table):
    """Notebook 15: what one change towards the text costs; columns change, chosen, accuracy, half."""
    figure, axis = new_figure(6.8, 3.4)
    names = list(dict.fromkeys(table["change"]))
    for chosen, colour, marker, shift in (("as released", PALETTE[4], "X", -0.12), ("anew", PALETTE[0], "o", 0.12)):
        part = table[table["chosen"] == chosen]
        places = [names.index(name) + shift for name in part["change"]]
        axis.errorbar(part["accuracy"], places, xerr=part["half"], color=colour, marker=marker, linestyle="", capsize=2,
                      label=f"eta {chosen}".replace("anew", "chosen anew"))
    axis.axvline(table["accuracy"].iloc[0], color="0.6", linestyle="--", linewidth=0.8)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlabel="average accuracy on eight tasks (%)")
    axis.legend(fontsize=7)
    return figure
