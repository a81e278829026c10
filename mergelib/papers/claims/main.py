"""Did the claims hold that the main tables and the task vectors make? Notebooks 02 to 05."""

from ... import experiments as ex
from ...experiments.measuring import Job
from ..tables import printed_name, published_average
from .rules import DIRECTION, ELSEWHERE, FAILS, HOLDS, JUDGED, PRESETS, Claim, gap_rule

BASELINES = ("Weight Averaging", "Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)")
ADAMERGING, TATR = "adamerging_table1_vit_b32", "tatr_table1_vit_b32"


def _pairs(matrix):
    """The entries off the diagonal of a square DataFrame, by row and column."""
    entries = matrix.stack()
    return entries[[row != column for row, column in entries.index]]


def _each(values, method="DOGE TA"):
    """The presets of DOGE TA or DOGE AM with a number each, in words."""
    return ", ".join(f"{preset} {values[f'{method} ({preset})']:.1f}" for preset in ex.DOGE)


def _falls(e):
    drop = e.sizes.iloc[0] - e.sizes.iloc[-1]
    return (HOLDS if (drop > 0).all() else DIRECTION if (drop > 0).mean() > 0.5 else FAILS,
            f"loss from {e.sizes.index[0]} to {e.sizes.index[-1]} tasks: {drop.min():.1f} to {drop.max():.1f} points")


def _starts_lower(e):
    first = e.sizes.iloc[0]
    best, worst = first[list(BASELINES)].max(), first[list(BASELINES)].min()
    verdict = HOLDS if first[JUDGED] < worst else DIRECTION if first[JUDGED] < best else FAILS
    return verdict, f"{e.sizes.index[0]} tasks: baselines {worst:.1f} to {best:.1f}; DOGE TA {_each(first)}"


def _falls_slower(e):
    drop = e.sizes.iloc[0] - e.sizes.iloc[-1]
    others = drop[["Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)"]]
    verdict = HOLDS if drop[JUDGED] < others.min() else DIRECTION if drop[JUDGED] < others.mean() else FAILS
    return verdict, f"points lost: TA and TIES {others.min():.1f} to {others.max():.1f}; DOGE TA {_each(drop)}"


def _over(name, published_name, method="DOGE TA", table="doge_table1_vit_b32"):
    """Judge that DOGE TA, or DOGE AM, beats a baseline, against the published gap."""
    def judge(e):
        published = published_average(table, method) - published_average(table, published_name)
        gaps = e.averages - e.averages[name]
        return gap_rule(gaps[f"{method} (code)"], published), f"published +{published:.1f}; measured {_each(gaps, method)}"
    return judge


def _beats(method, over, table):
    """Judge that one row beats another, against the published gap."""
    def judge(e):
        published = published_average(table, printed_name(method)) - published_average(table, printed_name(over))
        gap = e.averages[method] - e.averages[over]
        return gap_rule(gap, published), f"published +{published:.1f}; measured {gap:+.1f}"
    return judge


def _best_data_free(e):
    table = "doge_table1_vit_b32"
    others = e.averages[["Ties-Merging (code)", "Consensus TA", "AWD TA", "PCB-Merging (paper)", "PCB-Merging (code)"]]
    published = published_average(table, "DOGE TA") - published_average(table, "PCB-Merging")
    gaps = e.averages - others.max()
    concrete = published_average(table, "DOGE TA") - published_average(table, "Concrete TA")
    return gap_rule(gaps[JUDGED], published), (
        f"published +{published:.1f} over PCB (+{concrete:.1f} over Concrete TA, which sees test pictures); best of the others "
        f"here {others.idxmax()} {others.max():.1f}, DOGE TA {_each(gaps)} above it")


def _signed_parts_harm(e):
    base, arithmetic = e.averages["Pre-trained"], e.averages["Task Arithmetic"]
    parts = e.averages[["TATR positive", "TATR negative"]]
    verdict = HOLDS if parts.max() < base else DIRECTION if parts.max() < arithmetic else FAILS
    printed = [published_average("tatr_table6_sensitivity", name) for name in parts.index]
    before = published_average(TATR, "Pre-trained")
    return verdict, (f"published {printed[0]:.1f} and {printed[1]:.1f}, pre-trained {before:.1f}; measured "
                     f"{parts.iloc[0]:.1f} and {parts.iloc[1]:.1f}, pre-trained {base:.1f}, all of it {arithmetic:.1f}")


def _ties_over_ta(e):
    table = "doge_table1_vit_b32"
    published = published_average(table, "Ties-Merging") - published_average(table, "Task Arithmetic")
    gaps = [e.averages[f"Ties-Merging ({preset})"] - e.averages["Task Arithmetic"] for preset in ("paper", "code")]
    return gap_rule(max(gaps), published), f"published +{published:.1f}; measured paper {gaps[0]:+.1f}, code {gaps[1]:+.1f}"


def _norm_lambda(e):
    table = "doge_table9_lambda_vit_b32"
    published = (published_average(table, "Task Arithmetic + layer-wise lambda")
                 - published_average(table, "Task Arithmetic"))
    gaps = [e.averages[f"Norm-based lambda ({preset})"] - e.averages["Task Arithmetic"] for preset in ("paper", "code")]
    return gap_rule(gaps[1], published), (f"published +{published:.1f}; measured on every tensor {gaps[0]:+.1f}, "
                                          f"on the transformer matrices {gaps[1]:+.1f}")


def _orthogonal(e):
    off = _pairs(e.cosines).abs()
    verdict = HOLDS if off.max() < 0.2 else DIRECTION if off.mean() < 0.2 else FAILS
    return verdict, f"mean {off.mean():.2f}, largest {off.max():.2f}"


def _digits_pair(e):
    pairs = _pairs(e.cosines)
    pair, mean = pairs["digits", "housenumbers"], pairs.mean()
    verdict = HOLDS if pair >= pairs.max() else DIRECTION if pair > mean else FAILS
    return verdict, (f"digits and housenumbers {pair:.2f}; all pairs {mean:.2f}, "
                     f"largest {pairs.max():.2f} ({' and '.join(pairs.idxmax())})")


def _digits_help(e):
    base = e.accuracy(Job("pretrained", on=("housenumbers",)))
    moved = e.accuracy(Job("task-arithmetic", "", {"lam": 1.0}, ("digits",), ("housenumbers",)))
    return HOLDS if moved > base else FAILS, f"housenumbers {base:.1f} before, {moved:.1f} with the digits vector added"


def _magnitudes(e):
    table = ex.magnitudes(e.suite)
    across = (table.max() / table.min()).median(), (table.T.max() / table.T.min()).median()
    return (HOLDS if min(across) >= 2 else DIRECTION if min(across) >= 1.2 else FAILS,
            f"largest over smallest: {across[0]:.1f} between tasks, {across[1]:.1f} between tensors")


def _best_lambda(e):
    best = e.sweep["Task Arithmetic"].idxmax()
    return (HOLDS if abs(best - 0.3) <= 0.051 else DIRECTION if 0.1 <= best <= 0.6 else FAILS), f"best at {best:.2f}"


def _bad_lambda(e):
    average, worst = e.accuracy(Job("weight-average")), e.sweep["Task Arithmetic"].loc[0.1:].min()
    return HOLDS if worst < average else FAILS, f"averaging {average:.1f}; task arithmetic as low as {worst:.1f}"


def _eta_flat(e):
    rows = e.tried[(e.tried["method"] == "doge-ta") & e.tried["setting"].between(0.01, 0.09)]
    spread = rows.groupby("label")["accuracy"].agg(lambda a: a.max() - a.min())
    return (HOLDS if spread[JUDGED] <= 3 else FAILS), f"published spread 1.5 points over 0.01 to 0.09; measured {_each(spread)}"


def _converges(e):
    chosen = e.tried[e.tried["chosen"] & (e.tried["label"] == PRESETS["exact"])]["setting"].iloc[0]
    loss = ex.solver_losses(e.suite, chosen, **e.how)
    adam = loss[(loss["solver"] == "Adam")].groupby("step")["loss"].median()
    return (HOLDS if adam[200] < 0.01 else DIRECTION if adam[200] < 0.1 else FAILS,
            f"Adam's loss is {adam[100]:.1e} of its start after 100 steps, {adam[200]:.1e} after 200 (median of six matrices)")


def _taylor(e):
    table = ex.taylor_check(e.suite, **e.how)
    ratio = table["first order"] / table["actual"]
    near, sign = ratio.between(0.1, 10).mean(), (ratio > 0).mean()
    return (HOLDS if near >= 0.9 else DIRECTION if sign > 0.5 else FAILS,
            f"same order of magnitude in {near:.0%} of tasks and lambdas, same sign in {sign:.0%}")


def _conflict(e):
    matrix = ex.conflict_matrix(ex.conflict_losses(e.suite, **e.how), e.suite.tasks)
    others = _pairs(matrix)
    return (HOLDS if others.sum() > 0 else FAILS,
            f"sum over pairs {others.sum():+.2f} nats; {(others > 0).mean():.0%} of pairs conflict")


CLAIMS = (
    Claim("DOGE", "Fig. 1", "Accuracy of every method falls as tasks are added", "05", _falls),
    Claim("DOGE", "Fig. 1", "DOGE starts below the other methods", "05", _starts_lower),
    Claim("DOGE", "Fig. 1", "DOGE falls more slowly than the other methods", "05", _falls_slower),
    Claim("DOGE", "Tab. 1", "DOGE TA is far above task arithmetic", "04", _over("Task Arithmetic", "Task Arithmetic")),
    Claim("DOGE", "Tab. 1", "DOGE TA is above TIES", "04", _over("Ties-Merging (paper)", "Ties-Merging")),
    Claim("DOGE", "Tab. 1", "DOGE TA is above every other data-free method", "04", _best_data_free),
    Claim("DOGE", "Tab. 1", "DOGE AM is above AdaMerging", "04", _over("AdaMerging (paper)", "AdaMerging", "DOGE AM")),
    Claim("DOGE", "Tab. 9", "Layer-wise norm-based lambda improves task arithmetic", "04", _norm_lambda),
    Claim("DOGE", "Fig. 2a", "Task vectors are nearly orthogonal", "02", _orthogonal),
    Claim("DOGE", "Sec. 3.2", "The digit tasks (MNIST, SVHN) have the most similar vectors", "02", _digits_pair),
    Claim("DOGE", "Sec. 3.2", "The digits vector improves house numbers", "02", _digits_help),
    Claim("DOGE", "Fig. 3", "Tasks and layers differ in magnitude", "02", _magnitudes),
    Claim("DOGE", "rebuttal", "Accuracy is flat in eta from 0.01 to 0.09", "03", _eta_flat),
    Claim("DOGE", "rebuttal", "The solver converges within 100 to 200 steps", "03", _converges),
    Claim("DOGE", "rebuttal", "The first-order Taylor step has the right order of magnitude", "03", _taylor),
    Claim("DOGE", "Tab. 10", "121 s and 729 MB for ViT-B/32 on an RTX 4090", "13",
          lambda e: (ELSEWHERE, "needs that GPU; what the 729 MB are and what two cores take is measured")),
    Claim("AdaMerging", "Fig. 1", "Task arithmetic is best at lambda 0.3", "02", _best_lambda),
    Claim("AdaMerging", "Fig. 1", "An ill-suited lambda is worse than weight averaging", "02", _bad_lambda),
    Claim("AdaMerging", "Tab. 1", "TIES is above task arithmetic", "04", _ties_over_ta),
    Claim("AdaMerging", "Tab. 1", "AdaMerging is far above task arithmetic", "04",
          _beats("AdaMerging (paper)", "Task Arithmetic", ADAMERGING)),
    Claim("AdaMerging", "Tab. 1", "AdaMerging++ is above AdaMerging", "04",
          _beats("AdaMerging++ (paper)", "AdaMerging (paper)", ADAMERGING)),
    Claim("TATR", "Tab. 1", "TATR is above task arithmetic", "04", _beats("TATR", "Task Arithmetic", TATR)),
    Claim("TATR", "Tab. 1", "So is its zero-shot form", "04", _beats("TATR zero-shot", "Task Arithmetic", TATR)),
    Claim("TATR", "Tab. 1", "TATR improves TIES", "04", _beats("Ties-Merging & TATR", "Ties-Merging (code)", TATR)),
    Claim("TATR", "Tab. 1", "TATR improves AdaMerging++", "04",
          _beats("AdaMerging++ & TATR", "AdaMerging++ (paper)", TATR)),
    Claim("TATR", "Tab. 1", "TATR improves Representation Surgery", "04",
          _beats("Representation Surgery & TATR", "Representation Surgery (task-arithmetic)", TATR)),
    Claim("TATR", "Tab. 6", "Merging only what agrees, or only what disagrees, with the gradients ruins the model", "04",
          _signed_parts_harm),
    Claim("TATR", "Def. 1", "Merged task vectors conflict: adding one raises the others' losses", "02", _conflict),
)
