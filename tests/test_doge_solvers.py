"""DOGE's optimisation against references: autograd and torch.optim with a dense projector, dense linear algebra.

Every tensor's base is zero here, so that a merge is the update itself. All references are in fp64.
"""

import itertools

import pytest
import torch

from mergelib import merge
from mergelib.methods.doge.delta import Problem
from mergelib.methods.doge.delta import modification as doge_modification
from mergelib.methods.doge.reference import coefficients, dense_projector, in_sum, published, smallest
from mergelib.methods.doge.subspace import project_out, shared_subspace

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.filterwarnings("ignore:About this merge")]

ETA = 0.07
SHAPES = {"matrix": (12, 16), "tall": (20, 6), "row": (1, 10)}     # r / T: 4, 2 and none; r / 6: 2, 1 and none
CHOICES = list(itertools.product(["row", "tensor", "global"], ["universal", "per_task"]))


def random_taus(tasks=3, seed=0):
    """Name -> T x rows x columns; all tensors' task vectors have norms around 0.25, so lam is around 0.3 in each."""
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.randn(tasks, *shape, generator=draw) / (4 * (shape[0] * shape[1])**0.5)
            for name, shape in SHAPES.items()}


def modification(taus, **options):
    """What DOGE TA adds to sum_i lam_i tau_i, name -> rows x columns in fp64."""
    base = {name: torch.zeros(tau.shape[1:]) for name, tau in taus.items()}
    experts = [{name: tau[i] for name, tau in taus.items()} for i in range(len(taus["matrix"]))]
    merged = merge("doge-ta", base, experts, eta=ETA, dtype="float64", **options)
    return {name: merged[name].double() - weighted(tau.double()) for name, tau in taus.items()}


def assert_same(ours, reference, tolerance):
    """Every tensor of `ours` is within `tolerance` of the reference, relative to all of the reference."""
    size = sum(tensor.norm() ** 2 for tensor in reference.values()) ** 0.5
    assert size > 1e-3, "hardly anything was modified, so this comparison shows nothing"
    for name in reference:
        assert (ours[name] - reference[name]).norm() <= tolerance * size, name


def weighted(tau):
    return torch.einsum("t,trc->rc", coefficients(tau, ETA), tau)


# --- the subspace

@pytest.mark.parametrize("tasks, shape", [(3, (12, 16)), (3, (20, 6)), (4, (9, 9)), (1, (8, 5)), (2, (30, 30))])
@pytest.mark.parametrize("ratio", [1 / 6, 1 / 3, 0.7])
def test_shared_subspace_is_that_of_singular_value_decompositions(tasks, shape, ratio):
    tau = torch.randn(tasks, *shape, generator=torch.Generator().manual_seed(1)).double()
    basis, reference = shared_subspace(tau, ratio), dense_projector(tau, ratio)
    if tasks == 1:      # all of the one task's directions are equally shared, so any of them may be chosen
        inside = dense_projector(tau, 1)
        assert (inside @ basis).norm() < 1e-6 and basis.shape[1] == int(min(shape) * ratio)
        assert (basis.T @ basis - torch.eye(basis.shape[1])).norm() < 1e-6
    else:               # fp64, but through Gram matrices: the square root of 1e-16 at worst
        assert (project_out(torch.eye(len(basis)).double(), basis) - reference).norm() < 1e-6


def test_numerical_rank_counts_the_directions_that_lora_really_uses():
    draw = torch.Generator().manual_seed(2)
    tau = torch.randn(3, 20, 6, generator=draw).double() @ torch.randn(3, 6, 24, generator=draw).double()
    basis = shared_subspace(tau, 0.5, rank="numerical")
    assert (torch.eye(20) - basis @ basis.T - dense_projector(tau, 0.5, rank=6)).norm() < 1e-6
    assert shared_subspace(tau, 0.5, rank="matrix").shape == (20, 10) and basis.shape == (20, 3)


# --- the solvers

@pytest.mark.parametrize("inner_product, delta", CHOICES)
def test_adam_is_torch_s_adam_on_the_projected_gradient(inner_product, delta):
    taus = random_taus()
    ours = modification(taus, inner_product=inner_product, delta=delta, solver="adam", steps=60, lr=1e-3)
    deltas = published(taus, ETA, inner_product, delta, lambda tensors: torch.optim.Adam(tensors, lr=1e-3), steps=60)
    assert_same(ours, in_sum(taus, deltas, ETA), 1e-5)       # the merged weights are fp32: 1e-7 of numbers around 0.1


@pytest.mark.parametrize("inner_product, delta", CHOICES)
def test_gd_is_plain_gradient_descent(inner_product, delta):
    taus = random_taus()
    for direction in ("orthogonal", "along"):
        ours = modification(taus, inner_product=inner_product, delta=delta, solver="gd", steps=40, lr=0.5, direction=direction)
        deltas = published(taus, ETA, inner_product, delta, lambda tensors: torch.optim.SGD(tensors, lr=0.5), 40,
                           direction == "along")
        assert_same(ours, in_sum(taus, deltas, ETA), 1e-5)


def test_along_the_subspace_there_is_no_exact_solution():
    with pytest.raises(ValueError, match="fewer unknowns than equations.*solver='adam'"):
        modification(random_taus(), direction="along", solver="exact")


@pytest.mark.parametrize("direction", ["orthogonal", "free"])
@pytest.mark.parametrize("inner_product, delta", CHOICES)
def test_exact_is_the_smallest_solution(inner_product, delta, direction):
    taus = random_taus()
    ours = modification(taus, inner_product=inner_product, delta=delta, solver="exact", steps=200, direction=direction)
    # Conjugate gradients stop at a residual of 1e-6, these systems' condition adds a factor of ten to a hundred.
    assert_same(ours, smallest(taus, ETA, inner_product, delta, direction), 1e-4)


@pytest.mark.parametrize("damping", [0.01, 0.3])
@pytest.mark.parametrize("inner_product, delta", CHOICES)
def test_damping_adds_to_the_diagonal_of_the_normal_equations(inner_product, delta, damping):
    taus = random_taus()
    ours = modification(taus, inner_product=inner_product, delta=delta, solver="exact", steps=200, damping=damping)
    assert_same(ours, smallest(taus, ETA, inner_product, delta, damping=damping), 1e-4)


@pytest.mark.parametrize("mask", ["tau", "tau+delta"])
@pytest.mark.parametrize("delta", ["universal", "per_task"])
@pytest.mark.parametrize("inner_product", ["row", "global"])
def test_masks_meet_every_task_s_own_modification(inner_product, delta, mask):
    taus = random_taus()
    found = published(taus, ETA, inner_product, delta, lambda tensors: torch.optim.Adam(tensors, lr=1e-3), steps=60)
    moved = {name: tau.double() + found[name] for name, tau in taus.items()}
    judged = torch.cat([(taus if mask == "tau" else moved)[name].flatten(1) for name in taus], dim=1).abs()
    smallest_kept = judged.sort(dim=1, descending=True).values[:, int(0.3 * judged.shape[1])]
    masked = {}
    for name, tau in taus.items():
        kept = (tau if mask == "tau" else moved[name]).abs() >= smallest_kept[:, None, None]
        masked[name] = torch.einsum("t,trc->rc", coefficients(tau.double(), ETA), kept * moved[name])
    ours = modification(taus, inner_product=inner_product, delta=delta, mask=mask, solver="adam", steps=60, lr=1e-3)
    assert_same({name: ours[name] + weighted(tau.double()) for name, tau in taus.items()}, masked, 1e-5)


@pytest.mark.parametrize("inner_product", ["row", "tensor"])
def test_slopes_take_the_place_of_the_gradients(inner_product):
    """Eq. 4 before the losses' gradients are replaced by task vectors: the same equations with other left sides."""
    taus, slopes = random_taus(), random_taus(seed=1)
    for scale in (1, 1e-4):                                               # which does not matter
        how = Problem(eta=ETA, inner_product=inner_product, solver="exact", steps=200, dtype="float64")
        found = {name: doge_modification([(name, tau.double())], how, scale * slopes[name])[0] for name, tau in taus.items()}
        assert_same(in_sum(taus, found, ETA), smallest(taus, ETA, inner_product, "universal", slopes=slopes), 1e-4)


def test_uniform_coefficients_are_fitted_and_used():
    """With eta as every task's coefficient, delta closes the gap of that sum, and that sum is what is merged."""
    draw = torch.Generator().manual_seed(3)
    taus = torch.randn(2, 4, 30, generator=draw) * torch.tensor([1.0, 5.0])[:, None, None]      # norms that differ
    base, experts = {"w": torch.zeros(4, 30)}, [{"w": tau} for tau in taus]
    merged = merge("doge-ta", base, experts, eta=0.3, uniform=True, inner_product="row", rank_ratio=0, solver="exact",
                   steps=200)
    own, reached = (taus * taus).sum(dim=2), (taus * merged["w"]).sum(dim=2)
    assert (own - reached).abs().max() < 1e-3 * own.max()                # fp32 weights: 1e-7 of sums over 30 products
    nothing = merge("doge-ta", base, experts, eta=0.3, uniform=True, steps=0)
    torch.testing.assert_close(nothing["w"], 0.3 * taus.sum(dim=0))
