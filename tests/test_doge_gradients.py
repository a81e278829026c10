"""DOGE before its approximation: with the losses' gradients on exemplars where the paper puts the task vectors."""

import pytest
import torch
from conftest import MATRICES

from mergelib import merge
from mergelib.adapt.gradients import loss_gradient
from mergelib.merging.work import stream
from mergelib.methods.doge.delta import Problem, doge

# the gradients of random towers hardly match any inner product
LARGE = pytest.mark.filterwarnings("ignore:.*the modification is .* as large as the task vectors")


def with_gradients(suite, **options):
    return merge("doge-gradients", suite.base, suite.experts, preset="exact", suite=suite, examples=6, eta=0.05, **options)


def doge_with_slopes(suite, name, **options):
    """DOGE TA of one tensor with the losses' gradients where it has task vectors."""
    slopes = torch.stack([loss_gradient(suite.base, suite, task, "train", 6)[name] for task in suite.tasks])
    (_, theta_0, taus), = stream(suite.base, suite.experts, [name])
    return doge(theta_0, taus, Problem(eta=0.05, solver="exact", steps=32, **options), slopes=slopes)


@LARGE
@pytest.mark.parametrize("inner_product", ["row", "tensor"])
def test_with_gradients_doge_is_doge_with_these_slopes(labelled, inner_product):
    merged = with_gradients(labelled, inner_product=inner_product)
    approximated = merge("doge-ta", labelled.base, labelled.experts, preset="exact", eta=0.05, inner_product=inner_product)
    changed = {name for name in labelled.base if not torch.equal(merged[name], labelled.base[name])}
    assert {*MATRICES} < changed and len(changed) == 4
    for name in MATRICES:       # conjugate gradients enlarge roundings of 1e-8
        expected = doge_with_slopes(labelled, name, inner_product=inner_product)
        torch.testing.assert_close(merged[name], expected, rtol=0, atol=1e-5)
        assert (merged[name] - approximated[name]).abs().max() > 1e-3


@pytest.mark.parametrize("preset", ["paper", "code"])
def test_with_gradients_doge_has_the_readings_of_doge(labelled, preset):
    merged = merge("doge-gradients", labelled.base, labelled.experts, preset=preset, suite=labelled, examples=2, steps=3)
    start = merge("doge-ta", labelled.base, labelled.experts, preset=preset, steps=0)
    differences = [(merged[name] - start[name]).abs().max().item() for name in MATRICES]
    assert 0 < min(differences) and max(differences) < 0.1         # three small steps from where both start


def test_with_gradients_doge_needs_exemplars_and_products_of_single_tensors(labelled):
    with pytest.raises(ValueError, match="DOGE TA with gradients needs labelled exemplars. Give suite="):
        merge("doge-gradients", labelled.base, labelled.experts)
    with pytest.raises(ValueError, match="With gradients inner_product can be"):
        with_gradients(labelled, inner_product="global")
    with pytest.raises(ValueError, match="mask 'none' or 'tau'"):
        with_gradients(labelled, mask="tau+delta")
