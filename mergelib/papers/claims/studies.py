"""Did the claims hold that the ablations, the unseen tasks, the corruptions and the landscapes make? Notebooks 06 to 11."""

from ... import experiments as ex
from ...tasks import load_task
from ...tasks.corruptions import CORRUPTIONS
from ..tables import published, published_average, published_cost
from .rules import DIRECTION, FAILS, HOLDS, JUDGED, Claim, gap_rule

SPLIT, _, REBUTTAL = ex.UNSEEN
COMPARED = ("Task Arithmetic", "Ties-Merging (paper)", "Ties-Merging (code)")
READINGS = ("code", "exact")
CORRELATION = 0.87      # of entropy and loss over all tasks, quoted beside AdaMerging Fig. 3b


def _both(values, digits=1):
    """A number for each of DOGE TA's readings, in words."""
    return ", ".join(f"{reading} {values[reading]:+.{digits}f}" for reading in READINGS)


def _halves(values):
    """Mean of a Series, by tensor, over the first and over the second half of the transformer's blocks."""
    block = values.index.str.extract(r"^(\d+)\.")[0].astype(float).to_numpy()
    means = values.groupby(block).mean()
    return means.iloc[:len(means) // 2].mean(), means.iloc[len(means) // 2:].mean()


def _cost(left_out, printed=True):
    """Judge that leaving out a part of DOGE TA costs accuracy, every variant with its own best coefficient.

    `printed`: whether the paper gives a number for it.
    """
    def judge(e):
        costs = {reading: e.ablation["nothing", reading] - e.ablation[left_out, "" if left_out == "delta" else reading]
                 for reading in READINGS}
        if not printed:
            return HOLDS if costs["code"] > 0 else FAILS, f"printed without a number; measured {_both(costs)}"
        published = published_cost(left_out)
        return gap_rule(costs["code"], published), f"published {published:.1f}; measured {_both(costs)}"
    return judge


def _task_wise(e):
    table = "doge_table9_lambda_vit_b32"
    published = published_average(table, "Task Arithmetic + task-wise lambda") - published_average(table, "Task Arithmetic")
    gap = e.forms["a lambda per task"] - e.forms["one lambda"]
    return gap_rule(gap, published), f"published +{published:.1f}; measured {gap:+.1f}"


def _best_rank(e):
    curve = ex.rank_table(e.rank_rows)[0]["code", "orthogonal"]
    verdict = HOLDS if 0.1 <= curve.idxmax() <= 0.3 else FAILS
    return verdict, f"best at {curve.idxmax():.2f}; all ratios within {curve.max() - curve.min():.1f} points (released code)"


def _explained(e):
    share = 100 * ex.explained(e.suite).loc[0.1:0.3]
    low, high = share.min(), share.max()
    verdict = HOLDS if low["bases"] > 40 else DIRECTION if high["bases"] > 40 else FAILS
    return verdict, "10 to 30 % of the directions explain " + ", ".join(
        f"{low[of]:.0f} to {high[of]:.0f} % of the {of}" for of in share)


def _along(e):
    curve, free = ex.rank_table(e.rank_rows)
    gaps = {reading: curve[reading, "along"].loc[1 / 6] - free[reading] for reading in READINGS}
    return (HOLDS if gaps["code"] > 0 else FAILS), f"at a sixth, over no subspace: {_both(gaps)}"


def _textures(e):
    table = ex.direction_table(e.rank_rows, "code")
    gains = table["orthogonal"] - table["free"]
    verdict = HOLDS if gains.idxmax() == "textures" and gains["housenumbers"] < 0 else (
        DIRECTION if gains["textures"] > 0 > gains["housenumbers"] else FAILS)
    return verdict, (f"textures {gains['textures']:+.1f}, housenumbers {gains['housenumbers']:+.1f}; "
                     f"largest gain {gains.idxmax()} {gains.max():+.1f}")


def _universal(e):
    gaps = {reading: e.per_task[reading, "universal"] - e.per_task[reading, "per_task"] for reading in READINGS}
    return (HOLDS if abs(gaps["code"]) < 0.5 else FAILS), f"universal over per task: {_both(gaps, 2)}"


def _gradients(e):
    gaps = {preset: e.gradients[f"DOGE TA with gradients ({preset})"] - e.first[f"DOGE TA ({preset})"]
            for preset in ex.DOGE}
    words = ", ".join(f"{preset} {gap:+.1f}" for preset, gap in gaps.items())
    return (HOLDS if gaps["code"] < -0.5 else FAILS), f"with gradients over with task vectors: {words}"


def _unseen(split, method, over, table):
    """Judge that one method beats another on the unseen tasks of a split, against the published gap."""
    def judge(e):
        names = [name.split(" (")[0] for name in (method, over)]
        published = _printed(table, names[0], split) - _printed(table, names[1], split)
        gap = e.unseen(split)[method] - e.unseen(split)[over]
        return gap_rule(gap, published), f"published +{published:.1f}; measured {gap:+.1f}"
    return judge


def _printed(table, method, split):
    """The printed mean of a method on the unseen tasks of a split: of the cells, since one printed average does not fit."""
    rows = published(table)
    unseen = rows["task"].isin([load_task(task).sibling for task in split])
    rows = rows[(rows["method"] == method) & (rows["setting"] == "unseen") & unseen]
    if len(rows) != len(split):
        raise ValueError(f"{table} has {len(rows)} scores of {method!r} on the unseen tasks, not {len(split)}.")
    return rows["value"].mean()


def _corrupted(method, others, published_name, published_over, table):
    """Judge that a method beats others under most corruptions, and by how much on average."""
    def judge(e):
        printed = [published_average(table, published_name, name) - published_average(table, published_over, name)
                   for name in CORRUPTIONS]
        gaps = e.corrupted.loc[method] - e.corrupted.loc[list(others)].max()
        wins, mean = (gaps > 0).sum(), gaps.mean()
        verdict = FAILS if wins <= 3 else gap_rule(mean, sum(printed) / len(printed))
        ahead = sum(gap > 0 for gap in printed)
        return verdict, (f"published ahead under {ahead} of {len(printed)}, by {sum(printed) / len(printed):.1f} on average; "
                         f"measured ahead under {wins}, by {mean:+.1f}")
    return judge


def _surer_is_better(e):
    loss = e.entropy[0].loc["all tasks"]["loss"]
    rising = (loss.diff().dropna() > 0).mean()
    verdict = HOLDS if rising == 1 else DIRECTION if rising > 0.5 else FAILS
    return verdict, f"the mean loss rises in {rising:.0%} of the steps from group to group"


def _correlation(e):
    rho = e.entropy[1]
    whole, tasks = rho["all tasks"], rho.drop("all tasks")
    verdict = HOLDS if whole >= CORRELATION / 2 else DIRECTION if whole > 0 else FAILS
    return verdict, f"published {CORRELATION}; measured {whole:.2f}, single tasks {tasks.min():.2f} to {tasks.max():.2f}"


def _paths_differ(e):
    rows = e.coefficients[e.coefficients["label"] == "Task-wise AdaMerging (paper)"]
    last = rows.loc[rows["step"] == rows["step"].max(), "lam"]
    spread = last.max() - last.min()
    verdict = HOLDS if spread > 0.1 else DIRECTION if spread > 0.03 else FAILS
    return verdict, f"all start at 0.30; after 500 steps {last.min():.2f} to {last.max():.2f}"


def _shallow_smaller(e):
    rows = e.coefficients[e.coefficients["label"] == "AdaMerging (paper)"]
    first, last = _halves(rows.set_index("tensor")["lam"])
    verdict = HOLDS if last - first > 0.02 else DIRECTION if last > first else FAILS
    return verdict, f"first blocks {first:.2f}, last {last:.2f}"


def _layer_wise(e):
    table = "adamerging_table1_vit_b32"
    published = published_average(table, "AdaMerging") - published_average(table, "Task-wise AdaMerging")
    gap = e.averages["AdaMerging (paper)"] - e.averages["Task-wise AdaMerging (paper)"]
    return gap_rule(gap, published), f"published +{published:.1f}; measured {gap:+.1f}"


def _best_corner(e):
    corner = e.corners.loc["all tasks"]
    words = ", ".join(f"{name} {value:.2f}" for name, value in corner.items())
    return (HOLDS if corner.idxmin() == "orthogonal" else FAILS), f"nats summed over eight tasks: {words}"


def _worse_corner(part):
    """Judge that a part of the other tasks' vectors raises a task's loss above that of the orthogonal part."""
    def judge(e):
        tasks = e.corners.drop("all tasks")
        share = (tasks[part] > tasks["orthogonal"]).mean()
        return (HOLDS if share == 1 else DIRECTION if share > 0.5 else FAILS), f"for {share:.0%} of the tasks"
    return judge


def _one_exemplar(e):
    one, most = e.exemplars.loc[1], e.exemplars.max()
    printed = published("tatr_table5_exemplars").query("method == 'TATR' and task == 'Avg'").set_index("setting")["value"]
    return (HOLDS if most - one <= 0.5 else FAILS), (f"published {printed['exemplars=1']:.1f} of {printed.max():.1f}; measured "
                                                     f"{one:.1f} of {most:.1f}")


def _small_ratio(e):
    best = e.ratios.idxmax()
    verdict = HOLDS if 0 < best < 0.01 else FAILS
    return verdict, f"best with {best:.1%} left out ({e.ratios[best]:.1f}); with none {e.ratios[0.0]:.1f}"


def _shallow_sensitive(e):
    first, last = _halves(e.sensitivity.mean(axis=1))
    return (HOLDS if first > last else FAILS), f"geometric means: first blocks 1e{first:.1f}, last 1e{last:.1f}"


def _bias_sensitive(e):
    means, bias = e.sensitivity.mean(axis=1), e.sensitivity.index.str.contains("bias")
    biases, weights = means[bias].mean(), means[~bias].mean()
    return (HOLDS if biases > weights else FAILS), f"geometric means: biases 1e{biases:.1f}, weights 1e{weights:.1f}"


def _digits_calm(e):
    digits = e.sensitivity[["digits", "housenumbers"]].mean()
    rest = e.sensitivity.drop(columns=digits.index).mean()
    verdict = HOLDS if digits.max() < rest.min() else DIRECTION if digits.mean() < rest.mean() else FAILS
    return verdict, f"geometric means: digits and housenumbers 1e{digits.mean():.1f}, the others 1e{rest.mean():.1f}"


DOGE5, DOGE8, DOGE53 = "doge_table5_unseen_vit_b32", "doge_table8_robustness_vit_b32", "doge_rebuttal_unseen_5_3"
CLAIMS = (
    Claim("DOGE", "Tab. 6", "Without delta much is lost", "07", _cost("delta")),
    Claim("DOGE", "Tab. 6", "Without the shared subspace less, but much", "07", _cost("shared subspace")),
    Claim("DOGE", "Tab. 6", "The task-aware lambda is needed, too", "07", _cost("task-aware lambda", printed=False)),
    Claim("DOGE", "Tab. 9", "Task-wise norm-based lambda improves task arithmetic", "07", _task_wise),
    Claim("DOGE", "rebuttal", "One delta for all tasks is as good as one each", "07", _universal),
    Claim("DOGE", "rebuttal", "True gradients are worse than task vectors", "07", _gradients),
    Claim("DOGE", "Fig. 4", "The best rank ratio is between 10 and 30 %", "08", _best_rank),
    Claim("DOGE", "Fig. 4", "There more than 40 % of the deviation is explained", "08", _explained),
    Claim("DOGE", "Fig. 4", "Updates along the subspace are slightly better than without one", "08", _along),
    Claim("DOGE", "Tab. 7", "Out of the subspace textures gain most and house numbers lose", "08", _textures),
    Claim("DOGE", "Tab. 5", "On unseen tasks DOGE TA is above task arithmetic", "06",
          _unseen(SPLIT, JUDGED, "Task Arithmetic", DOGE5)),
    Claim("DOGE", "Tab. 5", "On unseen tasks DOGE TA is above AdaMerging", "06",
          _unseen(SPLIT, JUDGED, "AdaMerging (paper)", DOGE5)),
    Claim("DOGE", "rebuttal", "So it is with five seen and three unseen tasks", "06",
          _unseen(REBUTTAL, JUDGED, "AdaMerging (paper)", DOGE53)),
    Claim("DOGE", "Tab. 8", "On corrupted pictures DOGE TA is above task arithmetic and TIES", "09",
          _corrupted(JUDGED, COMPARED, "DOGE TA", "Task Arithmetic", DOGE8)),
    Claim("DOGE", "Tab. 8", "On corrupted pictures DOGE AM is above AdaMerging", "09",
          _corrupted("DOGE AM (exact)", ("AdaMerging (paper)",), "DOGE AM", "AdaMerging", DOGE8)),
    Claim("AdaMerging", "Tab. 1", "Layer-wise coefficients are far above task-wise ones", "04", _layer_wise),
    Claim("AdaMerging", "Tab. 3", "On unseen tasks AdaMerging is above task arithmetic", "06",
          _unseen(SPLIT, "AdaMerging (paper)", "Task Arithmetic", "adamerging_table3_unseen_vit_b32")),
    Claim("AdaMerging", "Tab. 4", "On corrupted pictures AdaMerging is above task arithmetic", "09",
          _corrupted("AdaMerging (paper)", ("Task Arithmetic",), "AdaMerging", "Task Arithmetic",
                     "adamerging_table4_robustness_vit_b32")),
    Claim("AdaMerging", "Fig. 3a", "The surer a prediction, the smaller its loss", "10", _surer_is_better),
    Claim("AdaMerging", "Fig. 3b", "Entropy and loss are highly correlated", "10", _correlation),
    Claim("AdaMerging", "Fig. 4", "The learned coefficients of the tasks differ", "10", _paths_differ),
    Claim("AdaMerging", "Fig. 5", "Shallow layers get smaller coefficients than deep ones", "10", _shallow_smaller),
    Claim("TATR", "Fig. 2c", "In total the orthogonal part is the best to merge", "11", _best_corner),
    Claim("TATR", "Fig. 5", "The positive part raises every task's loss", "11", _worse_corner("positive")),
    Claim("TATR", "Fig. 5", "So does the negative part, which overshoots", "11", _worse_corner("negative")),
    Claim("TATR", "Fig. 3a", "One exemplar per task is nearly enough", "11", _one_exemplar),
    Claim("TATR", "Fig. 3b", "Leaving out less than 1 % is enough", "11", _small_ratio),
    Claim("TATR", "Tab. 4", "On unseen tasks TATR is above task arithmetic", "06",
          _unseen(SPLIT, "TATR", "Task Arithmetic", "tatr_table4_unseen")),
    Claim("TATR", "Fig. 4", "Shallow layers are more sensitive", "11", _shallow_sensitive),
    Claim("TATR", "Fig. 4", "Biases are more sensitive than weights", "11", _bias_sensitive),
    Claim("TATR", "Fig. 4", "Digits and house numbers are less sensitive", "11", _digits_calm),
)
