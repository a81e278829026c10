"""Are the checkpoints that notebook 16 writes in the formats that open_clip, transformers and PEFT publish?"""

import json

import nbformat
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from mergelib.networks.clip import build_clip
from mergelib.reproduce.notebooks import NOTEBOOKS

LAST = "adapter_model.safetensors"      # in the cell that writes the last of them
SAME = 1e-4     # features are of size 5, and six layers that sum in another order come to about 2e-6


@pytest.fixture(scope="module")
def made():
    """What the notebook knows once its cells have written the checkpoints."""
    cells = [cell.source for cell in nbformat.read(NOTEBOOKS / "16-merge-your-own.ipynb", as_version=4).cells
             if cell.cell_type == "code"]
    (last,) = [i for i, cell in enumerate(cells) if LAST in cell]
    known = {}
    for cell in cells[:last + 1]:
        exec(cell, known)
    return known


@torch.inference_mode()
def features(state, images):
    visual = build_clip("main").visual
    visual.load_state_dict(state)
    return visual.eval()(images)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_open_clip_loads_the_whole_clip(made):
    clip = build_clip("main", seed=1)
    open_clip.load_checkpoint(clip, str(made["mine"] / "signs" / "open_clip_model.safetensors"))
    assert all(torch.equal(tensor, clip.visual.state_dict()[name]) for name, tensor in made["suite"].experts["signs"].items())


@torch.inference_mode()
def test_transformers_loads_the_folders_and_computes_the_same(made, images):
    transformers = pytest.importorskip("transformers", reason="the extra `paper` is not installed")
    for folder, state in (("base", made["suite"].base), ("digits", made["suite"].experts["digits"])):
        model = transformers.CLIPVisionModelWithProjection.from_pretrained(made["mine"] / folder).eval()
        assert (model(pixel_values=images).image_embeds - features(state, images)).abs().max() < SAME


def test_the_adapter_has_two_matrices_for_each_target_module_of_the_base(made):
    transformers = pytest.importorskip("transformers", reason="the extra `paper` is not installed")
    settings = json.loads((made["mine"] / "textures" / "adapter_config.json").read_text())
    model = transformers.CLIPVisionModelWithProjection.from_pretrained(made["mine"] / "base")
    shapes = {}
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in settings["target_modules"]:
            rows, columns = module.weight.shape
            shapes[f"base_model.model.{name}.lora_A.weight"] = (settings["r"], columns)
            shapes[f"base_model.model.{name}.lora_B.weight"] = (rows, settings["r"])
    found = load_file(made["mine"] / "textures" / LAST)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == shapes
