"""Are gaps between methods told from chance? The paired bootstrap against what theory says of it."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from mergelib.experiments import averages, averages_by, interval, order_kept, paired_gaps, resampled
from mergelib.measure.answers import rank_shares
from mergelib.measure.scoring import pack_hits

N = 600


def rows(label, right, seed=0):
    """Ledger rows of one method: `right` maps tasks to booleans."""
    return [{"label": label, "metric": "accuracy", "task": task, "seed": str(seed), "count": len(bits), "hits": pack_hits(bits)}
            for task, bits in right.items()]


def answers(accuracy, seed):
    """Two tasks' answers, right with this probability."""
    draw = np.random.default_rng(seed)
    return {task: draw.random(N) < accuracy for task in ("digits", "signs")}


def gap(*tables):
    return paired_gaps(pd.DataFrame(sum(tables, [])), [("ours", "theirs")]).iloc[0]


def test_averages_have_the_interval_of_their_pictures():
    right = {"digits": np.arange(400) < 200, "signs": np.arange(400) < 320}
    (found,) = averages(pd.DataFrame(rows("ours", right))).to_dict("records")
    half = 196 * ((0.5 * 0.5 + 0.8 * 0.2) / 400) ** 0.5 / 2          # variances of independent tasks add
    assert found == {"label": "ours", "accuracy": pytest.approx(65), "half": pytest.approx(half),
                     "lowest": pytest.approx(65), "highest": pytest.approx(65)}


def test_seeds_measured_on_the_same_pictures_do_not_narrow_the_interval():
    right = answers(0.7, 0)
    one, = averages(pd.DataFrame(rows("ours", right))).to_dict("records")
    two, = averages(pd.DataFrame(rows("ours", right) + rows("ours", right, seed=1))).to_dict("records")
    assert two == one
    other = answers(0.5, 1)
    both, = averages(pd.DataFrame(rows("ours", right) + rows("ours", other, seed=1))).to_dict("records")
    low, high = (100 * np.mean([answer[task] for task in answer]) for answer in (other, right))
    assert (both["lowest"], both["highest"], both["accuracy"]) == pytest.approx((low, high, (low + high) / 2))


def test_averages_are_taken_by_columns_and_by_options():
    table = pd.DataFrame([{**row, "options": json.dumps({"eta": eta}), "reading": reading}
                          for eta, reading, right in ((0.1, "code", 100), (0.2, "code", 200), (0.2, "exact", 300))
                          for row in rows("ours", {"digits": np.arange(400) < right})])
    found = averages_by(table, "eta", "reading")
    assert found[["eta", "reading", "accuracy"]].values.tolist() == [[0.1, "code", 25], [0.2, "code", 50], [0.2, "exact", 75]]
    without = averages_by(table[table["reading"] == "exact"], "direction")          # an option that the method was not given
    assert len(without) == 1 and without["direction"].isna().all()
    with pytest.raises(ValueError, match="several settings"):
        averages_by(table, "reading")


def test_a_method_is_no_better_than_itself():
    same = answers(0.6, 0)
    found = gap(rows("ours", same), rows("theirs", same))
    assert found["gap"] == found["low"] == found["high"] == 0


def test_the_interval_is_that_of_the_paired_differences():
    ours, theirs = answers(0.7, 0), answers(0.6, 1)
    found = gap(rows("ours", ours), rows("theirs", theirs))
    differences = [ours[task].astype(float) - theirs[task] for task in ours]
    assert found["gap"] == pytest.approx(100 * np.mean(differences))
    half = 100 * 1.96 * np.sqrt(sum(d.var() / N for d in differences)) / 2
    assert found["high"] - found["gap"] == pytest.approx(half, rel=0.1)         # 2000 draws know a quantile to about 5 %
    assert found["gap"] - found["low"] == pytest.approx(half, rel=0.1)


def test_pairing_narrows_the_interval():
    theirs = answers(0.6, 1)
    ours = {task: bits | (np.arange(N) % 20 == 0) for task, bits in theirs.items()}         # a few more are right
    paired = gap(rows("ours", ours), rows("theirs", theirs))
    unpaired = gap(rows("ours", {task: np.roll(bits, 100) for task, bits in ours.items()}), rows("theirs", theirs))
    assert paired["low"] > 0 > unpaired["low"] and paired["gap"] == pytest.approx(unpaired["gap"])


def graded(label, found, wanted):
    """Ledger rows of one method's printed numbers."""
    return [{"label": label, "metric": "spearman", "task": "similarity", "seed": "0", "count": len(found),
             "hits": pack_hits(rank_shares(found, wanted))}]


def test_where_answers_are_numbers_their_rank_correlation_counts():
    rng, right = np.random.default_rng(0), answers(0.7, 0)
    wanted = rng.integers(11, size=N) / 2
    near, far = (np.clip(wanted + rng.integers(-step, step + 1, size=N) / 2, 0, 5) for step in (2, 5))
    ours, theirs = (spearmanr(found, wanted).statistic for found in (near, far))
    (mean,) = averages(pd.DataFrame(rows("ours", right) + graded("ours", near, wanted)))["accuracy"]
    assert mean == pytest.approx(100 * (sum(bits.mean() for bits in right.values()) + ours) / 3, abs=0.01)     # 16 bits each
    found = gap(graded("ours", near, wanted), graded("theirs", far, wanted))
    assert found["gap"] == pytest.approx(100 * (ours - theirs), abs=0.02)
    drawn = [spearmanr(near[rows], wanted[rows]).statistic - spearmanr(far[rows], wanted[rows]).statistic
             for rows in rng.integers(N, size=(1000, N))]
    assert [found["low"], found["high"]] == pytest.approx(100 * np.quantile(drawn, (0.025, 0.975)), abs=0.4)    # of a gap of 25


def test_what_cannot_be_paired_is_refused():
    ours, theirs = answers(0.7, 0), answers(0.6, 1)
    with pytest.raises(ValueError, match="ours and theirs were not measured on the same tasks and seeds"):
        gap(rows("ours", ours), rows("theirs", {"digits": theirs["digits"]}))
    with pytest.raises(ValueError, match="not measured on the same"):
        gap(rows("ours", ours), rows("theirs", theirs, seed=1))
    with pytest.raises(ValueError, match="several settings"):
        gap(rows("ours", ours), rows("ours", ours), rows("theirs", theirs))
    with pytest.raises(ValueError, match="not kept for this measurement.*recompute=True"):
        gap([row | {"hits": ""} for row in rows("ours", ours)], rows("theirs", theirs))


def test_seeds_are_averaged_picture_by_picture():
    first, second, theirs = answers(0.7, 0), answers(0.7, 1), answers(0.6, 2)
    found = gap(rows("ours", first), rows("ours", second, seed=1), rows("theirs", theirs), rows("theirs", theirs, seed=1))
    mean = np.mean([(first[task].astype(float) + second[task]) / 2 - theirs[task] for task in theirs])
    assert found["gap"] == pytest.approx(100 * mean)
    single = sorted(gap(rows("ours", ours), rows("theirs", theirs))["gap"] for ours in (first, second))
    assert [found["lowest"], found["highest"]] == pytest.approx(single)


def test_the_order_is_compared_within_groups_and_where_something_is_published():
    table = pd.DataFrame({"group": ["a"] * 4 + ["b"] * 3 + ["c"] * 2, "accuracy": [1.0, 2, 3, 9, 5, 4, 3, 1, 2],
                          "published": [10.0, 20, 30, np.nan, 1, 2, 3, 1, 2]})
    found = order_kept(table).set_index("group")
    assert found["tau"].tolist() == [1.0, -1.0] and found["methods"].tolist() == [3, 3]          # two methods are no order


# --- draws of everything at once --------------------------------------------------------------------------------------

def table(*parts):
    return pd.DataFrame(sum(parts, []))


def test_what_is_resampled_is_measured_first_and_has_the_interval_of_the_paired_gaps():
    measured = table(rows("ours", answers(0.7, 0)), rows("theirs", answers(0.6, 1)))
    drawn, found = resampled(measured), paired_gaps(measured, [("ours", "theirs")]).iloc[0]
    assert drawn.iloc[0].to_dict() == pytest.approx(averages(measured).set_index("label")["accuracy"].to_dict())
    assert interval(drawn["ours"] - drawn["theirs"]) == pytest.approx((found["gap"], found["low"], found["high"]))


def test_three_seeds_are_drawn_too_and_widen_the_interval_to_their_range():
    seeds = [rows("ours", answers(accuracy, 0), seed) for seed, accuracy in enumerate((0.5, 0.6, 0.7))]
    gap, low, high = interval(resampled(table(*seeds))["ours"])
    _, narrow, wide = interval(resampled(table(*seeds), over_seeds=False)["ours"])
    assert gap == pytest.approx(60, abs=2) and low < 54 < narrow < wide < 66 < high
    two = resampled(table(*seeds[:2]))
    assert two.equals(resampled(table(*seeds[:2]), over_seeds=False))


def test_methods_that_one_seed_lacks_are_left_out():
    right = answers(0.7, 0)
    drawn = resampled(table(rows("ours", right), rows("ours", right, seed=1), rows("theirs", right)))
    assert list(drawn) == ["ours"]


def test_parts_are_resampled_by_columns_and_options_with_the_same_pictures():
    right = answers(0.7, 0)
    measured = table(*([{**row, "options": json.dumps(options)} for row in rows("ours", right)]
                       for options in ({"eta": 0.1}, {"eta": 0.2}, {})))
    drawn = resampled(measured, "label", "eta")
    assert drawn.columns.tolist() == [("ours", 0.0), ("ours", 0.1), ("ours", 0.2)]
    assert np.allclose(drawn["ours", 0.1], drawn["ours", 0.0]) and drawn["ours", 0.1].std() > 0
    with pytest.raises(ValueError, match="several settings"):
        resampled(measured)
