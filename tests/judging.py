"""What do tests of the papers' claims share? Made-up draws, and the verdict on a claim by its first words."""

from types import SimpleNamespace

import pandas as pd

from mergelib import experiments as ex
from mergelib.papers.claims import CLAIMS

SUITE = SimpleNamespace(named=lambda *names: names)


def judge(statement, paper="", **evidence):
    """The verdict, or verdicts by reading, on the one claim that begins so, and what was found."""
    (claim,) = (claim for claim in CLAIMS if claim.statement.startswith(statement) and claim.paper.startswith(paper))
    return claim.judge(SimpleNamespace(**{"suite": SUITE, **evidence}))


def certain(values):
    """Three draws that are as measured; `values` maps columns, or tuples of their levels, to numbers."""
    return pd.concat([pd.Series(values, dtype=float).to_frame().T] * 3, ignore_index=True)


def shaken(drawn, column, by):
    """The same with one column's draws `by` below and above what was measured."""
    return drawn.assign(**{column: drawn[column] + [0, -by, by]})


def readings(value, method="DOGE TA"):
    """A number for each reading of a method of DOGE: the same, or a dict by reading."""
    return {f"{method} ({name})": value[name] if isinstance(value, dict) else value for name in ex.DOGE}
