"""Do Hugging Face's and open_clip's image towers compute the same once the names are translated, and is nothing lost?"""

from itertools import combinations

import pytest
import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import nn

from mergelib import CheckpointError
from mergelib.checkpoints.names import PREFIX, check_open_clip, is_hugging_face, to_hugging_face, to_open_clip
from mergelib.networks.clip import PAPER_TOWERS, build_paper_tower, check_quick_gelu, empty_tower

LAYOUTS = {     # of the three sizes; the width is divided by eight, the feed-forward part and the embedding with it
    "ViT-B-32": dict(layers=12, heads=12, patch_size=32), "ViT-B-16": dict(layers=12, heads=12, patch_size=16),
    "ViT-L-14": dict(layers=24, heads=16, patch_size=14)}
SAME = 1e-5     # unit-length features: fp32 rounds at 6e-8, and 24 layers that sum in another order come to about 1e-6


def tower(layers=2, heads=2, patch_size=16, image_size=32, act_layer=QuickGELU, seed=0):
    """A narrow open_clip image tower in which every tensor is random, biases and norms too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        visual = VisionTransformer(image_size, patch_size, 8 * heads, layers, heads, 4.0, output_dim=32, act_layer=act_layer)
        return randomise(visual)


@torch.no_grad()
def randomise(visual):
    for parameter in visual.parameters():
        parameter.add_(0.1 * parameter.std(unbiased=False).clamp(min=0.5) * torch.randn(parameter.shape))
    return visual.eval()


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def hugging_face(visual, kind="CLIPVisionModelWithProjection", **settings):
    """transformers' tower of the shape of an open_clip tower, with weights of its own."""
    transformers = pytest.importorskip("transformers", reason="the extra `paper` is not installed")
    width, embedding = visual.proj.shape
    config = transformers.CLIPVisionConfig(**{
        "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": visual.transformer.layers,
        "num_attention_heads": visual.transformer.resblocks[0].attn.num_heads, "patch_size": visual.patch_size[0],
        "image_size": visual.image_size[0], "projection_dim": embedding, "hidden_act": "quick_gelu", **settings})
    return getattr(transformers, kind)(config).eval()


@torch.inference_mode()
def difference(visual, model):
    """The largest difference of the two towers' unit-length features of the same random pictures."""
    images = torch.randn(2, 3, *visual.image_size, generator=torch.Generator().manual_seed(1))
    ours, theirs = visual(images), model(pixel_values=images).image_embeds
    return (nn.functional.normalize(ours, dim=1) - nn.functional.normalize(theirs, dim=1)).abs().max().item()


# --- the same features

@pytest.mark.parametrize("name", LAYOUTS)
def test_both_towers_give_the_same_features(name):
    visual = tower(image_size=224, **LAYOUTS[name])
    model = hugging_face(visual)
    assert difference(visual, model) > 100 * SAME         # with weights of its own
    model.load_state_dict(to_hugging_face(visual.state_dict()))
    assert difference(visual, model) < SAME


def test_both_towers_give_the_same_features_at_full_width():
    visual = randomise(build_paper_tower("ViT-B-32"))
    model = hugging_face(visual)
    model.load_state_dict(to_hugging_face(visual.state_dict()))
    assert difference(visual, model) < SAME


def test_the_other_way_too():
    visual = tower()
    model = randomise(hugging_face(visual))
    visual.load_state_dict(to_open_clip(model.state_dict()))
    assert difference(visual, model) < SAME


def test_a_lost_quick_gelu_shows_in_the_features():
    visual, plain = tower(), tower(act_layer=nn.GELU)
    assert same(visual.state_dict(), plain.state_dict())          # it loads without complaint
    model = hugging_face(visual)
    model.load_state_dict(to_hugging_face(visual.state_dict()))
    assert difference(visual, model) < SAME and difference(plain, model) > 100 * SAME
    wrong = hugging_face(visual, hidden_act="gelu")
    wrong.load_state_dict(to_hugging_face(visual.state_dict()))
    assert difference(plain, wrong) < SAME and difference(visual, wrong) > 100 * SAME


def test_exchanged_queries_keys_or_values_show_in_the_features():
    visual = tower()
    model, state = hugging_face(visual), to_hugging_face(visual.state_dict())
    for one, other in combinations("qkv", 2):
        wrong = {name.replace(f".{one}_proj", ".?").replace(f".{other}_proj", f".{one}_proj").replace(".?", f".{other}_proj"):
                 tensor for name, tensor in state.items()}
        model.load_state_dict(wrong)
        assert difference(visual, model) > 100 * SAME


# --- the names

@pytest.mark.parametrize("kind", ["CLIPVisionModel", "CLIPVisionModelWithProjection"])
def test_transformers_names_there_and_back(kind):
    model = hugging_face(tower(), kind)
    theirs = model.state_dict()
    state = to_open_clip(theirs)
    prefix = PREFIX if any(name.startswith(PREFIX) for name in theirs) else ""
    assert same(to_hugging_face(state, prefix), theirs)
    assert ("proj" in state) == kind.endswith("Projection")


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_open_clip_names_there_and_back_in_both_layouts(prefix):
    state = tower(layers=11).state_dict()         # layers 1 and 10 are not confused
    theirs = to_hugging_face(state, prefix)
    assert all(name.startswith(prefix) or name == "visual_projection.weight" for name in theirs)
    assert is_hugging_face(theirs) and not is_hugging_face(state)
    assert same(to_open_clip(theirs), state)


def test_queries_keys_and_values_are_thirds_in_this_order():
    state = tower().state_dict()
    theirs = to_hugging_face(state)
    for kind in ("weight", "bias"):
        whole = state[f"transformer.resblocks.1.attn.in_proj_{kind}"]
        for third, part in zip(whole.split(16), "qkv"):
            assert torch.equal(theirs[f"vision_model.encoder.layers.1.self_attn.{part}_proj.{kind}"], third)
    assert torch.equal(theirs["visual_projection.weight"], state["proj"].T)


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_position_ids_and_text_towers_are_left_out(prefix):
    state = tower().state_dict()
    del state["proj"]
    theirs = to_hugging_face(state, prefix)
    theirs |= {f"{prefix}embeddings.position_ids": torch.arange(5), "logit_scale": torch.ones(()),
               "text_model.encoder.layers.7.mlp.fc1.weight": torch.ones(2, 2), "text_projection.weight": torch.ones(2, 2)}
    assert same(to_open_clip(theirs), state)


def test_unknown_and_missing_names_are_listed():
    theirs = to_hugging_face(tower().state_dict())
    for part in "qkv":
        del theirs[f"vision_model.encoder.layers.1.self_attn.{part}_proj.bias"]
    theirs["vision_model.encoder.layers.1.self_attn.qkv.bias"] = torch.ones(48)
    with pytest.raises(CheckpointError) as refusal:
        to_open_clip(theirs)
    assert [line.strip() for line in str(refusal.value).splitlines()[1:3]] == [
        "missing: " + ", ".join(f"vision_model.encoder.layers.1.self_attn.{part}_proj.bias" for part in "kqv"),
        "unknown: vision_model.encoder.layers.1.self_attn.qkv.bias"]


def test_a_lost_layer_is_missing():
    state = {name: tensor for name, tensor in tower(layers=3).state_dict().items() if "resblocks.1." not in name}
    with pytest.raises(CheckpointError, match="missing: transformer.resblocks.1.attn.*and 4 more"):
        to_hugging_face(state)


@pytest.mark.parametrize("state", [{}, {"layer1.0.conv1.weight": torch.ones(1)}])
def test_another_network_is_refused(state):
    for translate in (to_open_clip, to_hugging_face, check_open_clip):
        with pytest.raises(CheckpointError, match="Is it a CLIP ViT"):
            translate(state)


# --- the papers' towers

SHAPES = {"ViT-B-32": ((768, 3, 32, 32), (50, 768), (768, 512), 12),
          "ViT-B-16": ((768, 3, 16, 16), (197, 768), (768, 512), 12),
          "ViT-L-14": ((1024, 3, 14, 14), (257, 1024), (1024, 768), 24)}


@pytest.mark.parametrize("name", PAPER_TOWERS)
def test_a_paper_tower_has_its_shape_and_quick_gelu(name):
    with torch.device("meta"):
        visual = build_paper_tower(name)
    state = visual.state_dict()
    found = (state["conv1.weight"].shape, state["positional_embedding"].shape, state["proj"].shape)
    assert found == SHAPES[name][:3] and len(visual.transformer.resblocks) == SHAPES[name][3] == LAYOUTS[name]["layers"]
    assert visual.transformer.resblocks[0].attn.num_heads == LAYOUTS[name]["heads"]
    assert check_quick_gelu(visual) is None and check_open_clip(state) is None


def test_a_tower_with_plain_gelu_is_refused():
    visual = tower()
    visual.transformer.resblocks[1].mlp.gelu = nn.GELU()
    with pytest.raises(ValueError, match="computes GELU, QuickGELU, but OpenAI's weights.* need QuickGELU"):
        check_quick_gelu(visual)


def test_an_unknown_paper_tower_is_refused():
    with pytest.raises(ValueError, match="no paper tower 'ViT-B-8'.*ViT-B-32, ViT-B-16, ViT-L-14"):
        build_paper_tower("ViT-B-8")


def test_a_paper_tower_can_be_evaluated_like_an_embedded_one():
    visual = empty_tower("ViT-B-32", "cpu")
    assert visual.image_size == (224, 224) and not any(parameter.requires_grad for parameter in visual.parameters())
    empty_tower.cache_clear()
