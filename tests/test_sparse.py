"""DARE, TALL and Consensus masks, PCB: by hand, against straightforward references, and by their statistics."""

import pytest
import torch
from conftest import SHAPES, random_checkpoints

from mergelib import merge
from mergelib.methods.sparse import dare_vectors, pcb_scores, tall_compression, tall_masks


def vector(state):
    return torch.cat([state[name].flatten() for name in SHAPES])


# --- DARE

def test_dare_drops_the_fraction_asked_for_and_scales_the_rest_up():
    taus = torch.ones(2, 200, 500)
    kept = dare_vectors(taus, ("a", "b"), drop=0.8)
    assert set(kept.unique().tolist()) == {0.0, 5.0}
    # 1e5 coins with p = 0.2: their mean strays by 0.00126 (one standard deviation), here five are allowed
    assert ((kept > 0).float().mean(dim=(1, 2)) - 0.2).abs().max() < 0.0063


def test_dare_s_mean_over_seeds_is_the_task_vector():
    taus = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    draws = torch.stack([dare_vectors(taus, ("a", "b"), drop=0.5, seed=seed) for seed in range(2000)])
    # an entry is 0 or 2 tau: the mean of 2000 strays by |tau| / sqrt(2000) = 0.0224 |tau|; five of that
    assert ((draws.mean(dim=0) - taus).abs() < 0.112 * taus.abs()).all()


def test_dare_s_mask_depends_on_seed_task_and_tensor_only():
    taus = torch.ones(2, 30, 30)
    first = dare_vectors(taus, ("a", "b"), name="x", seed=1)
    assert torch.equal(first.flip(0), dare_vectors(taus, ("b", "a"), name="x", seed=1))
    assert torch.equal(first, dare_vectors(taus, ("a", "b"), name="x", seed=1))
    others = [dare_vectors(taus, ("a", "b"), name="y", seed=1), dare_vectors(taus, ("a", "b"), name="x", seed=2),
              dare_vectors(taus, ("c", "d"), name="x", seed=1), first.flip(0)]
    assert not any(torch.equal(first, other) for other in others)


def test_dare_ties_is_ties_of_what_dare_left(base, experts):
    taus = {name: torch.stack([expert[name] - base[name] for expert in experts.values()]) for name in SHAPES}
    kept = {name: dare_vectors(taus[name], tuple(experts), name=name, drop=0.3) for name in SHAPES}
    after = {task: {**base, **{name: base[name] + taus[i] for name, taus in kept.items()}} for i, task in enumerate(experts)}
    ours, theirs = merge("dare-ties", base, experts, drop=0.3), merge("ties", base, after, combine="sum", lam=0.5)
    for name in SHAPES:         # base + tau - base rounds at 0.3, 3e-8; times three experts
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=2e-7)


@pytest.mark.parametrize("drop", [1, -0.1, 1.5])
def test_a_drop_outside_zero_to_one_is_refused(base, experts, drop):
    with pytest.raises(ValueError, match="drop is .*it can be a number at least 0 and below 1"):
        merge("dare", base, experts, drop=drop)


# --- TALL masks and Consensus

TAUS = torch.tensor([[4.0, 1.0, 0.0, -3.0], [1.0, 1.0, 0.0, 2.0], [-1.0, 0.5, 0.0, 2.0]])      # sums 4, 2.5, 0, 1


def test_tall_masks_by_hand():
    # |tau_t| against 0.5 |sum - tau_t|:    4 > 0, 1 > 1.5 / 2, 0, 3 > 4 / 2;   1, 1 > 0.75, 0, 2 > 0.5;   1, 0.5, 0, 2 > 0.5
    expected = [[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]]
    assert tall_masks(TAUS, TAUS.sum(dim=0), 0.5, "abc").int().tolist() == expected
    each = tall_masks(TAUS, TAUS.sum(dim=0), {"a": 0.5, "b": 0.5, "c": 0.3}, "abc").int().tolist()
    assert each == [[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]][:2] + [[0, 0, 0, 1]]


def test_tall_masks_compare_task_vectors_and_not_weights(base, experts):
    # with the weights in the task vector's place nearly every entry would pass, for the base is ten times larger
    models = merge("tall-compression", base, experts, mask_lam=1.0)
    shares = [(model[name] != base[name]).float().mean() for model in models.values() for name in SHAPES]
    assert 0.2 < torch.stack(shares).mean() < 0.6


def test_compression_gives_each_task_its_entries_of_the_sum():
    tasks = tall_compression(torch.full((4,), 10.0), TAUS, "abc", mask_lam=0.5)
    assert tasks.tolist() == [[14, 12.5, 10, 11], [10, 12.5, 10, 11], [10, 10, 10, 11]]


def test_a_task_without_a_mask_number_is_named(base, experts):
    with pytest.raises(ValueError, match="mask_lam has no number for task-1, task-2. Give one"):
        merge("consensus-ta", base, experts, mask_lam={"task-0": 0.4})


@pytest.mark.parametrize("active, merged", [(1, [4, 2.5, 0, 1]), (2, [0, 2.5, 0, 1]), (3, [0, 0, 0, 1])])
def test_consensus_keeps_what_enough_tasks_use(active, merged):
    state = {"w": torch.zeros(4)}
    experts = {task: {"w": tau} for task, tau in zip("abc", TAUS)}
    assert merge("consensus-ta", state, experts, lam=1, mask_lam=0.5, active=active)["w"].tolist() == merged


def test_consensus_ties_masks_what_ties_sums_up(base, experts):
    ties = vector(merge("ties", base, experts, combine="sum", lam=1.0)) - vector(base)
    taus = torch.stack([vector(expert) - vector(base) for expert in experts.values()])
    votes = (taus.abs() > 0.4 * (ties - taus).abs()).sum(dim=0)
    ours = vector(merge("consensus-ties", base, experts, lam=1.0)) - vector(base)
    torch.testing.assert_close(ours, ties * (votes >= 2), rtol=0, atol=1e-7)
    assert 0 < (ours != 0).sum() < (ties != 0).sum()


# --- PCB

def test_pcb_as_released_against_a_slow_reference():
    base, experts = random_checkpoints(tasks=3, seed=4)
    taus = torch.stack([vector(expert) - vector(base) for expert in experts.values()]).double()
    scales, clamped = [], []
    for tau in taus:
        ordered = tau.abs().sort().values
        low, high = (ordered[int(q * (len(ordered) - 1))] for q in (0.01, 0.99))
        clamped.append(tau.sign() * tau.abs().clamp(low, high))
    norms = [(tau.abs() - tau.abs().min()) / (tau.abs().max() - tau.abs().min()) for tau in clamped]
    pull = sum(tau.sign() * n for tau, n in zip(clamped, norms))
    for tau, n in zip(clamped, norms):
        score = torch.exp(3 * n**2) * torch.tanh(tau * pull)
        floor = score.sort().values[int(0.9 * (len(score) - 1))]
        score = score.clamp_min(floor)
        scales.append((score - score.min()) / (score.max() - score.min()))
    total = sum(scales)
    step = sum(s * tau for s, tau in zip(scales, clamped)) / total.clamp_min(1e-12)
    merged = vector(merge("pcb", base, experts, preset="code", density=0.1, lam=0.7))
    torch.testing.assert_close(merged, (vector(base) + 0.7 * step).float(), rtol=0, atol=1e-6)   # scores at the floor: fp32
    assert 0.1 < (step != 0).double().mean() < 0.35


def test_pcb_lets_an_entry_that_only_one_task_scores_pass_whole():
    # the third and fourth entries are large in one task alone: their scales, whatever they are, cancel
    experts = {"a": {"w": torch.tensor([0.1, 0.1, 3.0, 0.2])}, "b": {"w": torch.tensor([0.1, 0.2, 0.0, 4.0])}}
    state = {"w": torch.zeros(4)}
    merged = merge("pcb", state, experts, preset="code", density=0.3, quantile=0.0, lam=1.0)["w"]
    assert merged[2] == 3.0 and merged[3] == 4.0 and merged[:2].abs().max() == 0


def test_pcb_scores_agreement_and_size():
    scores = pcb_scores(torch.tensor([[3.0, -3.0, 1.0, 0.0], [2.0, 1.0, 0.5, 0.0]]))
    assert scores[0, 0] > scores[0, 2] > scores[0, 3]           # larger and agreed on
    assert scores[1, 1] < 0 < scores[0, 1]                      # outvoted by a larger entry of the other sign


def test_pcb_as_printed_ranks_by_the_product_of_two_softmaxes():
    taus = torch.tensor([[1.0, 2.0, -1.0], [1.0, -2.0, 3.0]])
    def norm(x):
        return (x - x.min()) / (x.max() - x.min())
    scores = [torch.softmax(2 * norm(t * t), 0) * sum(torch.softmax(norm(t * other), 0) for other in taus) for t in taus]
    kept = [s * (s >= s.sort().values[1]) for s in scores]              # density 0.5 of three: the upper two
    expected = sum(s * t for s, t in zip(kept, taus)) / sum(kept).clamp_min(1e-12)
    state, experts = {"w": torch.zeros(3)}, {f"t{i}": {"w": tau} for i, tau in enumerate(taus)}
    merged = merge("pcb", state, experts, preset="paper", density=0.5, lam=1.0)["w"]
    torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preset", ["paper", "code"])
def test_pcb_of_one_task_keeps_its_highest_entries_whole_however_many_there_are(preset):
    tau = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0))        # its softmax has entries of 1e-12
    step = merge("pcb", {"w": torch.zeros_like(tau)}, {"a": {"w": tau}}, preset=preset, density=0.1, lam=0.5)["w"]
    kept = step != 0
    assert kept.float().mean().item() == pytest.approx(0.1, abs=0.002)
    if preset == "paper":           # the code clamps the greatest magnitudes first
        torch.testing.assert_close(step[kept], 0.5 * tau[kept])
    assert tau[kept].abs().min() >= tau[~kept].abs().max() - 1e-6


@pytest.mark.parametrize("preset", ["paper", "code"])
def test_pcb_survives_a_task_vector_that_is_zero_in_a_tensor(base, experts, preset):
    experts["task-1"]["conv1.weight"] = base["conv1.weight"].clone()
    assert all(torch.isfinite(tensor).all() for tensor in merge("pcb", base, experts, preset=preset).values())
