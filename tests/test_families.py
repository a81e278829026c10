"""Are the three families of published experts read rightly? (What a pickle may ask for: test_pickles.py.)

The files are made here in the published formats. The classes of family A's pickles are gone when they are read.
"""

import json
import os
import pickle

import pytest
import torch
from conftest import ImageEncoder, make_clip
from safetensors.torch import load_file, save_file
from test_names import same
from torch import nn

from mergelib import CheckpointError, merge
from mergelib.checkpoints.families import convert, read_tower
from mergelib.checkpoints.names import to_hugging_face
from mergelib.checkpoints.pickles import read_module

FORMATS = ("zip", "old", "plain")


@pytest.fixture
def visual():
    """The image tower that every file here holds."""
    return make_clip().visual.state_dict()


def without_projection(state):
    return {name: tensor for name, tensor in state.items() if name != "proj"}


# --- family A: pickled image encoders

@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("form", FORMATS)
def test_a_pickled_encoder_is_read_in_every_format(save, visual, form):
    file = save(ImageEncoder(make_clip()), form)
    assert same(read_tower(file, allow_pickle=True), visual)
    with pytest.raises(CheckpointError, match="finetuned.pt is no plain state dict.*allow_pickle=True"):
        read_tower(file)
    with pytest.raises((AttributeError, ModuleNotFoundError)):        # as users report: the class is gone
        torch.load(file, weights_only=False) if form != "plain" else pickle.loads(file.read_bytes())


def test_all_dtypes_views_and_empty_places_are_read(save):
    module = nn.Module()
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    module.part, module.turned = nn.Parameter(whole[1:3]), nn.Parameter(whole.T)
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool):
        module.register_buffer(f"of {dtype}".replace(".", " "), torch.ones(3).to(dtype))
    module.register_parameter("bias", None)
    for form in FORMATS:            # bytes within bytes: `plain` holds each storage as a torch file of its own
        state, kinds = read_module(save(module, form))
        assert same(state, module.state_dict()) and {name: tensor.dtype for name, tensor in state.items()} == {
            name: tensor.dtype for name, tensor in module.state_dict().items()}
        assert kinds == {"": "torch.nn.modules.module.Module"}


def test_a_pickled_encoder_with_plain_gelu_is_refused(save):
    with pytest.raises(CheckpointError, match="resblocks.0.mlp.gelu computes GELU.* need QuickGELU"):
        read_tower(save(ImageEncoder(make_clip(quick_gelu=False))), allow_pickle=True)


@pytest.mark.parametrize("thing", [nn.Linear(2, 2), [1, 2], "text", {"a": 1}])
def test_what_is_no_encoder_is_refused(save, thing):
    with pytest.raises(CheckpointError, match="finetuned.pt"):
        read_tower(save(thing), allow_pickle=True)


# --- family C: state dicts

@pytest.mark.parametrize("form", ["zip", "old"])
@pytest.mark.parametrize("stem", ["model.visual.", "visual.", ""])
def test_a_state_dict_needs_no_permission(save, visual, form, stem):
    others = {"model.token_embedding.weight": torch.ones(3, 2), "model.logit_scale": torch.ones(())} if stem else {}
    state = others | {stem + name: tensor for name, tensor in visual.items()}
    assert same(read_tower(save(state, form)), visual)


def test_a_state_dict_of_another_network_is_refused_with_its_file(save, visual):
    visual["transformer.resblocks.0.attn.q.weight"] = visual.pop("transformer.resblocks.0.attn.in_proj_weight")
    with pytest.raises(CheckpointError, match=r"(?s)finetuned.pt: .*missing: .*in_proj_weight.*unknown: .*attn.q.weight"):
        read_tower(save(visual))
    with pytest.raises(CheckpointError, match="holds dict, not a state dict"):
        read_tower(save({"epoch": 3}))


@pytest.mark.parametrize("kept", [0, 1, 4, 100, 0.5, -1])
@pytest.mark.parametrize("whole", [False, True])
def test_a_file_cut_short_is_refused(save, visual, kept, whole):
    file = save(ImageEncoder(make_clip()) if whole else visual)
    content = file.read_bytes()
    file.write_bytes(content[:int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match="finetuned.pt is damaged"):
        read_tower(file, allow_pickle=True)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_an_old_file_cut_short_among_its_numbers_is_refused(save):
    file = save(ImageEncoder(make_clip()), "old")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"finetuned.pt was refused: storage \d+ has \d+ bytes, not \d+ x 4"):
        read_tower(file, allow_pickle=True)


@pytest.mark.parametrize("whole", [False, True])
def test_one_flipped_byte_among_the_numbers_is_noticed(save, visual, whole):
    file = save(ImageEncoder(make_clip()) if whole else visual)
    content, numbers = bytearray(file.read_bytes()), visual["conv1.weight"].numpy().tobytes()
    content[content.index(numbers) + 1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="finetuned.pt is damaged: the checksum of .* is wrong"):
        read_tower(file, allow_pickle=True)


# --- family B: Hugging Face folders

@pytest.fixture
def folder(tmp_path, visual):
    """An expert as FusionBench publishes it: no projection, the names of transformers 4, a config."""
    (tmp_path / "expert").mkdir()
    save_file(to_hugging_face(without_projection(visual)), tmp_path / "expert" / "model.safetensors", {"format": "pt"})
    (tmp_path / "expert" / "config.json").write_text(json.dumps({"hidden_act": "quick_gelu"}))
    return tmp_path / "expert"


def test_a_folder_is_read(folder, visual):
    for path in (folder, str(folder / "model.safetensors")):
        assert same(read_tower(path), without_projection(visual))


@pytest.mark.parametrize("kind", ["CLIPVisionModel", "CLIPVisionModelWithProjection"])
def test_what_transformers_writes_is_read(tmp_path, kind):
    transformers = pytest.importorskip("transformers", reason="the extra `paper` is not installed")
    config = transformers.CLIPVisionConfig(hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                                           image_size=32, patch_size=16, projection_dim=8)
    model = getattr(transformers, kind)(config)
    model.save_pretrained(tmp_path / "expert")
    state = read_tower(tmp_path / "expert")
    theirs = {name.removeprefix("vision_model."): tensor for name, tensor in model.state_dict().items()}
    assert torch.equal(state["conv1.weight"], theirs["embeddings.patch_embedding.weight"])
    assert len(state) == len(theirs) - 2 * 2 * 2          # per layer six tensors become two


def test_the_tower_of_a_whole_model_is_read_as_the_base(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra `paper` is not installed")
    sizes = dict(hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    model = transformers.CLIPModel(transformers.CLIPConfig(
        text_config=dict(sizes, vocab_size=50), vision_config=dict(sizes, image_size=32, patch_size=16), projection_dim=8))
    model.save_pretrained(tmp_path / "base")
    state = read_tower(tmp_path / "base")
    assert same(to_hugging_face(state), {name: tensor for name, tensor in model.state_dict().items()
                                         if name.startswith(("vision_model.", "visual_projection."))})


@pytest.mark.parametrize("config", [{"hidden_act": "gelu"}, {"vision_config": {"hidden_act": "gelu"}}])
def test_a_config_with_another_activation_is_refused(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="expert: config.json says .* computes gelu.* need quick_gelu"):
        read_tower(folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"vision_config": 3}'])
def test_a_damaged_config_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match="config.json is damaged"):
        read_tower(folder)


def test_numbers_that_are_not_finite_are_refused(folder):
    state = load_file(folder / "model.safetensors")
    state["vision_model.post_layernorm.bias"][0] = float("nan")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="post_layernorm.bias holds 1 values that are NaN"):
        read_tower(folder)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        read_tower(tmp_path / "nowhere")


# --- conversion, and on to a merge

def test_a_converted_encoder_is_read_without_permission(tmp_path, save, visual):
    convert(save(ImageEncoder(make_clip())), tmp_path / "new" / "svhn.safetensors", allow_pickle=True)
    assert same(load_file(tmp_path / "new" / "svhn.safetensors"), visual)
    assert same(read_tower(tmp_path / "new" / "svhn.safetensors"), visual)


def test_a_conversion_that_is_refused_writes_nothing(tmp_path, save):
    file = save(ImageEncoder(make_clip()))
    with pytest.raises(CheckpointError, match="allow_pickle"):
        convert(file, tmp_path / "svhn.safetensors")
    with pytest.raises(CheckpointError, match="svhn.pt should end in .safetensors"):
        convert(file, tmp_path / "svhn.pt", allow_pickle=True)
    assert os.listdir(tmp_path) == [file.name]


def test_experts_of_one_tower_from_all_three_families_merge(save, folder, visual):
    a = read_tower(save(ImageEncoder(make_clip())), allow_pickle=True)
    c = read_tower(save({f"model.visual.{name}": tensor for name, tensor in visual.items()}, name="c.pt"))
    experts = {"a": without_projection(a), "b": read_tower(folder), "c": without_projection(c)}
    merged = merge("weight-average", {name: tensor + 1 for name, tensor in experts["b"].items()}, experts)
    assert merged.keys() == experts["b"].keys()
    assert all(torch.allclose(merged[name], visual[name], atol=1e-6) for name in merged)
