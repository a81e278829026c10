"""Are the claims about entropy, learned coefficients and the trust region judged by their rules? On made-up measurements."""

import numpy as np
import pandas as pd
import pytest
from judging import certain, judge

from mergelib import experiments as ex
from mergelib.papers.claims import CONTRADICTED, INCONCLUSIVE, REPRODUCED, SMALLER, Evidence


def entropy(losses=(0.1,), rho=0.5, count=1000):
    """Loss by group and correlations, as `entropy_and_loss` gives them."""
    index = pd.MultiIndex.from_product([["all tasks"], range(len(losses))], names=["task", "group"])
    return pd.DataFrame({"loss": losses, "count": count}, index=index), pd.Series({"a": 0.9, "b": 0.8, "all tasks": rho})


@pytest.mark.parametrize("losses, verdict", [([0.1, 0.2, 0.3], REPRODUCED), ([0.1, 0.3, 0.2, 0.4], INCONCLUSIVE),
                                             ([0.4, 0.3, 0.2], CONTRADICTED)])
def test_a_surer_prediction_has_a_smaller_loss(losses, verdict):
    assert judge("The surer a prediction", entropy=entropy(losses))[0] == verdict


@pytest.mark.parametrize("rho, count, verdict", [(0.7, 1000, REPRODUCED), (0.54, 4800, SMALLER), (0.2, 20, INCONCLUSIVE),
                                                 (-0.2, 1000, CONTRADICTED)])
def test_a_correlation_is_high_from_seven_tenths_on(rho, count, verdict):
    assert judge("Entropy and loss", entropy=entropy(rho=rho, count=count))[0] == verdict


@pytest.mark.parametrize("spread, verdict", [(0.2, REPRODUCED), (0.05, INCONCLUSIVE), (0.01, CONTRADICTED)])
def test_coefficients_differ_after_the_last_step(spread, verdict):
    rows = pd.DataFrame({"label": "Task-wise AdaMerging (paper)", "task": ["a", "b"] * 2, "step": [0, 0, 500, 500],
                         "lam": [0.0, 9.0, 0.3, 0.3 + spread]})
    assert judge("The learned coefficients", coefficients=rows)[0] == verdict


def by_block(first, last):
    """A value for each of two tensors in four blocks and for one outside: `first` in the first two, `last` in the last two."""
    names = [f"{block}.{kind}" for block in range(4) for kind in ("attn.in_proj_bias", "mlp.c_fc")]
    return pd.Series([first] * 4 + [last] * 4 + [99.0], [*names, "proj"])


@pytest.mark.parametrize("first, last, verdict", [(0.2, 0.3, REPRODUCED), (0.3, 0.31, INCONCLUSIVE), (0.3, 0.2, CONTRADICTED)])
def test_shallow_layers_have_smaller_coefficients(first, last, verdict):
    rows = by_block(first, last).rename("lam").rename_axis("tensor").reset_index().assign(label="AdaMerging (paper)")
    assert judge("Shallow layers get smaller", coefficients=rows)[0] == verdict


@pytest.mark.parametrize("first, last, verdict", [(-5.0, -6.0, REPRODUCED), (-6.0, -5.0, CONTRADICTED)])
def test_shallow_layers_are_more_sensitive(first, last, verdict):
    assert judge("Shallow layers are more", sensitivity=by_block(first, last).to_frame("digits"))[0] == verdict


def test_biases_are_compared_with_weights():
    table = pd.DataFrame({"digits": [-4.0, -5.0], "signs": [-4.0, -5.0]}, index=["0.attn.in_proj_bias", "0.mlp.c_fc"])
    assert judge("Biases are more", sensitivity=table)[0] == REPRODUCED
    assert judge("Biases are more", sensitivity=table.iloc[::-1].set_axis(table.index))[0] == CONTRADICTED


@pytest.mark.parametrize("digits, houses, verdict", [(-8, -7, REPRODUCED), (-8, -5, INCONCLUSIVE), (-5, -5, CONTRADICTED)])
def test_digits_are_calm(digits, houses, verdict):
    table = pd.DataFrame({"digits": [digits], "housenumbers": [houses], "signs": [-6.0], "scenes": [-6.0]})
    assert judge("Digits and house numbers are less", sensitivity=table)[0] == verdict


def corners(**rows):
    return pd.DataFrame(rows, index=["orthogonal", "positive", "negative"]).T


def test_corners_of_the_landscape():
    losses = {"a": [1.0, 2.0, 0.5], "b": [1.0, 1.5, 1.2], "all tasks": [2.0, 3.5, 1.7]}
    assert judge("The positive part", corners=corners(**losses))[0] == REPRODUCED
    assert judge("The negative part", corners=corners(**losses))[0] == CONTRADICTED            # half of the tasks
    assert judge("In total the orthogonal", corners=corners(**losses))[0] == CONTRADICTED
    losses["all tasks"] = [1.5, 3.5, 1.7]
    assert judge("In total the orthogonal", corners=corners(**losses))[0] == REPRODUCED


def test_the_orthogonal_part_must_be_the_best_at_every_mask_ratio():
    losses = pd.DataFrame({"orthogonal": [22, 30], "positive": [36, 48], "negative": [28, 24]}, index=[0.01, 0.2])
    found, words = judge("The orthogonal part is the best", masked=losses)
    assert found == CONTRADICTED and "20% of the entries counted: negative" in words
    assert judge("The orthogonal part is the best", masked=losses.assign(negative=[28, 31]))[0] == REPRODUCED


@pytest.mark.parametrize("gap, verdict", [(1.7, REPRODUCED), (1.5, SMALLER), (-0.2, CONTRADICTED)])
def test_one_exemplar_is_enough_only_if_tatr_gains_something(gap, verdict):
    evidence = {"exemplars": certain({1: 50 + gap, 128: 50 + gap}), "ratios": certain({0.0: 50, 0.005: 51})}
    found, words = judge("One exemplar", **evidence)                        # published 72.3 over 69.1: half is 1.6
    assert found == verdict and "published +3.2" in words


def test_the_best_fraction_left_out_is_small_but_not_nothing():
    drawn = certain({0.0: 50.0, 0.005: 51.0, 0.05: 40.0})
    assert judge("Leaving out less", ratios=drawn)[0] == REPRODUCED
    assert judge("Leaving out less", ratios=drawn + [2, 0, 0])[0] == CONTRADICTED
    sometimes_none = drawn.copy()
    sometimes_none.iloc[1, 0] = 52
    assert judge("Leaving out less", ratios=sometimes_none)[0] == INCONCLUSIVE


def test_evidence_is_logarithmic_where_means_are_geometric(monkeypatch):
    monkeypatch.setattr(ex, "layer_sensitivity", lambda suite, **how: pd.DataFrame({"digits": [1e-5, 1e-7]}))
    assert np.allclose(Evidence(None).sensitivity["digits"], [-5, -7])
