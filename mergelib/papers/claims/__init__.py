"""What do the papers claim, and was it reproduced? Each claim with the rule that judges it from the ledger."""

import pandas as pd

from ... import experiments as ex
from . import landscapes, language, main, studies
from .evidence import Evidence
from .rules import (
    CONTRADICTED,
    GAP,
    INCONCLUSIVE,
    NOT_MEASURABLE,
    REPRODUCED,
    SMALLER,
    VERDICTS,
    Claim,
    Rule,
    gap_rule,
    range_rule,
    rule,
    share_rule,
    sign_rule,
)

__all__ = ["Claim", "CLAIMS", "CONTRADICTED", "counts", "Evidence", "GAP", "gap_rule", "INCONCLUSIVE", "NOT_MEASURABLE",
           "range_rule", "READINGS", "REPRODUCED", "Rule", "rule", "share_rule", "sign_rule", "SMALLER", "VERDICTS", "verdicts"]
ORDER = ("DOGE", "AdaMerging", "TATR")
CLAIMS = tuple(sorted((*main.CLAIMS, *studies.CLAIMS, *landscapes.CLAIMS, *language.CLAIMS),
                      key=lambda claim: ORDER.index(claim.paper)))
READINGS = {reading: f"DOGE ({reading})" for reading in ex.DOGE}       # the columns of their verdicts


def verdicts(suite, seeds=(), **how):
    """Every claim with its verdict: DataFrame of paper, item, claim, notebook, rule, verdict, `READINGS`, found.

    Where DOGE's readings were measured, each is judged in its own column, and `verdict` is empty. Arguments: see `Evidence`.
    """
    evidence = Evidence(suite, seeds, **how)
    return pd.DataFrame([_row(claim, *claim.judge(evidence)) for claim in CLAIMS])


def counts(table):
    """How often each verdict occurs in what `verdicts` gave: a row per verdict, a column for each that has them."""
    return pd.DataFrame({name: [(table[name] == word).sum() for word in VERDICTS] for name in ("verdict", *READINGS.values())},
                        index=VERDICTS)


def _row(claim, verdict, found):
    """One row of `verdicts`."""
    words = {READINGS[name]: word for name, word in verdict.items()} if isinstance(verdict, dict) else {"verdict": verdict}
    return {"paper": claim.paper, "item": claim.item, "claim": claim.statement, "notebook": claim.notebook,
            "rule": claim.rule.line, **dict.fromkeys(("verdict", *READINGS.values()), ""), **words, "found": found}
