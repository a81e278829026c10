"""The papers' models and data sets in miniature: files of the published formats on a hub of this machine.

The towers have two layers of width 64 and see 32 x 32 pictures; names of repositories, columns, classes and prompts are the
published ones, names of files like those. Experts are the base with noise, so nothing here says how good a method is.
"""

import io
import tarfile
from dataclasses import replace
from functools import cache

import datasets
import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn.functional import normalize
from transformers import CLIPConfig, CLIPModel, CLIPVisionModel

from mergelib.experiments import FOUR
from mergelib.networks.clip import empty_tower, tokenizer
from mergelib.suites import clip
from mergelib.suites.clip.tasks import load_tasks
from mergelib.tasks import load_task
from mergelib.tasks.corruptions import CORRUPTIONS

SIDE, ROWS = 32, {"train": 40, "test": 16}
VISION = dict(hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=1, patch_size=16, image_size=SIDE)
TEXT = dict(hidden_size=16, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=77,
            vocab_size=49408)
OPEN_CLIP = dict(embed_dim=32, quick_gelu=True, vision_cfg=dict(image_size=SIDE, layers=2, width=64, patch_size=16),
                 text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1))
PLACES = {"MNIST": "mnist/", "SVHN": "cropped_digits/"}       # folders of the Parquet files; data/ elsewhere


@cache
def tasks():
    """The table with the miniature's numbers of pictures."""
    return {name: replace(task, rows=ROWS) for name, task in load_tasks().items()}


@cache
def models():
    """(base, experts): transformers' CLIPModel, and task -> its CLIPVisionModel."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=32)).eval()
        return base, {name: _expert(base) for name in tasks()}


def _expert(base):
    """The base's image tower with noise, as a CLIPVisionModel."""
    expert = CLIPVisionModel(base.config.vision_config).eval()
    theirs = {name.removeprefix("vision_model."): tensor for name, tensor in base.vision_model.state_dict().items()}
    with torch.no_grad():
        for name, weight in expert.named_parameters():
            theta_0 = theirs[name.removeprefix("vision_model.")]
            weight.copy_(theta_0 + 0.3 * theta_0.std().clamp_min(0.05) * torch.randn(theta_0.shape))
    return expert


@cache
def pictures(name, part):
    """(pictures of Pillow's, labels) of one task."""
    rng = np.random.default_rng([sorted(tasks()).index(name), part == "test"])
    labels = rng.integers(len(tasks()[name].classes), size=ROWS[part]).tolist()
    sides = rng.integers(30, 44, size=(ROWS[part], 2))
    grey = "L" if "MNIST" in name else "RGB"
    return [Image.fromarray(rng.integers(256, size=(*side, 3), dtype=np.uint8)).convert(grey) for side in sides], labels


def _parquet(name, part, change=lambda image: image):
    """One split as `datasets` uploads it."""
    task, (images, labels) = tasks()[name], pictures(name, part)
    kind = datasets.Value("bool") if name == "PCAM" else datasets.ClassLabel(names=list(task.classes))
    features = datasets.Features({task.image: datasets.Image(), task.label: kind})
    file = io.BytesIO()
    columns = {task.image: [{"bytes": _encoded(change(image)), "path": None} for image in images], task.label: labels}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(file)
    return file.getvalue()


def _corrupted(name):
    """The files of a data set's corrupted copies, which here are all the same: its test pictures as negatives."""
    if name not in [load_task(task).sibling for task in FOUR]:
        return {}
    negatives = _parquet(name, "test", ImageOps.invert)
    return {f"data/{corruption.replace(' ', '_')}-00000-of-00001.parquet": negatives for corruption in CORRUPTIONS}


def _tar(name, part):
    """One split as a web data set."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for i, (image, label) in enumerate(zip(*pictures(name, part))):
            for end, data in (("jpg", _encoded(image)), ("cls", str(label).encode())):
                entry = tarfile.TarInfo(f"s{i:07d}.{end}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def _encoded(image):
    """A picture as PNG, which loses nothing."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _saved(model, folder):
    """A model's files, as transformers saves them."""
    model.save_pretrained(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def fill(hub, folder, names):
    """Put the base, and for some tasks experts and data sets, on a `LocalHub`."""
    base, experts = models()
    hub.repos["models/openai/clip-vit-base-patch32"] = {**_saved(base, folder / "base"), "README.md": b"", "tf_model.h5": b"x"}
    for name in names:
        task, other = tasks()[name], {".gitattributes": b"", "README.md": b"---\n---\n"}
        hub.repos[f"models/tanganke/clip-vit-base-patch32_{task.expert}"] = _saved(experts[name], folder / name)
        if name == "FER2013":
            files = {f"{part}/0.tar": _tar(name, part) for part in ROWS}
        else:
            files = {f"{PLACES.get(name, 'data/')}{split}-00000-of-00001.parquet": _parquet(name, part)
                     for part, split in task.splits.items()}
        if name == "GTSRB":         # as there: a script, which nobody runs, and copies that are not wanted
            other |= {"gtsrb.py": b"raise SystemExit", "data/fog-00000-of-00001.parquet": b"not wanted"}
        hub.repos[f"datasets/{task.dataset}"] = files | _corrupted(name) | other
    return hub


def patch(monkeypatch, address, folder):
    """Have mergelib, open_clip and the Hub's client take the miniature for the papers' scale; files go below `folder`."""
    from huggingface_hub import constants
    from open_clip import factory
    empty_tower.cache_clear()
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-B-32-quickgelu", OPEN_CLIP)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(clip, "load_tasks", tasks)
    monkeypatch.setattr(clip, "CACHE", folder)
    monkeypatch.setattr(clip.pictures, "CACHE", folder)
    monkeypatch.setattr(clip.hub, "LOCK", folder / "lock.json")


@torch.inference_mode()
def accuracy(tower, name):
    """What transformers measures: a CLIPVisionModel (None: the base's own tower) on one task's test pictures."""
    from open_clip.constants import OPENAI_DATASET_MEAN as MEAN
    from open_clip.constants import OPENAI_DATASET_STD as STD
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor
    base, _ = models()
    images, labels = pictures(name, "test")
    prepare = Compose([Resize(SIDE, InterpolationMode.BICUBIC), CenterCrop(SIDE), ToTensor(), Normalize(MEAN, STD)])
    inputs = torch.stack([prepare(image.convert("RGB")) for image in images])
    seen = (base.vision_model if tower is None else tower)(pixel_values=inputs).pooler_output
    scores = normalize(base.visual_projection(seen), dim=1) @ head(name)
    return (scores.argmax(dim=1) == torch.tensor(labels)).float().mean().item()


@cache
@torch.inference_mode()
def head(name):
    """A zero-shot head by transformers' text tower: the mean of a class's prompts, each of unit length."""
    base, task = models()[0], tasks()[name]
    tokens = tokenizer(77)([prompt.format(label) for label in task.classes for prompt in task.prompts])
    said = normalize(base.text_projection(base.text_model(input_ids=tokens).pooler_output), dim=1)
    return normalize(said.unflatten(0, (-1, len(task.prompts))).mean(dim=1), dim=1).T


def golden():
    """What the pre-flight should expect: (checkpoint, task) -> accuracy in %, by transformers."""
    found = {("zero-shot", name): 100 * accuracy(None, name) for name in tasks()}
    return found | {("expert", name): 100 * accuracy(models()[1][name], name) for name in tasks()}
