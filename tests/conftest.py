"""A tiny random base and its experts, named as open_clip names the tensors of an image tower."""

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
