"""DOGE TA: what must hold whatever the solver, what every switch does, and layers on which it could stumble."""


import pytest
import torch
from conftest import MATRICES, SHAPES, random_checkpoints

from mergelib import METHODS, eta_for_mean_lambda, merge
from mergelib.methods.doge.subspace import as_matrices, shared_subspace

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.filterwarnings("ignore:About this merge")]

MATRIX = "transformer.resblocks.0.mlp.c_fc.weight"
PRESETS = list(METHODS["doge-ta"].presets)
PLAIN = {"inner_product": "row", "mask": "none", "keys": ""}            # every tensor row by row, unmasked
EXACT = {**PLAIN, "solver": "exact", "steps": 200}
ADAM = {**PLAIN, "solver": "adam", "steps": 400, "lr": 1e-3}


def doge(base, experts, **options):
    return merge("doge-ta", base, experts, **options)


def taus_of(base, experts, name):
    """T x rows x columns in fp64."""
    return as_matrices(torch.stack([expert[name].double() - base[name].double() for expert in experts.values()]))


def update(merged, base, name):
    """What a merge adds to one tensor, rows x columns in fp64."""
    return as_matrices((merged[name].double() - base[name].double())[None])[0]


def weighted(taus, eta=0.07):
    """sum_i lam_i tau_i by Eq. 8."""
    return torch.einsum("t,trc->rc", eta / taus.flatten(1).norm(dim=1), taus)


def modification(base, experts, name=MATRIX, **options):
    """What DOGE adds to one tensor beyond sum_i lam_i tau_i."""
    return update(doge(base, experts, **options), base, name) - weighted(taus_of(base, experts, name))


def largest_difference(ours, theirs):
    return max((ours[name].double() - theirs[name].double()).abs().max().item() for name in SHAPES)


def frozen(experts, base, tasks, name=MATRIX):
    """The experts, of which some left one tensor as it was."""
    return {task: {**expert, name: base[name]} if task in tasks else expert for task, expert in experts.items()}


# --- oracles

@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("options", [EXACT, ADAM], ids=["exact", "adam"])
def test_every_row_of_the_merge_has_each_task_s_own_inner_product(tasks, options):
    base, experts = random_checkpoints(tasks)
    merged = doge(base, experts, **options)
    for name in SHAPES:
        taus = taus_of(base, experts, name)
        ratios = torch.einsum("trc,rc->tr", taus, update(merged, base, name)) / taus.square().sum(dim=2)
        assert (ratios - 1).abs().max() < 1e-3, name        # the card's tolerance; before merging they are off by 0.3


@pytest.mark.parametrize("options", [EXACT, {**ADAM, "project_after": True}], ids=["exact", "adam projected after"])
def test_the_modification_is_orthogonal_to_the_subspace(base, experts, options):
    basis = shared_subspace(taus_of(base, experts, MATRIX))
    ours = modification(base, experts, dtype="float64", **options)
    assert basis.shape[1] == 2
    assert (basis.T @ ours).norm() < 1e-6 * max(1, ours.norm())
    assert (basis.T @ modification(base, experts, **ADAM)).norm() > 1e-4, "the released Adam leaks, so this shows nothing"


@pytest.mark.parametrize("solver", ["adam", "gd", "exact"])
@pytest.mark.parametrize("delta", ["universal", "per_task"])
def test_zero_steps_are_norm_based_task_arithmetic(base, experts, solver, delta):
    ours = doge(base, experts, steps=0, solver=solver, delta=delta, eta=0.05)
    theirs = merge("norm-lambda", base, experts, eta=0.05)
    assert all(torch.equal(ours[name], theirs[name]) for name in base)


@pytest.mark.parametrize("options", [EXACT, *({"preset": preset} for preset in PRESETS)],
                         ids=["every tensor", *PRESETS])
@pytest.mark.parametrize("delta", ["universal", "per_task"])
def test_permuted_tasks_give_the_same_merge(base, experts, options, delta):
    backwards = dict(reversed(experts.items()))
    ours, theirs = (doge(base, each, delta=delta, **options) for each in (experts, backwards))
    assert largest_difference(ours, theirs) < 1e-5          # conjugate gradients and Adam enlarge roundings of 1e-8


@pytest.mark.parametrize("mask", ["none", "tau", "tau+delta"])
def test_without_steps_the_size_of_the_task_vectors_does_not_matter(base, experts, mask):
    larger = {task: {name: base[name] + 4 * (expert[name] - base[name]) for name in base}
              for task, expert in experts.items()}
    ours, theirs = (doge(base, each, steps=0, mask=mask) for each in (experts, larger))
    assert largest_difference(ours, theirs) < 1e-6          # fp32: experts around 0.1, then task vectors around 0.01


def test_with_more_tasks_than_rank_a_warning_comes_and_no_subspace():
    base, experts = random_checkpoints(tasks=20)
    with pytest.warns(UserWarning, match=r"20 tasks but rank (16|8|5), so no direction can be shared"):
        ours = doge(base, experts, steps=30)
    theirs = doge(base, experts, steps=30, direction="free")
    assert all(torch.equal(ours[name], theirs[name]) for name in base)
    assert largest_difference(ours, doge(base, experts, steps=0, direction="free")) > 1e-3


def test_the_mask_keeps_floor_d_density_plus_one_entries_of_all_merged_tensors():
    base, experts = random_checkpoints(tasks=1)
    merged = doge(base, experts, preset="code", steps=3)
    keys = MATRICES
    size = sum(base[name].numel() for name in keys)
    assert len(keys) == 2
    assert sum((merged[name] != base[name]).sum().item() for name in keys) == int(0.3 * size) + 1
    assert all(torch.equal(merged[name], base[name]) for name in base if name not in keys)


# --- switches

@pytest.mark.parametrize("mask_scope", ["global", "tensor"])
@pytest.mark.parametrize("mask", ["tau", "tau+delta"])
def test_masks_keep_the_largest_entries_of_what_they_judge(base, experts, mask, mask_scope):
    merged = doge(base, experts, **{**EXACT, "mask": mask}, mask_scope=mask_scope, density=0.25)
    unmasked, moved, judged = doge(base, experts, **EXACT), {}, {}
    for name in SHAPES:
        taus = taus_of(base, experts, name)
        lam = (0.07 / taus.flatten(1).norm(dim=1)).sum()
        moved[name] = taus + (update(unmasked, base, name) - weighted(taus)) / lam
        judged[name] = (taus if mask == "tau" else moved[name]).flatten(1).abs()
    for name in SHAPES:
        pool = torch.cat(list(judged.values()), dim=1) if mask_scope == "global" else judged[name]
        last = pool.sort(dim=1, descending=True).values[:, int(0.25 * pool.shape[1])]
        taus = taus_of(base, experts, name)
        kept = (judged[name] >= last[:, None] - 1e-9).reshape(taus.shape)       # fp32 against fp64
        expected = torch.einsum("t,trc->rc", 0.07 / taus.flatten(1).norm(dim=1), kept * moved[name])
        assert (update(merged, base, name) - expected).abs().max() < 1e-6, name


def test_density_one_masks_nothing(base, experts):
    ours, theirs = (doge(base, experts, **{**EXACT, "mask": mask}, density=1) for mask in ("tau", "none"))
    assert all(torch.equal(ours[name], theirs[name]) for name in base)


def test_eta_scales_the_coefficients(base, experts):
    once, twice = (update(doge(base, experts, steps=0, eta=eta), base, MATRIX) for eta in (0.04, 0.08))
    torch.testing.assert_close(twice, 2 * once, rtol=0, atol=1e-7)          # the merged weights are fp32 around 0.1


@pytest.mark.parametrize("target", [0.3, 1.0])
def test_eta_can_be_chosen_for_a_mean_lambda(base, experts, target):
    experts = frozen(experts, base, ["task-1"], "conv1.weight")             # this one has no coefficient
    eta = eta_for_mean_lambda(base, list(experts.values()), target, keys="weight")
    norms = [tau.norm().item() for name in SHAPES if "weight" in name for tau in taus_of(base, experts, name)]
    assert len(norms) == 12 and sum(eta / norm for norm in norms if norm) / 11 == pytest.approx(target, rel=1e-5)


@pytest.mark.parametrize("rank_ratio, size", [(1 / 6, 2), (1 / 3, 5), (0.5, 8)])
def test_rank_ratio_sets_the_size_of_the_subspace(base, experts, rank_ratio, size):
    basis = shared_subspace(taus_of(base, experts, MATRIX), rank_ratio)
    ours = modification(base, experts, **EXACT, dtype="float64", rank_ratio=rank_ratio)
    assert basis.shape == (64, size) and ours.norm() > 0.1
    assert (basis.T @ ours).norm() < 1e-6


@pytest.mark.parametrize("inner_product", ["row", "tensor", "global"])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_modified_when_the_subspace_is_everything(inner_product, seed):
    base = {"square": torch.zeros(8, 8)}
    experts = [{"square": torch.randn(8, 8, generator=torch.Generator().manual_seed(2 * seed + i))} for i in range(2)]
    options = {**EXACT, "inner_product": inner_product, "rank_ratio": 1.0}
    ours, theirs = doge(base, experts, **options), doge(base, experts, **{**options, "steps": 0})
    assert (ours["square"] - theirs["square"]).abs().max() < 1e-5           # the projector's rounding errors, fp32


def test_numerical_rank_is_that_of_the_lora_factors():
    draw = torch.Generator().manual_seed(0)
    base = {"w": torch.zeros(24, 24)}
    experts = [{"w": 0.02 * torch.randn(24, 6, generator=draw) @ torch.randn(6, 24, generator=draw)} for _ in range(3)]
    basis = shared_subspace(torch.stack([expert["w"].double() for expert in experts]), 0.5, rank="numerical")
    options = {**EXACT, "dtype": "float64", "rank_ratio": 0.5, "damping": 0.3}
    inside = {rank: (basis.T @ modification(base, dict(enumerate(experts)), "w", rank=rank, **options)).norm()
              for rank in ("numerical", "matrix")}
    assert basis.shape == (24, 3) and inside["numerical"] < 1e-6 < 1e-3 < inside["matrix"]


def test_dtype_is_that_of_the_optimisation(base, experts):
    single, double = (doge(base, experts, **EXACT, dtype=dtype) for dtype in ("float32", "float64"))
    assert all(tensor.dtype == base[name].dtype for name, tensor in double.items())
    assert 0 < largest_difference(single, double) < 1e-5


def test_convolutions_are_matrices_and_vectors_one_row(base, experts):
    def reshaped(state):
        return {**state, "conv1.weight": state["conv1.weight"].reshape(8, 12),
                "class_embedding": state["class_embedding"][None]}
    ours = doge(base, experts, **EXACT)
    theirs = doge(reshaped(base), {task: reshaped(expert) for task, expert in experts.items()}, **EXACT)
    assert all(torch.equal(ours[name].flatten(), theirs[name].flatten()) for name in base)


@pytest.mark.parametrize("option, value, known", [
    ("inner_product", "layer", "'row', 'tensor', 'global'"), ("solver", "sgd", "'adam', 'gd', 'exact'"),
    ("delta", "task", "'universal', 'per_task'"), ("rank", "lora", "'matrix', 'numerical'"),
    ("mask", "delta", "'none', 'tau', 'tau[+]delta'"), ("mask_scope", "layer", "'global', 'tensor'"),
    ("dtype", "bfloat16", "'float32', 'float64'")])
def test_unknown_values_are_refused_with_the_known_ones(base, experts, option, value, known):
    with pytest.raises(ValueError, match=f"{option} is '{value}'; it can be {known}"):
        doge(base, experts, steps=1, **{option: value})


# --- layers on which it could stumble

RUNS = [*({"preset": preset} for preset in PRESETS),
        {"preset": "code", "inner_product": "global"}, {"preset": "exact", "inner_product": "global"},
        {"preset": "exact", "rank": "numerical"}, {"preset": "exact", "mask": "tau+delta"}]
EVERY_RUN = pytest.mark.parametrize("options", RUNS, ids=lambda options: " ".join(options.values()))


@pytest.mark.parametrize("delta", ["universal", "per_task"])
@EVERY_RUN
def test_a_layer_that_no_expert_touched_stays_the_base_s(base, experts, options, delta):
    merged = doge(base, frozen(experts, base, experts), delta=delta, **options)
    assert torch.equal(merged[MATRIX], base[MATRIX])
    assert all(torch.isfinite(tensor).all() for tensor in merged.values())


@pytest.mark.parametrize("delta", ["universal", "per_task"])
@EVERY_RUN
def test_an_expert_that_left_a_layer_alone_has_no_part_in_it(base, experts, options, delta):
    options = {**options, "delta": delta, "keys": "c_fc", "direction": "free"}     # arbitrary directions would enter it
    others = {task: expert for task, expert in experts.items() if task != "task-1"}
    ours = doge(base, frozen(experts, base, ["task-1"]), **options)
    theirs = doge(base, others, **options)
    assert largest_difference(ours, theirs) < 1e-5 < largest_difference(ours, base)


@EVERY_RUN
def test_an_expert_that_left_a_layer_alone_spoils_nothing_with_the_subspace(base, experts, options):
    merged = doge(base, frozen(experts, base, ["task-1"]), **options)
    assert all(torch.isfinite(tensor).all() for tensor in merged.values())
    assert largest_difference(merged, base) < 1                 # task vectors are around 0.01


def test_a_modification_that_outgrows_lora_s_task_vectors_is_warned_of_and_damping_helps():
    draw = torch.Generator().manual_seed(0)
    base = {"w": torch.zeros(24, 24)}
    experts = [{"w": 0.02 * torch.randn(24, 1, generator=draw) @ torch.randn(1, 24, generator=draw)} for _ in range(4)]
    with pytest.warns(UserWarning, match=r"w: the modification is [\d.]+ times .* Set damping"):
        wild = doge(base, experts, **EXACT, rank="matrix")
    calm = doge(base, experts, **EXACT, rank="matrix", damping=0.1)
    assert calm["w"].norm() < 2 * torch.stack([expert["w"] for expert in experts]).norm() < wild["w"].norm()
