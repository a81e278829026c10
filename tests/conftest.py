"""A tiny random base and its experts, named as open_clip names the tensors of an image tower."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

SHAPES = {
    "class_embedding": (16,),
    "conv1.weight": (8, 3, 2, 2),
    "positional_embedding": (5, 16),
    "transformer.resblocks.0.ln_1.weight": (16,),
    "transformer.resblocks.0.attn.in_proj_weight": (48, 16),
    "transformer.resblocks.0.mlp.c_fc.weight": (64, 16),
}
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


@pytest.fixture
def one_process(monkeypatch):
    """Measurements are made in this process, where the test's stand-ins are known."""
    monkeypatch.setattr("mergelib.workers.cores", lambda: 1)


@pytest.fixture
def tiny_suite(monkeypatch, tmp_path):
    """A suite of two tasks on an image tower of one layer, with random weights and pictures without labels."""
    from mergelib import models
    from mergelib.adapt import coefficients
    monkeypatch.setitem(models.TOWERS, "tiny", dict(width=32, layers=1, patch_size=16))
    monkeypatch.setattr(coefficients, "CACHE", tmp_path)
    draw, tasks = torch.Generator().manual_seed(0), ("digits", "signs")
    base = models.build_clip("tiny").visual.state_dict()
    experts = {task: {name: tensor + 0.05 * torch.randn(tensor.shape, generator=draw) for name, tensor in base.items()}
               for task in tasks}
    pixels = {task: np.random.default_rng(i).integers(256, size=(40, 32, 32, 3), dtype=np.uint8)
              for i, task in enumerate(tasks)}

    def pictures(task, split, count=None):      # test pictures come without labels: nothing may look at them
        return pixels[task][:count], None if split == "test" else np.arange(len(pixels[task][:count])) % (5 + tasks.index(task))

    return SimpleNamespace(name="tiny", model="tiny", digest="0", condition="clean", tasks=tasks, base=base, experts=experts,
                           heads={task: torch.randn(128, 5 + i, generator=draw) for i, task in enumerate(tasks)},
                           pictures=pictures)
