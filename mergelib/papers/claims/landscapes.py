"""Which claims are about entropy, learned coefficients and the trust region? Notebooks 10 and 11."""

from functools import partial

from ...measure.intervals import rho_interval
from ..tables import published_average
from .evidence import ALL
from .rules import (
    CONTRADICTED,
    GAP,
    INCONCLUSIVE,
    REPRODUCED,
    SMALLER,
    Claim,
    Rule,
    judged,
    judged_gap,
    range_rule,
    rule,
    share_rule,
    sign_rule,
)

CORRELATION = 0.87      # of entropy and loss over all tasks, quoted beside AdaMerging Fig. 3b
HIGH = 0.7              # from here on a correlation is called high
EXEMPLARS = "tatr_table5_exemplars"


def _halves(values):
    """Mean of a Series, by tensor, over the first and over the second half of the transformer's blocks."""
    block = values.index.str.extract(r"^(\d+)\.")[0].astype(float).to_numpy()
    means = values.groupby(block).mean()
    return means.iloc[:len(means) // 2].mean(), means.iloc[len(means) // 2:].mean()


def _split(value, least):
    """The verdict on a number without an interval: it is `least` or more, as much below zero, or neither."""
    return REPRODUCED if value >= least else CONTRADICTED if value <= -least else INCONCLUSIVE


# --- AdaMerging -------------------------------------------------------------------------------------------------------

@rule("the mean loss rises from every group of entropy to the next; contradicted in half of the steps or fewer")
def _surer_is_better(e):
    rising = (e.entropy[0].loc[ALL]["loss"].diff().dropna() > 0).mean()
    return share_rule(rising), f"the mean loss rises in {rising:.0%} of the steps from group to group"


@rule(f"Spearman's rho over all tasks is {HIGH} or more; smaller if only its interval is above 0")
def _correlation(e):
    groups, rho = e.entropy
    whole, tasks = rho[ALL], rho.drop(ALL)
    low, high = rho_interval(whole, groups.loc[ALL]["count"].sum())
    found = sign_rule(whole, low, high)
    return (SMALLER if found == REPRODUCED and whole < HIGH else found,
            f"published {CORRELATION}; measured {whole:.2f} [{low:.2f}, {high:.2f}], "
            f"single tasks {tasks.min():.2f} to {tasks.max():.2f}")


@rule("after the last step the coefficients spread over more than 0.1; contradicted below 0.03")
def _paths_differ(e):
    rows = e.coefficients[e.coefficients["label"] == "Task-wise AdaMerging (paper)"]
    last = rows.loc[rows["step"] == rows["step"].max(), "lam"]
    spread = last.max() - last.min()
    verdict = REPRODUCED if spread > 0.1 else CONTRADICTED if spread < 0.03 else INCONCLUSIVE
    return verdict, f"all start alike; after {rows['step'].max()} steps {last.min():.2f} to {last.max():.2f}"


@rule("the mean of the deep half is at least 0.02 above that of the shallow half; contradicted as much below")
def _shallow_smaller(e):
    rows = e.coefficients[e.coefficients["label"] == "AdaMerging (paper)"]
    first, last = _halves(rows.set_index("tensor")["lam"])
    return _split(last - first, 0.02), f"first blocks {first:.2f}, last {last:.2f}"


# --- TATR -------------------------------------------------------------------------------------------------------------

@rule("of the three parts it has the smallest loss, summed over all tasks")
def _best_corner(e):
    corner = e.corners.loc[ALL]
    words = ", ".join(f"{name} {value:.2f}" for name, value in corner.items())
    return REPRODUCED if corner.idxmin() == "orthogonal" else CONTRADICTED, f"nats summed over the tasks: {words}"


def _worse_corner(part):
    """The rule that a part of the other tasks' vectors raises a task's loss above that of the orthogonal part."""
    def judge(e):
        tasks = e.corners.drop(ALL)
        share = (tasks[part] > tasks["orthogonal"]).mean()
        return share_rule(share), f"for {share:.0%} of the tasks"
    return Rule("for every task its loss is above that of the orthogonal part; contradicted for half or fewer", judge)


@rule("at every fraction the orthogonal part has the smallest total loss; contradicted at half of them or fewer")
def _every_fraction(e):
    best = e.masked.idxmin(axis=1)
    return (share_rule((best == "orthogonal").mean()),
            "best with " + ", ".join(f"{share:.0%} of the entries counted: {part}" for share, part in best.items()))


@rule(GAP)
def _one_exemplar(e):
    printed = published_average(EXEMPLARS, "TATR", "exemplars=1") - published_average(EXEMPLARS, "Task Arithmetic")
    return judged_gap(e.exemplars[1] - e.ratios[0.0], printed)


@rule("the interval of the best fraction lies above 0 and below 1 %")
def _small_ratio(e):
    smallest = min(ratio for ratio in e.ratios if ratio > 0)
    best = e.ratios.idxmax(axis=1).astype(float)
    verdict, words = judged(100 * best, partial(range_rule, least=100 * smallest / 2, most=0.99), ".1f")
    return verdict, f"best with {words} % left out ({e.ratios.iloc[0].max():.1f}); with none {e.ratios[0.0].iloc[0]:.1f}"


@rule("the mean logarithm over the shallow half of the blocks is above that over the deep half")
def _shallow_sensitive(e):
    first, last = _halves(e.sensitivity.mean(axis=1))
    return REPRODUCED if first > last else CONTRADICTED, f"geometric means: first blocks 1e{first:.1f}, last 1e{last:.1f}"


@rule("the mean logarithm over the biases is above that over the weights")
def _bias_sensitive(e):
    means, bias = e.sensitivity.mean(axis=1), e.sensitivity.index.str.contains("bias")
    biases, weights = means[bias].mean(), means[~bias].mean()
    return REPRODUCED if biases > weights else CONTRADICTED, f"geometric means: biases 1e{biases:.1f}, weights 1e{weights:.1f}"


@rule("both are below every other task; contradicted if on average they are not below the others")
def _digits_calm(e):
    digits = e.sensitivity[list(e.suite.named("digits", "housenumbers"))].mean()
    rest = e.sensitivity.drop(columns=digits.index).mean()
    below = digits.max() < rest.min()
    verdict = REPRODUCED if below else INCONCLUSIVE if digits.mean() < rest.mean() else CONTRADICTED
    return verdict, f"geometric means: digits and house numbers 1e{digits.mean():.1f}, the others 1e{rest.mean():.1f}"


CLAIMS = (
    Claim("AdaMerging", "Fig. 3a", "The surer a prediction, the smaller its loss", "10", _surer_is_better),
    Claim("AdaMerging", "Fig. 3b", "Entropy and loss are highly correlated", "10", _correlation),
    Claim("AdaMerging", "Fig. 4", "The learned coefficients of the tasks differ", "10", _paths_differ),
    Claim("AdaMerging", "Fig. 5", "Shallow layers get smaller coefficients than deep ones", "10", _shallow_smaller),
    Claim("TATR", "Fig. 2c", "In total the orthogonal part is the best to merge", "11", _best_corner),
    Claim("TATR", "Fig. 5", "The positive part raises every task's loss", "11", _worse_corner("positive")),
    Claim("TATR", "Fig. 5", "The negative part overshoots and raises every task's loss, too", "11", _worse_corner("negative")),
    Claim("TATR", "Fig. 6", "The orthogonal part is the best to merge at every mask ratio", "11", _every_fraction),
    Claim("TATR", "Fig. 3a", "One exemplar per task is enough for TATR to be above task arithmetic", "11", _one_exemplar),
    Claim("TATR", "Fig. 3b", "Leaving out less than 1 % of the entries is best", "11", _small_ratio),
    Claim("TATR", "Fig. 4", "Shallow layers are more sensitive", "11", _shallow_sensitive),
    Claim("TATR", "Fig. 4", "Biases are more sensitive than weights", "11", _bias_sensitive),
    Claim("TATR", "Fig. 4", "Digits and house numbers are less sensitive", "11", _digits_calm),
)
