"""Did the claims hold that are made about language? Notebook 12, and notebook 07's last column."""

from ..tables import printed_name, published_average, published_cost
from .rules import JUDGED, PRESETS, Claim, gap_rule

TABLES = {"text-small": "doge_table3_flan_t5_base", "text-large": "doge_table4_flan_t5_large"}


def _over(method, over, model="text-small"):
    """Judge that one row of a language table beats another, against the published gap; DOGE TA with all its readings."""
    def judge(e):
        published, theirs = (published_average(TABLES[model], printed_name(name)) for name in (method, over))
        gaps = e.language[model] - e.language[model][over]
        readings = PRESETS | {"exact and damped": "DOGE TA (exact, damped 0.1)"} if method == JUDGED else {"": method}
        found = ", ".join(f"{reading} {gaps[name]:+.1f}".strip() for reading, name in readings.items())
        return gap_rule(gaps[method], published - theirs), f"published {published - theirs:+.1f}; measured {found}"
    return judge


def _cost(left_out):
    """Judge that leaving out a part of DOGE TA costs score on language, every variant with its own best coefficient."""
    def judge(e):
        published = published_cost(left_out, "Flan-T5-base (LoRA)")
        costs = {reading: e.language_ablation["nothing", reading]
                 - e.language_ablation[left_out, "" if left_out == "delta" else reading]
                 for reading in ("code", "exact, damped 0.1")}
        found = ", ".join(f"{reading.replace(',', ' and')} {cost:+.1f}" for reading, cost in costs.items())
        return gap_rule(costs["code"], published), f"published {published:.1f}; measured {found}"
    return judge


CLAIMS = (
    Claim("DOGE", "Tab. 3", "On language DOGE TA is above task arithmetic", "12", _over(JUDGED, "Task Arithmetic")),
    Claim("DOGE", "Tab. 3", "There it is above TIES", "12", _over(JUDGED, "Ties-Merging (code)")),
    Claim("DOGE", "Tab. 3", "It is even above AdaMerging++, which learns on test questions", "12",
          _over(JUDGED, "AdaMerging++ (generated)")),
    Claim("DOGE", "Tab. 4", "On the larger model, too, DOGE TA is above task arithmetic", "12",
          _over(JUDGED, "Task Arithmetic", "text-large")),
    Claim("DOGE", "Tab. 4", "On the larger model it is above TIES", "12", _over(JUDGED, "Ties-Merging (code)", "text-large")),
    Claim("DOGE", "Tab. 4", "On the larger model it is above AdaMerging++", "12",
          _over(JUDGED, "AdaMerging++ (generated)", "text-large")),
    Claim("DOGE", "Tab. 6", "On language, too, delta earns something", "07", _cost("delta")),
    Claim("DOGE", "Tab. 6", "On language the shared subspace earns a little", "07", _cost("shared subspace")),
    Claim("AdaMerging", "DOGE Tab. 3", "On language AdaMerging++ is above task arithmetic", "12",
          _over("AdaMerging++ (generated)", "Task Arithmetic")),
    Claim("AdaMerging", "DOGE Tab. 4", "On the larger model AdaMerging++ is a little above task arithmetic", "12",
          _over("AdaMerging++ (generated)", "Task Arithmetic", "text-large")),
)
