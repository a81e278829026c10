"""By which rule is a claim judged? Five verdicts, each rule in one line of text, and the rules that claims share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf, isnan

from ... import experiments as ex
from ...checkpoints.lazy import CheckpointError
from ..tables import printed_name, published_average

VERDICTS = ("reproduced", "smaller", "inconclusive", "contradicted", "not measurable")
REPRODUCED, SMALLER, INCONCLUSIVE, CONTRADICTED, NOT_MEASURABLE = VERDICTS
GAP = "the interval is above 0, and the gap is at least half the published one or the interval contains that one"
SIGN = "the interval of the difference is above 0"


@dataclass(frozen=True)
class Rule:
    """When a claim is reproduced, in one line, and the function that decides it."""

    line: str
    judge: Callable      # Evidence -> (verdict, or a dict of verdicts by DOGE's readings; what was found, in words)


def rule(line):
    """Make a `Rule` of the function below."""
    return partial(Rule, line)


@dataclass(frozen=True)
class Claim:
    """One statement of a paper, the notebook that measures it, and the rule that judges it."""

    paper: str
    item: str
    statement: str
    notebook: str
    rule: Rule

    def judge(self, evidence):
        """(Verdict or verdicts, what was found); not measurable if the ledger lacks it and there are no weights."""
        try:
            return self.rule.judge(evidence)
        except CheckpointError as missing:
            return NOT_MEASURABLE, str(missing).partition(". ")[0]


# --- verdicts of intervals and of shares ------------------------------------------------------------------------------

def gap_rule(gap, low, high, published):
    """The verdict on a gap with its 95 % interval.

    Raises ValueError unless there is a published gap above zero and a measured one: without them nothing can be judged.
    """
    if not published > 0 or isnan(gap):
        raise ValueError(f"A claim cannot be judged: the published gap is {published}, the measured one {gap}. Give a "
                         f"claim that a paper prints, by the names of its tables.")
    found = sign_rule(gap, low, high)
    large = gap >= published / 2 or low <= published <= high
    return SMALLER if found == REPRODUCED and not large else found


def sign_rule(value, low, high):
    """The verdict on a number that should be above zero: its interval decides."""
    return REPRODUCED if low > 0 else CONTRADICTED if high < 0 else INCONCLUSIVE


def range_rule(value, low, high, least=-inf, most=inf):
    """The verdict on a number that should lie in a range: its interval lies inside, outside, or across an end."""
    return REPRODUCED if least <= low and high <= most else CONTRADICTED if high < least or low > most else INCONCLUSIVE


def share_rule(share):
    """The verdict on what should be so in every case: reproduced if it is, contradicted if it is in half of them or fewer."""
    return REPRODUCED if share == 1 else CONTRADICTED if share <= 0.5 else INCONCLUSIVE


# --- of what was resampled --------------------------------------------------------------------------------------------

def said(drawn, form="+.1f"):
    """A number as measured and its interval, in words."""
    value, low, high = (format(round(number, 6) + 0.0, form) for number in ex.interval(drawn))
    return f"{value} [{low}, {high}]"


def judged(drawn, verdict_of, form="+.1f"):
    """(Verdict, words) of a number that was drawn (see `resampled`), or of several by reading; `verdict_of`: a rule above."""
    if not isinstance(drawn, dict):
        return verdict_of(*ex.interval(drawn)), said(drawn, form)
    return ({reading: verdict_of(*ex.interval(values)) for reading, values in drawn.items()},
            ", ".join(f"{reading} {said(values, form)}" for reading, values in drawn.items()))


def judged_gap(drawn, published, over=""):
    """(Verdict, words) of a gap, or of several by reading, beside the published one; `over`: what the gap is to."""
    verdict, words = judged(drawn, partial(gap_rule, published=published))
    return verdict, f"published {published:+.1f}; measured{over} {words}"


def lead(scores, method, *others):
    """How far a method is above the best of others: a Series of draws, or of a method of DOGE one for each reading."""
    best = scores[list(others)].max(axis=1)
    if method in scores:
        return scores[method] - best
    return {reading: mine - best for reading, mine in readings(scores, method).items()}


def readings(scores, method="DOGE TA"):
    """The draws of a method of DOGE by reading, as far as it was measured."""
    return {reading: scores[name] for reading in ex.DOGE if (name := f"{method} ({reading})") in scores}


def above(method, *others, table, scores=lambda e: e.averages, beside=()):
    """The rule that a method beats the best of others, by the gap that a table prints.

    `scores`: Evidence -> draws by label; `beside`: labels that are not judged, but said.
    """
    def judge(e):
        mine, *theirs = (published_average(table, printed_name(name)) for name in (method, *others))
        found = scores(e)
        best = found[list(others)].iloc[0].idxmax()
        verdict, words = judged_gap(lead(found, method, *others), mine - max(theirs), f" over {best}" if others[1:] else "")
        return verdict, ", ".join([words, *(f"{name} {said(lead(found, name, *others))}" for name in beside)])
    return Rule(GAP, judge)
