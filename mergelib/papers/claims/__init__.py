"""What do the papers claim, and did it hold when measured? Each claim with the rule that judges it from the ledger."""

import pandas as pd

from . import language, main, studies
from .main import BASELINES
from .rules import DIRECTION, ELSEWHERE, FAILS, HOLDS, JUDGED, PRESETS, Claim, Evidence, gap_rule

__all__ = ["BASELINES", "Claim", "CLAIMS", "DIRECTION", "ELSEWHERE", "Evidence", "FAILS", "gap_rule", "HOLDS", "JUDGED",
           "PRESETS", "verdicts"]
ORDER = ("DOGE", "AdaMerging", "TATR")
CLAIMS = tuple(sorted((*main.CLAIMS, *studies.CLAIMS, *language.CLAIMS), key=lambda claim: ORDER.index(claim.paper)))


def verdicts(suite, seeds=(), **how):
    """Every claim with its verdict: DataFrame of paper, item, claim, notebook, verdict, found. Arguments: see `Evidence`."""
    evidence, rows = Evidence(suite, seeds, **how), []
    for claim in CLAIMS:
        verdict, found = claim.judge(evidence)
        rows.append({"paper": claim.paper, "item": claim.item, "claim": claim.statement, "notebook": claim.notebook,
                     "verdict": verdict, "found": found})
    return pd.DataFrame(rows)
