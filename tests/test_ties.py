"""TIES: trim over the whole vector, elect signs, merge those that agree; by hand and against a flat reference."""

import pytest
import torch
from conftest import SHAPES, random_checkpoints

from mergelib import merge
from mergelib.methods.ties import bit_counts, global_thresholds, magnitude_threshold


def states(base, *taus):
    """Base and experts of two tensors, a (3 numbers) and b (the rest), from flat lists."""
    def split(numbers):
        return {"a": torch.tensor(numbers[:3]), "b": torch.tensor(numbers[3:])}
    return split(base), [split([x + y for x, y in zip(base, tau)]) for tau in taus]


def flat(state):
    return torch.cat([state["a"], state["b"]]).tolist()


ONES = [1.0, 1.0, 1.0, 1.0, 1.0]
# density 0.4 of 5 entries keeps floor(0.4 * 5) + 1 = 3 per expert:          trimmed
BY_HAND = states(ONES, [4.0, -3.0, 1.0, 2.0, 0.5],                       #     4 -3  0  2  0
                       [-1.0, -2.0, 5.0, -6.0, 0.25],                    #     0 -2  5 -6  0
                       [3.0, 7.0, -4.0, 1.0, 2.0])                       #     3  7 -4  0  0
# Sums 7 2 1 -4 0, elected signs + + + - and, for the last, the majority +.


@pytest.mark.parametrize("combine, merged", [("mean", [3.5, 7.0, 5.0, -6.0, 0.0]), ("sum", [7.0, 7.0, 5.0, -6.0, 0.0])])
@pytest.mark.parametrize("lam", [1.0, 0.5])
def test_three_experts_by_hand(combine, merged, lam):
    result = merge("ties", *BY_HAND, density=0.4, combine=combine, lam=lam)
    assert flat(result) == [1 + lam * x for x in merged]


def test_presets_are_mean_at_one_and_sum_at_three_tenths():
    def same(preset, **options):
        ours, theirs = merge("ties", *BY_HAND, preset=preset), merge("ties", *BY_HAND, **options)
        return flat(ours) == flat(theirs)
    assert same("paper", combine="mean", lam=1.0, density=0.2) and same(None, combine="mean", lam=1.0)
    assert same("code", combine="sum", lam=0.3, density=0.2) and not same("code", combine="mean", lam=1.0)


@pytest.mark.parametrize("majority", [1.0, -1.0])
def test_a_sum_of_zero_takes_the_majority_s_sign(majority):
    tied = [2.0, majority * 3, majority * 3, majority, majority], [-2.0, majority * 3, majority, majority, majority]
    result = merge("ties", *states(ONES, *tied), density=1, combine="sum", lam=1.0)
    assert flat(result)[0] == 1 + 2 * majority


def test_without_a_majority_a_sum_of_zero_adds_nothing():
    opposed = [2.0, 3.0, -3.0, 1.0, -1.0], [-2.0, 3.0, -3.0, 1.0, -1.0]
    assert flat(merge("ties", *states(ONES, *opposed), density=1))[0] == 1


def test_trimmed_entries_neither_vote_nor_count():
    # The first entry's small -1s (trimmed) would outvote 1.5, and would divide it by three.
    experts = [1.5, 1.5, 0.0, 0.0, 0.0], [-1.0, 9.0, 9.0, 9.0, 0.0], [-1.0, 9.0, 9.0, 9.0, 0.0]
    assert flat(merge("ties", *states(ONES, *experts), density=0.4))[0] == 2.5


@pytest.mark.parametrize("density", [0.05, 0.1, 0.2, 0.3, 0.5, 0.999])
def test_floor_d_density_plus_one_entries_survive(density):
    base, experts = random_checkpoints(tasks=1)
    size = sum(base[name].numel() for name in SHAPES)
    merged = merge("ties", base, experts, density=density)
    assert sum((merged[name] != base[name]).sum().item() for name in SHAPES) == int(size * density) + 1


def test_density_one_keeps_everything_and_equal_magnitudes_stay_together():
    base, experts = random_checkpoints(tasks=1)
    whole, expert = merge("ties", base, experts, density=1), experts["task-0"]
    for name in SHAPES:
        torch.testing.assert_close(whole[name], expert[name], rtol=0, atol=2e-8)     # base + (expert - base), rounded
    alike = states(ONES, [2.0, -2.0, 2.0, 2.0, -2.0])
    assert flat(merge("ties", *alike, density=0.2)) == [3, -1, 3, 3, -1]


def test_the_threshold_is_that_of_the_whole_vector():
    base, experts = states(ONES, [1.0, 2.0, 3.0, 100.0, 200.0])
    merged = merge("ties", base, experts, density=0.2)
    assert torch.equal(merged["a"], base["a"]) and torch.equal(merged["b"], experts[0]["b"])


@pytest.mark.parametrize("combine", ["mean", "sum"])
@pytest.mark.parametrize("density", [0.2, 0.7])
def test_equals_the_algorithm_on_one_flat_vector(base, experts, combine, density):
    def vector(state):
        return torch.cat([state[name].flatten() for name in SHAPES])
    taus = torch.stack([vector(expert) - vector(base) for expert in experts.values()])
    kept = int(density * taus.shape[1]) + 1
    for tau in taus:
        tau[tau.abs() < tau.abs().sort(descending=True).values[kept - 1]] = 0
    sign = taus.sum(dim=0).sign()
    sign[sign == 0] = sign.sum().sign()
    agreeing = torch.where(taus.sign() == sign, taus, torch.nan)     # entries trimmed by all get nan and then 0
    combined = (agreeing.nanmean(dim=0) if combine == "mean" else agreeing.nansum(dim=0)).nan_to_num(0)
    merged = vector(merge("ties", base, experts, combine=combine, density=density, lam=0.6))
    torch.testing.assert_close(merged, vector(base) + 0.6 * combined, rtol=0, atol=1e-7)     # fp32 around 0.1


@pytest.mark.parametrize("density", [0, -0.2, 1.5, 20])
def test_a_density_outside_0_to_1_is_refused(base, experts, density):
    with pytest.raises(ValueError, match="density is .*it can be a number above 0 and at most 1"):
        merge("ties", base, experts, density=density)


def test_an_unknown_combination_is_refused_by_name(base, experts):
    with pytest.raises(ValueError, match="combine is 'max'; it can be 'mean', 'sum'"):
        merge("ties", base, experts, combine="max")


# --- the threshold of a whole that is never held

@pytest.mark.parametrize("density", [0.001, 0.2, 0.5, 0.999, 1.0])
def test_a_threshold_over_many_tensors_is_that_of_all_together(density):
    draw = torch.Generator().manual_seed(0)
    parts = [torch.randn(3, n, generator=draw) * 10.0**-i for i, n in enumerate((1, 50, 1000, 7))]
    parts += [torch.zeros(3, 40), torch.full((3, 60), 0.125), torch.full((3, 2), 1e-40), torch.full((3, 1), torch.inf)]

    def tensors():
        return ((f"w{i}", None, part) for i, part in enumerate(parts))
    whole = torch.cat(parts, dim=1)
    expected = torch.stack([magnitude_threshold(row, density) for row in whole])
    assert torch.equal(global_thresholds(tensors, density), expected)


def test_counting_in_pieces_counts_the_same():
    values = torch.randn(2, 1000, generator=torch.Generator().manual_seed(1))
    whole = bit_counts(values)
    assert torch.equal(bit_counts(values, chunk=7), whole) and whole.sum() == 2000
