"""Are the three families of published experts read rightly, and does no file get to run anything?

The files are made here in the published formats. The classes of family A's pickles are gone when they are read.
"""

import json
import os
import pickle
import sys
from types import ModuleType

import pytest
import torch
from open_clip.model import CLIP
from open_clip.transform import image_transform
from safetensors.torch import load_file, save_file
from test_names import same
from torch import nn

from mergelib import CheckpointError, merge
from mergelib.families import convert, read_tower
from mergelib.names import to_hugging_face
from mergelib.pickles import read_module

VISION = dict(image_size=32, width=64, layers=2, patch_size=16)
TEXT = dict(context_length=5, vocab_size=10, width=16, heads=2, layers=1)
FORMATS = ("zip", "old", "plain")


def make_clip(quick_gelu=True):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CLIP(embed_dim=16, vision_cfg=VISION, text_cfg=TEXT, quick_gelu=quick_gelu)


class ImageEncoder(nn.Module):
    """As task_vectors has it: a CLIP without its text transformer, and the preprocessing."""

    def __init__(self, clip):
        super().__init__()
        self.model, self.cache_dir = clip, None
        self.train_preprocess, self.val_preprocess = image_transform(32, True), image_transform(32, False)
        del self.model.transformer


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Pickles an object, as torch or pickle do, while the class's module exists; gives the file."""
    def saved(thing, form="zip", name="finetuned.pt"):
        module = ModuleType("src_modeling")
        module.ImageEncoder, ImageEncoder.__module__ = ImageEncoder, "src_modeling"
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "src_modeling", module)
            if form == "plain":
                (tmp_path / name).write_bytes(pickle.dumps(thing))
            else:
                torch.save(thing, tmp_path / name, _use_new_zipfile_serialization=form == "zip")
        return tmp_path / name
    return saved


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


# --- no file runs anything

class Call:
    """Unpickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(trace):
    """name -> bytes of a plain pickle that would leave a trace, or try a way around the list of allowed calls."""
    touch = f"touch {trace}".encode()
    system, argument = b"cposix\nsystem\n", b"(S'" + touch + b"'\ntR"
    return {
        "system": pickle.dumps(Call(os.system, touch.decode())),
        "eval": pickle.dumps(Call(eval, f"open({str(trace)!r}, 'w')")),
        "in a list": pickle.dumps([1, {"a": Call(os.system, touch.decode())}]),
        "old instance": b"(S'" + touch + b"'\niposix\nsystem\n.",
        "getattr": b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(S'os'\ntRS'system'\ntR(S'" + touch + b"'\ntR.",
        "dotted name": b"\x80\x04\x8c\x0ctorch._utils\x8c\x09os.system\x93(S'" + touch + b"'\ntR.",
        "dotted module": b"ctorch._utils.os\nsystem\n" + argument + b".",
        "named like an allowed one": b"cposix\nsystem\nq\x00(S'title'\nS'collections.OrderedDict'\ntR.",
        "renamed": system + b"(N}S'title'\nS'collections.OrderedDict'\nstb" + argument + b".",
        "as __setstate__": b"ccollections\nOrderedDict\n)R}S'__setstate__'\n" + system + b"sbS'" + touch + b"'\nb.",
        "as append": b"ccollections\nOrderedDict\n)R}S'append'\n" + system + b"sb(S'" + touch + b"'\ne.",
        "new object": b"\x80\x02cposix\nsystem\nU\x01a\x85\x81.",
        "registered": b"\x80\x02\x82\x01.",
        "loads": b"c_pickle\nloads\n(" + pickle.dumps(b"")[:-1] + b"tR.",
        "endless": b"ctorch.nn\nModule\n)\x81}(S'_buffers'\n}S'_modules'\n}S'_parameters'\n}S'weight'\n"
                   b"ctorch._utils\n_rebuild_parameter\n(NtRp0\n}S'arguments'\n(g0\ntsbsub.",
    }


@pytest.mark.parametrize("name", hostile("x"))
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, name):
    file = tmp_path / "finetuned.pt"
    file.write_bytes(hostile(tmp_path / "trace")[name])
    harmless = name in ("new object", "registered", "endless")          # nothing of ours would call them
    with pytest.raises(CheckpointError, match="finetuned.pt" if harmless else "was refused: it asks to (call|change)"):
        read_module(file)
    for allowed in (False, True):
        with pytest.raises(CheckpointError):
            read_tower(file, allow_pickle=allowed)
    assert not (tmp_path / "trace").exists()


def test_a_call_hidden_in_the_bytes_of_a_storage_is_refused(tmp_path, save):
    module, bomb = nn.Module(), pickle.dumps(Call(os.system, f"touch {tmp_path / 'trace'}"))
    storage = Call(torch.storage._load_from_bytes, bomb)
    module._parameters["weight"] = Call(torch._utils._rebuild_tensor_v2, storage, 0, (1,), (1,), False, {})
    with pytest.raises(CheckpointError, match="asks to call posix.system"):
        read_module(save(module, "plain"))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["system", "eval", "in a list", "old instance", "getattr", "dotted name", "as append"])
def test_the_bombs_are_no_duds(tmp_path, name):
    pickle.loads(hostile(tmp_path / "trace")[name])
    assert (tmp_path / "trace").exists()


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("place", ["attribute", "parameter", "child"])
def test_a_call_hidden_in_an_encoder_is_refused_by_name(tmp_path, save, form, place):
    encoder, bomb = ImageEncoder(make_clip()), Call(os.system, f"touch {tmp_path / 'trace'}")
    {"attribute": vars(encoder), "parameter": encoder.model._parameters, "child": encoder.model._modules}[place]["odd"] = bomb
    file = save(encoder, form)
    with pytest.raises(CheckpointError, match="asks to call posix.system.*Nothing was run"):
        read_tower(file, allow_pickle=True)
    with pytest.raises(CheckpointError, match="allow_pickle"):
        read_tower(file)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("size, stride, offset", [((9,), (1,), 0), ((2,), (1,), 3), ((2, 2), (4, 1), 0), ((2,), (-1,), 1)])
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(save, size, stride, offset):
    module = nn.Module()
    storage = torch.ones(4).untyped_storage()
    storage = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    module._parameters["far"] = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})
    with pytest.raises(CheckpointError, match="finetuned.pt"):
        read_module(save(module))


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
