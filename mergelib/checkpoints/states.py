"""How are state dicts read and written safely, and which checkpoints do not fit together?"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from ..paths import write_atomically
from .adapters import is_adapter, read_adapter
from .lazy import CheckpointError, LazyState, lazy_state


def open_state(source, base=None):
    """A checkpoint whose tensors are read when asked for; a mapping is handed back as it is.

    `source`: a .safetensors file, a folder with one or with an index of several, or, for an expert of `base` (as this
    function returns it), a PEFT LoRA folder. Raises CheckpointError for what is missing, damaged or could run code.
    """
    if not isinstance(source, (str, Path)):
        return source
    if not is_adapter(source):
        return lazy_state(source)
    if base is None:
        raise CheckpointError(f"{source} is a LoRA adapter. It can be an expert; give the model it was trained on as the base.")
    return read_adapter(source, base)


def read_state(source, base=None):
    """What `open_state` opens, read into memory as a state dict (name -> tensor), but for an adapter, which stays one."""
    state = open_state(source, base)
    return state.load() if isinstance(state, LazyState) else state


def write_state(file, state, metadata=None):
    """Write a state dict as safetensors, whole or not at all; `metadata` holds strings only."""
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    write_atomically(file, lambda part: save_file(state, part, metadata=metadata))


def flatten_state(state):
    """All floating-point tensors of a state dict as one long vector in sorted-name order.

    In fp64: sums over millions of entries would differ in the third digit between processors.
    """
    return torch.cat([state[name].flatten().double() for name in sorted(state) if state[name].is_floating_point()])
