"""Which claims do the ablations, the unseen tasks and the corruptions concern? Notebooks 06 to 09."""

from functools import partial

from ... import experiments as ex
from ...tasks import load_task
from ...tasks.corruptions import CORRUPTIONS
from ..tables import printed_name, published, published_average, published_cost
from .rules import GAP, SIGN, Claim, Rule, judged, judged_gap, lead, range_rule, rule, sign_rule

SPLIT, OTHER_SPLIT, FIVE_THREE = ex.UNSEEN
READINGS = ("code", "exact")        # those that were taken apart
SIXTH = 1 / 6                       # of the rank: the printed subspace
SAME = 0.5                          # points that make no difference
DOGE5, DOGE8, REBUTTAL = "doge_table5_unseen_vit_b32", "doge_table8_robustness_vit_b32", "doge_rebuttal_unseen_5_3"
LAMBDA = "doge_table9_lambda_vit_b32"
ADAMERGING3, ADAMERGING4 = "adamerging_table3_unseen_vit_b32", "adamerging_table4_robustness_vit_b32"
TATR4 = "tatr_table4_unseen"


# --- parts of DOGE ----------------------------------------------------------------------------------------------------

def _costs(e, left_out):
    """What leaving out a part of DOGE TA costs, by reading, every variant with its own best coefficient."""
    return {reading: e.ablation["nothing", reading] - e.ablation[left_out, "" if left_out == "delta" else reading]
            for reading in READINGS}


def _cost(left_out):
    """The rule that leaving out a part of DOGE TA costs as much accuracy as is printed."""
    return Rule(GAP, lambda e: judged_gap(_costs(e, left_out), published_cost(left_out)))


@rule("the interval of what it costs to leave it out is above 0 (printed without a number)")
def _task_aware(e):
    return judged(_costs(e, "task-aware lambda"), sign_rule)


@rule(GAP)
def _task_wise(e):
    printed = published_average(LAMBDA, "Task Arithmetic + task-wise lambda") - published_average(LAMBDA, "Task Arithmetic")
    return judged_gap(e.forms["a lambda per task"] - e.forms["one lambda"], printed)


@rule(f"the interval of the difference lies within {SAME} points of 0")
def _universal(e):
    gaps = {reading: e.per_task[reading, "universal"] - e.per_task[reading, "per_task"] for reading in READINGS}
    verdict, words = judged(gaps, partial(range_rule, least=-SAME, most=SAME), "+.2f")
    return verdict, f"universal over per task: {words}"


@rule(SIGN)
def _gradients(e):
    gaps = {reading: e.first[f"DOGE TA ({reading})"] - e.gradients[reading] for reading in ex.DOGE}
    verdict, words = judged(gaps, sign_rule)
    return verdict, f"with task vectors over with gradients: {words}"


# --- rank and directions ----------------------------------------------------------------------------------------------

@rule("the interval of the best ratio lies between 10 and 30 %")
def _best_rank(e):
    best = {reading: e.ranks[reading, "orthogonal"].idxmax(axis=1).astype(float) for reading in READINGS}
    verdict, words = judged(best, partial(range_rule, least=0.1, most=0.3), ".2f")
    return verdict, f"best at {words}"


@rule("between 10 and 30 % of the directions every ratio explains more than 40 % of the bases; contradicted if none does")
def _explained(e):
    share = 100 * ex.explained(e.weights).loc[0.1:0.3]
    low, high = share.min(), share.max()
    return (range_rule(low["bases"], low["bases"], high["bases"], least=40),
            "explained: " + ", ".join(f"{low[of]:.0f} to {high[of]:.0f} % of the {of}" for of in share))


@rule(SIGN)
def _along(e):
    gaps = {reading: e.ranks[reading, "along", SIXTH] - e.ranks[reading, "free", 0] for reading in READINGS}
    verdict, words = judged(gaps, sign_rule)
    return verdict, f"at a sixth, over no subspace: {words}"


def _gains(e, reading):
    """What each task gains when delta stays out of the subspace of a sixth."""
    return e.rank_tasks[reading, "orthogonal", SIXTH] - e.rank_tasks[reading, "free", 0]


@rule("the interval of the gain of textures over the largest gain of another task is above 0")
def _textures(e):
    (textures,), gains = e.suite.named("textures"), {reading: _gains(e, reading) for reading in READINGS}
    verdict, words = judged({reading: lead(gain, textures, *gain.columns.drop(textures)) for reading, gain in gains.items()},
                            sign_rule)
    largest = ", ".join(f"{reading} {gain.iloc[0].idxmax()} {gain.iloc[0].max():+.1f}" for reading, gain in gains.items())
    return verdict, f"textures over the other that gains most: {words}; largest gain: {largest}"


@rule("the interval of the loss of house numbers is above 0")
def _house_numbers(e):
    (houses,) = e.suite.named("housenumbers")
    verdict, words = judged({reading: -_gains(e, reading)[houses] for reading in READINGS}, sign_rule)
    return verdict, f"house numbers lose {words}"


# --- unseen tasks and corruptions -------------------------------------------------------------------------------------

def _unseen(split, method, over, table):
    """The rule that one method beats another on the unseen tasks of a split."""
    def judge(e):
        mine, theirs = (_printed(table, name.split(" (")[0], split) for name in (method, over))
        return judged_gap(lead(e.unseen(split), method, over), mine - theirs)
    return Rule(GAP, judge)


def _printed(table, method, split):
    """The printed mean of a method on the unseen tasks of a split: of the cells, because one printed average does not fit."""
    rows = published(table)
    unseen = rows["task"].isin([load_task(task).sibling for task in split])
    rows = rows[(rows["method"] == method) & (rows["setting"] == "unseen") & unseen]
    if len(rows) != len(split):
        raise ValueError(f"{table} has {len(rows)} scores of {method!r} on the unseen tasks, not {len(split)}.")
    return rows["value"].mean()


def _corrupted(method, *others, table):
    """The rule that a method beats the best of others on average over the corruptions."""
    def judge(e):
        mine, *theirs = (sum(published_average(table, printed_name(label), name) for name in CORRUPTIONS) / len(CORRUPTIONS)
                         for label in (method, *others))
        return judged_gap(lead(e.corrupted, method, *others), mine - max(theirs))
    return Rule(GAP, judge)


CLAIMS = (
    Claim("DOGE", "Tab. 6", "DOGE TA without delta loses accuracy", "07", _cost("delta")),
    Claim("DOGE", "Tab. 6", "DOGE TA without the shared subspace loses accuracy", "07", _cost("shared subspace")),
    Claim("DOGE", "Tab. 6", "DOGE TA without the task-aware lambda loses accuracy", "07", _task_aware),
    Claim("DOGE", "Tab. 9", "Task-wise norm-based lambda improves task arithmetic", "07", _task_wise),
    Claim("DOGE", "rebuttal", "One delta for all tasks is as good as one each", "07", _universal),
    Claim("DOGE", "rebuttal", "True gradients are worse than task vectors", "07", _gradients),
    Claim("DOGE", "Fig. 4", "The best rank ratio is between 10 and 30 %", "08", _best_rank),
    Claim("DOGE", "Fig. 4", "There more than 40 % of the deviation is explained", "08", _explained),
    Claim("DOGE", "Fig. 4", "Updates along the subspace are slightly better than without one", "08", _along),
    Claim("DOGE", "Tab. 7", "Out of the subspace textures gain most", "08", _textures),
    Claim("DOGE", "Tab. 7", "Out of the subspace house numbers lose", "08", _house_numbers),
    Claim("DOGE", "Tab. 5", "On two unseen tasks DOGE TA is above task arithmetic", "06",
          _unseen(SPLIT, "DOGE TA", "Task Arithmetic", DOGE5)),
    Claim("DOGE", "Tab. 5", "On two unseen tasks DOGE TA is above AdaMerging", "06",
          _unseen(SPLIT, "DOGE TA", "AdaMerging (paper)", DOGE5)),
    Claim("DOGE", "rebuttal", "On three unseen tasks DOGE TA is above AdaMerging", "06",
          _unseen(FIVE_THREE, "DOGE TA", "AdaMerging (paper)", REBUTTAL)),
    Claim("DOGE", "Tab. 8", "On corrupted pictures DOGE TA is above task arithmetic and TIES", "09",
          _corrupted("DOGE TA", "Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)", table=DOGE8)),
    Claim("DOGE", "Tab. 8", "On corrupted pictures DOGE AM is above AdaMerging", "09",
          _corrupted("DOGE AM", "AdaMerging (paper)", table=DOGE8)),
    Claim("AdaMerging", "Tab. 3", "On two unseen tasks AdaMerging is above task arithmetic", "06",
          _unseen(SPLIT, "AdaMerging (paper)", "Task Arithmetic", ADAMERGING3)),
    Claim("AdaMerging", "Tab. 3", "On the two other unseen tasks AdaMerging is above task arithmetic", "06",
          _unseen(OTHER_SPLIT, "AdaMerging (paper)", "Task Arithmetic", ADAMERGING3)),
    Claim("AdaMerging", "Tab. 4", "On corrupted pictures AdaMerging is above task arithmetic", "09",
          _corrupted("AdaMerging (paper)", "Task Arithmetic", table=ADAMERGING4)),
    Claim("TATR", "Tab. 4", "On two unseen tasks TATR is above task arithmetic", "06",
          _unseen(SPLIT, "TATR", "Task Arithmetic", TATR4)),
    Claim("TATR", "Tab. 4", "On the two other unseen tasks TATR is above task arithmetic", "06",
          _unseen(OTHER_SPLIT, "TATR", "Task Arithmetic", TATR4)),
)
