"""What several test files need: tiny random checkpoints and suites, an empty ledger, and stand-ins for what takes long.

The tensors are named as open_clip names those of an image tower.
"""

import pickle
import random
import sys
import zlib
from dataclasses import dataclass, field, replace
from itertools import count
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from open_clip.model import CLIP
from open_clip.transform import image_transform
from torch import nn
from torch.nn.functional import cross_entropy

from mergelib.adapt import learning as adapt_learning
from mergelib.adapt.gradients import tower_with
from mergelib.checkpoints.adapters import Adapter
from mergelib.checkpoints.lora_fit import Change
from mergelib.experiments import ablations, corruptions, measuring, ranks
from mergelib.measure.ledger import Ledger
from mergelib.merging.plan import decide
from mergelib.methods import METHODS
from mergelib.networks import clip, t5
from mergelib.networks.clip import image_features, normalise_pixels
from mergelib.paths import RESULTS
from mergelib.suites.sketch import SketchSuite
from mergelib.suites.text import TEXT_MODELS, OurT5, TextSuite
from mergelib.tasks import EIGHT, SPLITS
from mergelib.tasks.language.tasks import TASKS
from mergelib.tasks.language.templates import TARGET

SHAPES = {
    "class_embedding": (16,),
    "conv1.weight": (8, 3, 2, 2),
    "positional_embedding": (5, 16),
    "transformer.resblocks.0.ln_1.weight": (16,),
    "transformer.resblocks.0.attn.in_proj_weight": (48, 16),
    "transformer.resblocks.0.mlp.c_fc.weight": (64, 16),
}
MATRICES = tuple(name for name in SHAPES if "resblocks" in name and len(SHAPES[name]) == 2)
BUFFER = "position_ids"


def random_checkpoints(tasks=3, seed=0, size=0.01):
    """(base, experts): state dicts; `size` is the standard deviation of the task vectors, the base's is 0.1."""
    draw = torch.Generator().manual_seed(seed)
    base = {name: 0.1 * torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}
    experts = {f"task-{i}": {name: tensor + size * torch.randn(tensor.shape, generator=draw)
                             for name, tensor in base.items()} for i in range(tasks)}
    for state in (base, *experts.values()):
        state[BUFFER] = torch.arange(5)
    return base, experts


@pytest.fixture
def base():
    return random_checkpoints()[0]


@pytest.fixture
def experts():
    return random_checkpoints()[1]


@pytest.fixture(autouse=True)
def committed_numbers_stay(monkeypatch):
    """A test that would write into the shipped ledger fails."""
    def guarded(self, *what):
        assert self.folder != RESULTS, "This test would write into data/results; give it a ledger of its own."
        record(self, *what)

    record = Ledger.record
    monkeypatch.setattr(Ledger, "record", guarded)


def check(base, experts):
    """What is said about checkpoints of which everything is to be merged."""
    return decide(base, experts, {"keys": "", "others": "base"})[1]


@pytest.fixture
def one_process(monkeypatch):
    """Measurements are made in this process, where the test's stand-ins are known."""
    monkeypatch.setattr("mergelib.workers.cores", lambda: 1)


@dataclass(frozen=True)
class TinySuite(SketchSuite):
    """A suite whose pictures are given: (task, split) -> pixels and labels; of a pool without a split they are for all."""

    pools: dict = field(default_factory=dict, repr=False)
    regime = None

    def pictures(self, task, split, count=None):
        pixels, labels = self.pools[task, split]
        return pixels[:count], None if labels is None else labels[:count]


TinySuite.__setattr__ = object.__setattr__        # a test may change it


@pytest.fixture
def tiny_suite(monkeypatch, tmp_path):
    """A suite of two tasks on an image tower of one layer, with random weights and test pictures without labels."""
    monkeypatch.setitem(clip.TOWERS, "tiny", dict(width=32, layers=1, patch_size=16))
    monkeypatch.setattr(adapt_learning, "CACHE", tmp_path)
    draw, tasks = torch.Generator().manual_seed(0), ("digits", "signs")
    base = clip.build_clip("tiny").visual.state_dict()
    experts = {task: {name: tensor + 0.05 * torch.randn(tensor.shape, generator=draw) for name, tensor in base.items()}
               for task in tasks}
    pixels = {task: np.random.default_rng(i).integers(256, size=(40, 32, 32, 3), dtype=np.uint8)
              for i, task in enumerate(tasks)}
    pools = {(task, split): (pixels[task], None if split == "test" else np.arange(40) % (5 + i))     # nothing may look at them
             for i, task in enumerate(tasks) for split in SPLITS}
    heads = {task: torch.randn(128, 5 + i, generator=draw) for i, task in enumerate(tasks)}
    return TinySuite("tiny", "tiny", 0, base, experts, heads, "0", pools=pools)


@pytest.fixture
def labelled(tiny_suite, one_process):
    """The tiny suite with a third task, labels of all pictures, and heads that are surer of some pictures than of others."""
    draw, rng, add = torch.Generator().manual_seed(5), np.random.default_rng(5), "flags"
    expert = {name: tensor + 0.05 * torch.randn(tensor.shape, generator=draw) for name, tensor in tiny_suite.base.items()}
    experts = {**tiny_suite.experts, add: expert}
    heads = {task: (1.3 + i) * torch.randn(128, 5 + i, generator=draw) for i, task in enumerate(experts)}
    pixels = {(task, split): (rng.integers(216, size=(40, 1, 1, 3)) + rng.integers(40, size=(40, 32, 32, 3))).astype(np.uint8)
              for task in experts for split in SPLITS}
    labels = {task: rng.integers(head.shape[1], size=40) for task, head in heads.items()}
    pools = {(task, split): (pictures, labels[task]) for (task, split), pictures in pixels.items()}
    return replace(tiny_suite, experts=experts, heads=heads, pools=pools)


def set_defaults(monkeypatch, method, **values):
    """Other defaults for some options of a method."""
    known = METHODS[method].declared
    for name, value in values.items():
        monkeypatch.setitem(known, name, replace(known[name], default=value))


def losses(suite, state, task, count=None):
    """Loss and scores of every test picture."""
    pixels, labels = suite.pictures(task, "test", count)
    with torch.no_grad():
        scores = image_features(tower_with(state, suite), normalise_pixels(pixels)) @ suite.heads[task]
    return cross_entropy(scores, torch.as_tensor(labels), reduction="none"), scores


def vectors(suite):
    """Task -> tensor -> task vector."""
    return {task: {name: expert[name] - suite.base[name] for name in expert} for task, expert in suite.experts.items()}


# --- questions

class Questions(TextSuite):
    """A suite of thirty questions a task."""

    def examples(self, task, split, count=None):
        rng = random.Random(f"{task} {split}")
        pairs = [TASKS[task](rng) for _ in range(30)][:count]
        return tuple(TARGET[task].format(**fields) for fields, _ in pairs), tuple(answer for _, answer in pairs)


def adapters(base, tasks, rank=2, untouched=None):
    """An adapter of queries and values for each task, at random; `untouched`: pattern of a matrix that is hardly changed."""
    draw, experts = torch.Generator().manual_seed(1), {}
    for task in tasks:
        names = [name for name in base if name.endswith(("Attention.q.weight", "Attention.v.weight"))]
        pairs = {name: (f"{name}A", f"{name}B") for name in names}
        weights = {}
        for name, (a, b) in pairs.items():
            size = 1e-5 if untouched and untouched in name else 0.3
            weights[a], weights[b] = torch.randn(rank, 16, generator=draw), size * torch.randn(16, rank, generator=draw)
        experts[task] = Adapter(base, weights, {name: Change(pair, 2.0) for name, pair in pairs.items()})
    return experts


@pytest.fixture
def text_suite(monkeypatch, tmp_path):
    monkeypatch.setitem(TEXT_MODELS, "tiny",
                        dict(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_decoder_layers=1, num_heads=2))
    monkeypatch.setattr(adapt_learning, "CACHE", tmp_path)
    t5.text_network.cache_clear()
    base = {name: weight.detach() for name, weight in OurT5("tiny").network().named_parameters()}
    yield Questions("tiny", "tiny", 0, base, adapters(base, ("inference", "similarity", "sentiment")), {}, "0123abcd")
    t5.text_network.cache_clear()


# --- measurements

@pytest.fixture
def suite():
    """The eight tasks' names on checkpoints of nine numbers; each expert is farther from the base than the one before."""
    draw = torch.Generator().manual_seed(0)
    base = {"w": torch.randn(9, generator=draw)}
    experts = [{"w": base["w"] + i * torch.randn(9, generator=draw)} for i in range(1, 1 + len(EIGHT))]
    return SketchSuite("tiny", "none", 0, base, dict(zip(EIGHT, experts)), {}, "0123abcd")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "results")


class Fakes:
    """Stand in for `merge` and `evaluate`: a merged model is what it was made of, and what was evaluated is kept."""

    def __init__(self):
        self.merged, self.evaluated = [], []

    def merge(self, method, base, experts, preset=None, suite=None, **options):
        seen = {} if suite is None else {"pictures": suite.tasks, "condition": suite.condition}
        self.merged.append({"method": method, "preset": preset, "options": options, "tasks": tuple(experts), **seen})
        return self.merged[-1]

    def accuracy(self, model, condition, task, split):
        return zlib.crc32(repr((model, condition, task, split)).encode()) % 600 / 600

    def evaluate(self, model, suite, tasks, split, hits):
        (task,) = tasks
        self.evaluated.append((model, suite.condition, task, split))
        found = {"accuracy": self.accuracy(*self.evaluated[-1]), "loss": 1.0, "entropy": 1.0, "n": 600, "hits": "AA=="}
        return pd.DataFrame([{"task": task, **found}])


@pytest.fixture
def fakes(monkeypatch, one_process):
    found = Fakes()
    monkeypatch.setattr(measuring, "merge", found.merge)
    monkeypatch.setattr(measuring, "evaluate", lambda *arguments, hits: found.evaluate(*arguments, hits))
    return found


@pytest.fixture
def asked(monkeypatch, fakes):
    """The jobs that experiments want on test pictures; what `choose` wants is measured, with the fakes."""
    def measure(experiment, suite, wanted, **how):
        jobs.extend(wanted)
        return pd.DataFrame([vars(job) for job in wanted])
    jobs = []
    for module in (ablations, ranks, corruptions):
        monkeypatch.setattr(module, "measure", measure)
    return jobs


def accuracies(table):
    return table[table["metric"] == "accuracy"]


@pytest.fixture
def a_checkpoint_every_step(monkeypatch):
    monkeypatch.setattr("mergelib.networks.training.time", SimpleNamespace(monotonic=count(0, 60).__next__))


# --- a pickled encoder of the first family of published experts

VISION = dict(image_size=32, width=64, layers=2, patch_size=16)
TEXT = dict(context_length=5, vocab_size=10, width=16, heads=2, layers=1)


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
