"""Is one method better than another? Average scores with intervals, and gaps between them by the paired bootstrap."""

import json

import numpy as np
import pandas as pd
from scipy import stats

from ..measure.scoring import unpack_hits
from .measuring import SCORES

TWICE = "A method occurs with several settings, subsets or splits; give one measurement of each."


def averages(table):
    """Average score (percent) of each label over tasks and fine-tuning seeds: label, accuracy, half, lowest, highest.

    `table`: rows of `measure`, of one or more seeds; a score is the accuracy, or rho where answers are numbers. `half` is that
    of a 95 % interval over the test pictures (normal approximation, tasks independent); lowest and highest are the averages of
    single seeds. Raises ValueError if a label was measured twice on one task and seed.
    """
    rows = []
    for name, hits in _hits(table).items():
        pictures, seeds = _by_picture(hits), _by_seed(hits)
        spread = sum(right.var() / len(right) for right in pictures.values()) ** 0.5 / len(pictures)
        rows.append({"label": name, "accuracy": np.mean(seeds), "half": 196 * spread, "lowest": min(seeds),
                     "highest": max(seeds)})
    return pd.DataFrame(rows)


def averages_by(table, *columns):
    """`averages` of the parts of a table that agree in some columns: label, accuracy, half, lowest, highest, the columns.

    A column that the table lacks is one of the methods' options (missing where a method has it not).
    """
    parts = _with_options(table, columns).groupby(list(columns), sort=False, dropna=False)
    return pd.concat([averages(part).assign(**dict(zip(columns, key))) for key, part in parts], ignore_index=True)


def paired_gaps(table, pairs, published=None, draws=2000, seed=0):
    """Gaps of the average score (points) of pairs of labels: DataFrame of method, over, gap, low, high, lowest, highest.

    `table`: rows of `measure`, of one or more fine-tuning seeds; `pairs`: (method, over) labels. Each draw resamples every
    task's pictures, the same ones for both methods and all seeds; low and high are the 2.5 and 97.5 % quantiles. Lowest and
    highest are the gaps of single seeds. With `published` (label -> printed average, a function) there is also the gap printed.
    Raises ValueError unless both methods were measured once on the same tasks and seeds.
    """
    hits = _hits(table)
    rows = []
    for method, over in pairs:
        if hits[method].keys() != hits[over].keys():
            raise ValueError(f"{method} and {over} were not measured on the same tasks and seeds.")
        seeds = np.subtract(*(_by_seed(hits[name]) for name in (method, over)))
        drawn = resampled(table[table["label"].isin((method, over))], draws=draws, seed=seed, over_seeds=False)
        gap, low, high = interval(drawn[method] - drawn[over])
        printed = {} if published is None else {
            "published": published(method) - published(over)}
        rows.append({"method": method, "over": over, "gap": gap, "low": low, "high": high, "lowest": min(seeds),
                     "highest": max(seeds), **printed})
    return pd.DataFrame(rows)


def resampled(table, *columns, draws=2000, seed=0, over_seeds=True):
    """Average scores (percent) of a table's parts, by some columns (default label), as measured and as they might have been.

    A column of the DataFrame is a part. Row 0 is as measured; each further row draws every task's pictures anew, the same ones
    for all parts, and also the fine-tuning seeds where there are three (unless not `over_seeds`). So any number that is made
    of the columns has an `interval`. Parts that were not measured on every seed are left out. Columns as for
    `averages_by`; an option that a method has not is 0.
    """
    columns = list(columns or ["label"])
    rows = _with_options(table[table["metric"].isin(SCORES)].reset_index(drop=True), columns)
    rows[columns] = rows[columns].fillna(0)
    if rows.duplicated([*columns, "task", "seed"]).any():
        raise ValueError(TWICE)
    rng = np.random.default_rng(seed)
    by_seed = _drawn_scores(rows, rng, draws).groupby([rows[name] for name in ("seed", *columns)], sort=False).mean()
    seeds = by_seed.index.unique("seed")
    shares = _shares(rng, len(seeds), draws if over_seeds and len(seeds) > 2 else 0)
    shares = np.broadcast_to(shares, (draws + 1, len(seeds)))
    return sum(by_seed.xs(name, level="seed") * share for name, share in zip(seeds, shares.T)).dropna().T.sort_index(axis=1)


def _drawn_scores(rows, rng, draws):
    """The score (percent) of each row of the ledger, as measured and on `draws` resamples of its task's pictures."""
    scores = np.empty((len(rows), draws + 1))
    for _, part in rows.groupby("task"):
        right = np.array([unpack_hits(hits, int(n)) for hits, n in zip(part["hits"], part["count"])], dtype=float)
        scores[part.index] = 100 * right @ _shares(rng, right.shape[1], draws).T
    return pd.DataFrame(scores)


def interval(drawn):
    """(as measured, low, high) of a number that was drawn as `resampled` does: low and high are its 95 % interval.

    Rounded, so that a machine that sums in another order prints the same digits.
    """
    found = np.array([drawn.iloc[0], *np.quantile(drawn.iloc[1:], (0.025, 0.975))])
    return tuple((found.round(9) + 0).tolist())         # + 0: no -0


def _shares(rng, count, draws):
    """The share of each of `count` things in a whole: equal in row 0, then as often as each is drawn with replacement."""
    drawn = rng.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
    times = np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count)
    return np.concatenate([np.ones((1, count)), times]) / count


def order_kept(table):
    """Whether methods stand in the published order: Kendall's tau of measured and published averages within each group.

    `table`: columns group, accuracy, published (nan where a paper prints nothing, and the row does not count). Returns
    DataFrame of group, methods, tau (1: the same order, -1: the opposite one, 0: no relation) and p, that of a chance at
    least as strong.
    """
    rows = []
    for name, part in table.dropna(subset=["published"]).groupby("group", sort=False):
        if len(part) > 2:
            found = stats.kendalltau(part["accuracy"], part["published"])
            rows.append({"group": name, "methods": len(part), "tau": found.statistic, "p": found.pvalue})
    return pd.DataFrame(rows)


def _with_options(table, columns):
    """A table with some columns, of which those that it lacks are the methods' options."""
    missing = [name for name in columns if name not in table]
    options = table["options"].map(json.loads) if missing else ()
    return table.assign(**{name: [given.get(name) for given in options] for name in missing})


def _hits(table):
    """Per label: (task, seed) -> what each picture or answer contributes; ValueError if a label was measured twice."""
    rows = table[table["metric"].isin(SCORES)]
    if rows.duplicated(["label", "task", "seed"]).any():
        raise ValueError(TWICE)
    return {name: {(row.task, row.seed): unpack_hits(row.hits, int(row.n)).astype(float)
                   for row in part[["task", "seed", "hits", "count"]].rename(columns={"count": "n"}).itertuples()}
            for name, part in rows.groupby("label", sort=False)}


def _by_picture(hits):
    """Task -> value of each picture, averaged over seeds."""
    return {task: np.mean([right for (name, _), right in hits.items() if name == task], axis=0)
            for task in sorted({task for task, _ in hits})}


def _by_seed(hits):
    """The average over tasks (percent) of each seed."""
    return [100 * np.mean([right.mean() for (_, name), right in hits.items() if name == seed])
            for seed in sorted({seed for _, seed in hits})]
