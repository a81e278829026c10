"""Which claims are made about language? Notebook 12, and notebook 07's last column."""

from ..tables import published_cost
from .rules import GAP, Claim, Rule, above, judged_gap, said

BASE, LARGE = "Flan-T5-base", "Flan-T5-large"
TABLES = {BASE: "doge_table3_flan_t5_base", LARGE: "doge_table4_flan_t5_large"}
TIES = ("Ties-Merging (paper)", "Ties-Merging (code)")
LEARNED, DAMPED = "AdaMerging++ (generated)", "DOGE TA (exact, damped 0.1)"


def _above(method, *others, model=BASE):
    """The rule that one row of a language table beats others, by the published gap."""
    return above(method, *others, table=TABLES[model], scores=lambda e: e.language(model),
                 beside=(DAMPED,) if method == "DOGE TA" else ())


def _cost(left_out):
    """The rule that leaving out a part of DOGE TA costs score on language, every variant with its own best coefficient."""
    def judge(e):
        code, damped = (e.language_ablation["nothing", reading]
                        - e.language_ablation[left_out, "" if left_out == "delta" else reading]
                        for reading in ("code", "exact, damped 0.1"))
        verdict, words = judged_gap({"code": code}, published_cost(left_out, "Flan-T5-base (LoRA)"))
        return verdict, f"{words}, exact and damped {said(damped)}"
    return Rule(GAP, judge)


CLAIMS = (
    Claim("DOGE", "Tab. 3", "On language DOGE TA is above task arithmetic", "12", _above("DOGE TA", "Task Arithmetic")),
    Claim("DOGE", "Tab. 3", "On language DOGE TA is above TIES", "12", _above("DOGE TA", *TIES)),
    Claim("DOGE", "Tab. 3", "On language DOGE TA is above AdaMerging++, which learns on test questions", "12",
          _above("DOGE TA", LEARNED)),
    Claim("DOGE", "Tab. 4", "On the larger language model DOGE TA is above task arithmetic", "12",
          _above("DOGE TA", "Task Arithmetic", model=LARGE)),
    Claim("DOGE", "Tab. 4", "On the larger language model DOGE TA is above TIES", "12", _above("DOGE TA", *TIES, model=LARGE)),
    Claim("DOGE", "Tab. 4", "On the larger language model DOGE TA is above AdaMerging++", "12",
          _above("DOGE TA", LEARNED, model=LARGE)),
    Claim("DOGE", "Tab. 6", "On language DOGE TA without delta loses score", "07", _cost("delta")),
    Claim("DOGE", "Tab. 6", "On language DOGE TA without the shared subspace loses score", "07", _cost("shared subspace")),
    Claim("AdaMerging", "DOGE Tab. 3", "On language AdaMerging++ is above task arithmetic", "12",
          _above(LEARNED, "Task Arithmetic")),
    Claim("AdaMerging", "DOGE Tab. 4", "On the larger language model AdaMerging++ is above task arithmetic", "12",
          _above(LEARNED, "Task Arithmetic", model=LARGE)),
)
