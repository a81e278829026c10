"""Which claims are about the main tables, the task vectors and DOGE's objective? Notebooks 02 to 05, and 13."""

from functools import partial

from ... import experiments as ex
from ...experiments.measuring import Job
from ..tables import published, published_average
from .rules import (
    CONTRADICTED,
    GAP,
    INCONCLUSIVE,
    NOT_MEASURABLE,
    REPRODUCED,
    SIGN,
    Claim,
    Rule,
    above,
    judged,
    judged_gap,
    lead,
    range_rule,
    readings,
    rule,
    share_rule,
    sign_rule,
)

DOGE, ADAMERGING, TATR = "doge_table1_vit_b32", "adamerging_table1_vit_b32", "tatr_table1_vit_b32"
LAMBDA = "doge_table9_lambda_vit_b32"
TIES = ("Ties-Merging (paper)", "Ties-Merging (code)")
BASELINES = ("Weight Averaging", "Task Arithmetic", *TIES)
OTHERS = (*TIES, "Consensus TA", "AWD TA", "PCB-Merging (paper)", "PCB-Merging (code)")
ETA = "doge_rebuttal_eta"


def _pairs(matrix):
    """The entries off the diagonal of a square DataFrame, by row and column."""
    entries = matrix.stack()
    return entries[[row != column for row, column in entries.index]]


# --- the number of tasks ----------------------------------------------------------------------------------------------

def _ends(e):
    """The smallest and the largest number of tasks, and the points that each method loses between them."""
    few, many = (size(e.sizes.columns.unique(0)) for size in (min, max))
    return few, many, e.sizes[few] - e.sizes[many]


@rule("the interval of the smallest loss of any method is above 0, from the fewest tasks to all")
def _falls(e):
    few, many, lost = _ends(e)
    verdict, words = judged(lost.min(axis=1), sign_rule)
    return verdict, (f"points lost from {few} to {many} tasks: {words} at least ({lost.iloc[0].idxmin()}), "
                     f"{lost.iloc[0].max():.1f} at most")


@rule("the interval of the lowest baseline over DOGE TA is above 0, with the fewest tasks")
def _starts_lower(e):
    few, _, _ = _ends(e)
    lowest = e.sizes[few][list(BASELINES)].min(axis=1)
    verdict, words = judged({name: lowest - mine for name, mine in readings(e.sizes[few]).items()}, sign_rule)
    return verdict, f"{few} tasks: lowest baseline {lowest.iloc[0]:.1f}, over DOGE TA {words}"


@rule("the interval of what DOGE TA loses less than the steadiest of task arithmetic and TIES is above 0")
def _falls_slower(e):
    few, many, lost = _ends(e)
    least = lost[["Task Arithmetic", *TIES]].min(axis=1)
    verdict, words = judged({name: least - mine for name, mine in readings(lost).items()}, sign_rule)
    return verdict, f"points lost from {few} to {many} tasks: {least.iloc[0]:.1f} by the steadiest; DOGE TA less by {words}"


# --- the main tables --------------------------------------------------------------------------------------------------

@rule(GAP)
def _ties_over_arithmetic(e):
    printed = published_average(DOGE, "Ties-Merging") - published_average(DOGE, "Task Arithmetic")
    best = e.averages[list(TIES)].iloc[0].idxmax()
    return judged_gap(e.averages[list(TIES)].max(axis=1) - e.averages["Task Arithmetic"], printed, f" with {best}")


def _below_base(part):
    """The rule that merging only a signed part leaves less accuracy than the pre-trained model has."""
    def judge(e):
        printed, before = published_average("tatr_table6_sensitivity", part), published_average(TATR, "Pre-trained")
        verdict, words = judged(lead(e.averages, "Pre-trained", part), sign_rule)
        return verdict, f"published {printed:.1f}, pre-trained {before:.1f}, {before - printed:.1f} above; measured {words}"
    return Rule("the interval of the pre-trained model over it is above 0", judge)


# --- task vectors -----------------------------------------------------------------------------------------------------

@rule("every pair's cosine is below 0.2 in size")
def _orthogonal(e):
    off = _pairs(e.cosines).abs()
    return range_rule(off.max(), off.max(), off.max(), most=0.2), f"mean {off.mean():.2f}, largest {off.max():.2f}"


@rule("no other pair of tasks has a larger cosine")
def _digits_pair(e):
    pairs = _pairs(e.cosines)
    pair = pairs[e.suite.named("digits", "housenumbers")]
    return (REPRODUCED if pair >= pairs.max() else CONTRADICTED,
            f"{pair:.2f}; all pairs {pairs.mean():.2f}, largest {pairs.max():.2f} ({' and '.join(pairs.idxmax())})")


@rule(SIGN)
def _digits_help(e):
    digits, houses = e.suite.named("digits", "housenumbers")
    found = e.scores(Job("pretrained", on=(houses,)), Job("task-arithmetic", "", {"lam": 1.0}, (digits,), (houses,)))
    verdict, words = judged(lead(found, "Task Arithmetic", "Pre-trained"), sign_rule)
    return verdict, f"{found['Pre-trained'].iloc[0]:.1f} before, {words} with the digits vector added"


def _differ(axis, things):
    """The rule that the magnitudes of task vectors differ along an axis of their table."""
    def judge(e):
        table = ex.magnitudes(e.weights)
        ratio = (table.max(axis=axis) / table.min(axis=axis)).median()
        verdict = REPRODUCED if ratio >= 2 else CONTRADICTED if ratio < 1.2 else INCONCLUSIVE
        return verdict, f"between {things} the largest is {ratio:.1f} times the smallest (median)"
    return Rule("the largest is at least twice the smallest, in the median; contradicted below 1.2", judge)


@rule("the interval of the best lambda lies within 0.05 of 0.3")
def _best_lambda(e):
    best = e.sweep["Task Arithmetic"].idxmax(axis=1).astype(float)
    verdict, words = judged(best, partial(range_rule, least=0.249, most=0.351), ".2f")
    return verdict, f"best at {words}"


@rule("the interval of weight averaging over the worst lambda from 0.1 on is above 0")
def _bad_lambda(e):
    average, scores = e.sweep["Weight Averaging"][0], e.sweep["Task Arithmetic"]
    verdict, words = judged(average - scores[[lam for lam in scores if lam >= 0.1]].min(axis=1), sign_rule)
    return verdict, f"averaging has {average.iloc[0]:.1f}, {words} above the worst"


@rule("the losses that all pairs of tasks cause in each other sum to more than 0")
def _conflict(e):
    others = _pairs(ex.conflict_matrix(ex.conflict_losses(e.suite, **e.how), e.suite.tasks))
    return (REPRODUCED if others.sum() > 0 else CONTRADICTED,
            f"sum over pairs {others.sum():+.2f} nats; {(others > 0).mean():.0%} of pairs conflict")


# --- DOGE's objective and its solver ----------------------------------------------------------------------------------

@rule("the interval of the spread over the printed values of eta is at most twice the published spread")
def _eta_flat(e):
    printed = published(ETA)
    spread = printed["value"].max() - printed["value"].min()
    etas = [float(setting.removeprefix("eta=")) for setting in printed["setting"]]
    found = {reading: e.etas[reading][etas].max(axis=1) - e.etas[reading][etas].min(axis=1) for reading in ex.DOGE}
    verdict, words = judged(found, partial(range_rule, most=2 * spread), ".1f")
    return verdict, f"published spread {spread:.1f}; measured {words}"


def _converges(wide):
    """The rule that 200 steps of Adam solve DOGE's objective."""
    def judge(e):
        loss = e.converged(wide)
        verdict = REPRODUCED if loss[200] < 0.01 else CONTRADICTED if loss[200] > 0.05 else INCONCLUSIVE
        return verdict, f"{loss[100]:.1e} of the loss is left after 100 steps, {loss[200]:.1e} after 200 (median of matrices)"
    return Rule("less than 1 % of the loss is left after 200 steps; contradicted above 5 %", judge)


@rule("first order and actual change are within a factor of ten in nine of ten cases; contradicted in half or fewer")
def _taylor(e):
    table = ex.taylor_check(e.weights, **e.how)
    ratio = table["first order"] / table["actual"]
    near = ratio.between(0.1, 10).mean()
    return (REPRODUCED if near >= 0.9 else share_rule(near),
            f"same order of magnitude in {near:.0%} of tasks and lambdas, same sign in {(ratio > 0).mean():.0%}")


@rule("none: it needs that GPU")
def _elsewhere(e):
    return NOT_MEASURABLE, "what the 729 MB are and what two cores take is measured"


CLAIMS = (
    Claim("DOGE", "Fig. 1", "Accuracy of every method falls as tasks are added", "05", _falls),
    Claim("DOGE", "Fig. 1", "DOGE TA starts below the other methods", "05", _starts_lower),
    Claim("DOGE", "Fig. 1", "DOGE TA falls more slowly than the other methods", "05", _falls_slower),
    Claim("DOGE", "Tab. 1", "DOGE TA is above task arithmetic", "04", above("DOGE TA", "Task Arithmetic", table=DOGE)),
    Claim("DOGE", "Tab. 1", "DOGE TA is above TIES", "04", above("DOGE TA", *TIES, table=DOGE)),
    Claim("DOGE", "Tab. 1", "DOGE TA is above every other data-free method of the table", "04",
          above("DOGE TA", *OTHERS, table=DOGE)),
    Claim("DOGE", "Tab. 1", "DOGE AM is above AdaMerging", "04", above("DOGE AM", "AdaMerging (paper)", table=DOGE)),
    Claim("DOGE", "Tab. 9", "Layer-wise norm-based lambda improves task arithmetic", "04",
          above("Norm-based lambda", "Task Arithmetic", table=LAMBDA)),
    Claim("DOGE", "Fig. 2a", "Task vectors are nearly orthogonal", "02", _orthogonal),
    Claim("DOGE", "Sec. 3.2", "The digit tasks (MNIST, SVHN) have the most similar vectors", "02", _digits_pair),
    Claim("DOGE", "Sec. 3.2", "The digits vector improves house numbers", "02", _digits_help),
    Claim("DOGE", "Fig. 3", "Tasks differ in magnitude", "02", _differ(0, "tasks")),
    Claim("DOGE", "Fig. 3", "Layers differ in magnitude", "02", _differ(1, "tensors")),
    Claim("DOGE", "rebuttal", "Accuracy is flat in eta from 0.01 to 0.09", "07", _eta_flat),
    Claim("DOGE", "rebuttal", "For eight tasks the solver converges within 100 to 200 steps", "03", _converges(wide=False)),
    Claim("DOGE", "rebuttal", "For twenty tasks the solver converges within 100 to 200 steps", "05", _converges(wide=True)),
    Claim("DOGE", "rebuttal", "The first-order Taylor step has the right order of magnitude", "03", _taylor),
    Claim("DOGE", "Tab. 10", "121 s and 729 MB for ViT-B/32 on an RTX 4090", "13", _elsewhere),
    Claim("AdaMerging", "Fig. 1", "Task arithmetic is best at lambda 0.3", "02", _best_lambda),
    Claim("AdaMerging", "Fig. 1", "An ill-suited lambda is worse than weight averaging", "02", _bad_lambda),
    Claim("AdaMerging", "Tab. 1", "TIES is above task arithmetic", "04", _ties_over_arithmetic),
    Claim("AdaMerging", "Tab. 1", "AdaMerging is above task arithmetic", "04",
          above("AdaMerging (paper)", "Task Arithmetic", table=ADAMERGING)),
    Claim("AdaMerging", "Tab. 1", "AdaMerging++ is above AdaMerging", "04",
          above("AdaMerging++ (paper)", "AdaMerging (paper)", table=ADAMERGING)),
    Claim("AdaMerging", "Tab. 1", "Layer-wise coefficients are above task-wise ones", "04",
          above("AdaMerging (paper)", "Task-wise AdaMerging (paper)", table=ADAMERGING)),
    Claim("TATR", "Tab. 1", "TATR is above task arithmetic", "04", above("TATR", "Task Arithmetic", table=TATR)),
    Claim("TATR", "Tab. 1", "The zero-shot form of TATR is above task arithmetic", "04",
          above("TATR zero-shot", "Task Arithmetic", table=TATR)),
    Claim("TATR", "Tab. 1", "TATR improves TIES", "04", above("Ties-Merging & TATR", "Ties-Merging (code)", table=TATR)),
    Claim("TATR", "Tab. 1", "TATR improves AdaMerging++", "04",
          above("AdaMerging++ & TATR", "AdaMerging++ (paper)", table=TATR)),
    Claim("TATR", "Tab. 1", "TATR improves Representation Surgery", "04",
          above("Representation Surgery & TATR", "Representation Surgery (task-arithmetic)", table=TATR)),
    Claim("TATR", "Tab. 6", "Merging only what climbs the losses is worse than no merge", "04", _below_base("TATR positive")),
    Claim("TATR", "Tab. 6", "Merging only what descends the losses is worse than no merge, too", "04",
          _below_base("TATR negative")),
    Claim("TATR", "Def. 1", "Merged task vectors conflict: adding one raises the others' losses", "02", _conflict),
)
