"""Surgery, Twin-Merging and WEMoE: models that are more than a state dict, in limits with known answers."""

import pytest
import torch
from torch.nn.functional import normalize

from mergelib import METHODS, evaluate, merge
from mergelib.adapt.twin import compressed
from mergelib.adapt.wemoe import RoutedMLP
from mergelib.networks.clip import build_clip, normalise_pixels

FAST = {"surgery": {"steps": 20}, "surgery+tatr": {"steps": 5, "below_options": {"examples": 4}},
        "twin": {"steps": 3, "split": "train"}, "wemoe": {"steps": 2, "batch": 4}}
DYNAMIC = [method for method, spec in METHODS.items() if spec.finish]


def run(suite, method, **options):
    return merge(method, suite.base, suite.experts, suite=suite, **{**FAST.get(method, {"steps": 5}), **options})


def images(suite, task="digits", count=6):
    return normalise_pixels(suite.pictures(task, "test", count)[0])


def plain_features(state, suite, task="digits"):
    return normalize(suite.features(state, images(suite)), dim=1)


@pytest.mark.parametrize("method", DYNAMIC)
def test_all_are_evaluated_as_state_dicts_are(tiny_suite, method):
    tiny_suite.pictures = (lambda inner: lambda task, split, count=None: inner(task, "train", count))(tiny_suite.pictures)
    table = evaluate(run(tiny_suite, method), tiny_suite)
    assert list(table["task"]) == list(tiny_suite.tasks)
    assert table["accuracy"].between(0, 1).all() and table["loss"].notna().all()


@pytest.mark.parametrize("method", DYNAMIC)
def test_features_have_unit_length_and_do_not_depend_on_the_batch(tiny_suite, method):
    model = run(tiny_suite, method)
    with torch.inference_mode():
        together = model.features(tiny_suite, "digits", images(tiny_suite))
        alone = torch.cat([model.features(tiny_suite, "digits", picture) for picture in images(tiny_suite).split(1)])
    torch.testing.assert_close(together.norm(dim=1), torch.ones(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)          # other batches, other order of fp32 sums


@pytest.mark.parametrize("method", DYNAMIC)
def test_what_is_stored_is_more_than_one_model_and_less_than_all(tiny_suite, method):
    assert 1 < METHODS[method].stores(tiny_suite.base, 8, **METHODS[method].settings()) < 9


@pytest.mark.parametrize("below", ["emr", "twin", "averaging"])
def test_only_one_state_dict_can_be_built_upon(tiny_suite, below):
    with pytest.raises(ValueError, match=f"below is '{below}'; it can be 'weight-average', .*'doge-am'"):
        run(tiny_suite, "surgery", below=below)


def test_half_precision_experts_are_built_upon_in_fp32(tiny_suite):
    def half(state):
        return {name: tensor.to(torch.bfloat16) for name, tensor in state.items()}
    experts = {task: half(expert) for task, expert in tiny_suite.experts.items()}
    model = merge("twin", half(tiny_suite.base), experts, suite=tiny_suite, **FAST["twin"])
    assert {tensor.dtype for tensor in (*model.shared.values(), *model.exclusive.values())} == {torch.float32}


def test_a_mapping_from_task_to_state_dict_is_evaluated_task_by_task(tiny_suite):
    pixels = tiny_suite.pictures("signs", "test")[0]
    assert torch.equal(tiny_suite.logits(tiny_suite.experts, "signs", pixels),
                       tiny_suite.logits(tiny_suite.experts["signs"], "signs", pixels))


# --- Surgery

@pytest.mark.parametrize("below, options", [("task-arithmetic", {"lam": 0.3}), ("weight-average", {})])
def test_surgery_without_steps_changes_nothing(tiny_suite, below, options):
    model = run(tiny_suite, "surgery", preset=below, steps=0)
    state = merge(below, tiny_suite.base, tiny_suite.experts, **options)
    with torch.inference_mode():
        torch.testing.assert_close(model.features(tiny_suite, "digits", images(tiny_suite)), plain_features(state, tiny_suite),
                                   rtol=0, atol=1e-6)


@pytest.mark.parametrize("normalised", [False, True])
def test_surgery_brings_features_nearer_to_the_expert_s(tiny_suite, normalised):
    target = plain_features(tiny_suite.experts["digits"], tiny_suite)
    models = [run(tiny_suite, "surgery", steps=steps, lr=0.01, normalised=normalised) for steps in (0, 60)]
    with torch.inference_mode():
        found = [model.features(tiny_suite, "digits", images(tiny_suite)) for model in models]
    gaps = [(features - target).abs().mean() for features in found]
    assert gaps[1] < 0.9 * gaps[0]


def test_surgery_with_tatr_is_built_on_tatr(tiny_suite):
    state = merge("tatr", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, examples=4)
    assert all(torch.equal(tensor, state[name]) for name, tensor in run(tiny_suite, "surgery+tatr").state.items())


# --- Twin-Merging

def test_compression_keeps_the_leading_directions():
    matrix = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    small = compressed(matrix, 0.1)
    values = torch.linalg.svdvals(matrix)
    assert torch.linalg.matrix_rank(small) == 2
    # no matrix of rank 2 is nearer (Eckart and Young)
    assert (matrix - small).square().sum().item() == pytest.approx(values[2:].square().sum().item(), rel=1e-4)
    assert torch.equal(compressed(matrix[0], 0.1), matrix[0])


def test_twin_with_everything_kept_and_a_sure_router_is_the_expert(tiny_suite):
    model = run(tiny_suite, "twin", rank_ratio=1.0)
    model.router = lambda z: torch.tensor([[50.0, 0.0]]).expand(len(z), -1)
    with torch.inference_mode():
        torch.testing.assert_close(model.features(tiny_suite, "digits", images(tiny_suite)),
                                   plain_features(tiny_suite.experts["digits"], tiny_suite), rtol=0, atol=1e-4)


def test_twin_mixes_picture_by_picture(tiny_suite):
    model = run(tiny_suite, "twin", rank_ratio=1.0)
    model.router = lambda z: torch.tensor([[50.0, 0.0], [0.0, 50.0], [0.0, 0.0]]).repeat(len(z) // 3, 1)
    with torch.inference_mode():
        mixed = model.features(tiny_suite, "digits", images(tiny_suite))
    one, other = tiny_suite.experts.values()
    half = {name: (one[name] + other[name]) / 2 for name in one}
    for i, state in enumerate((one, other, half)):
        torch.testing.assert_close(mixed[i::3], plain_features(state, tiny_suite)[i::3], rtol=0, atol=1e-4)


def test_twin_s_router_learns_which_task_a_picture_is_of(tiny_suite):
    pictures = tiny_suite.pictures
    tiny_suite.pictures = lambda task, *where: (pictures(task, *where)[0] // (1 + 3 * (task == "signs")), None)    # dark signs
    model = run(tiny_suite, "twin", steps=300, lr=5e-3)
    with torch.inference_mode():
        pictures = {task: tiny_suite.pictures(task, "train")[0] for task in tiny_suite.tasks}
        features = [tiny_suite.features(model.shared, pixels) for task, pixels in pictures.items()]
        chosen = [model.router(normalize(z, dim=1)).argmax(dim=1) for z in features]
    assert all((task == i).float().mean() > 0.9 for i, task in enumerate(chosen))


# --- WEMoE

class Answer(torch.nn.Module):
    """A router that always answers the same."""

    def __init__(self, w):
        super().__init__()
        self.w = torch.tensor(w)

    def forward(self, tokens):
        return self.w.expand(*tokens.shape[:2], -1)


def routed(suite, w):
    """The MLPs of the suite's tower with a router that always answers w, and the merged parameters it should amount to."""
    prefix = "transformer.resblocks.0.mlp."
    theta_0 = {name.removeprefix(prefix): tensor for name, tensor in suite.base.items() if name.startswith(prefix)}
    taus = {key: torch.stack([expert[prefix + key] - tensor for expert in suite.experts.values()])
            for key, tensor in theta_0.items()}
    mlp = RoutedMLP(theta_0, taus, 0.3)
    mlp.router = Answer(w)
    return mlp, {key: tensor + sum(x * tau for x, tau in zip(w, taus[key])) for key, tensor in theta_0.items()}


@pytest.mark.parametrize("together", [False, True])
def test_a_routed_mlp_is_the_mlp_with_mixed_weights(tiny_suite, together):
    mlp, state = routed(tiny_suite, [0.2, 0.7])
    mlp.together = together
    plain = build_clip("tiny").visual.transformer.resblocks[0].mlp
    plain.load_state_dict(state)
    tokens = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mlp(tokens), plain(tokens), rtol=0, atol=1e-4)


def test_wemoe_starts_as_task_arithmetic(tiny_suite):
    model, state = run(tiny_suite, "wemoe", steps=0), merge("task-arithmetic", tiny_suite.base, tiny_suite.experts)
    with torch.inference_mode():        # its routers answer 0.3 and a little noise: weights of 0.01 in both layers
        ours = model.features(tiny_suite, "digits", images(tiny_suite))
    torch.testing.assert_close(ours, plain_features(state, tiny_suite), rtol=0, atol=5e-3)
    assert not torch.allclose(ours, plain_features(tiny_suite.base, tiny_suite), rtol=0, atol=5e-2)


def test_wemoe_learns_its_routers_and_nothing_else(tiny_suite):
    before, after = (run(tiny_suite, "wemoe", steps=steps, lr=0.01) for steps in (0, 3))
    changed = {name for (name, one), other in zip(before.tower.state_dict().items(), after.tower.state_dict().values())
               if not torch.equal(one, other)}
    assert changed and all(".mlp.router." in name for name in changed)
