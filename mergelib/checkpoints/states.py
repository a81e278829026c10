"""How are state dicts read and written safely, and which checkpoints do not fit together?"""

import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..paths import write_atomically
from .adapters import is_adapter, read_adapter
from .files import CheckpointError, check_there
from .folders import PICKLES, check_whole, pickle_in
from .handed import state_of
from .lazy import LazyState, lazy_state
from .pickles import read_pickled_state
from .quantised import check_numbers


def open_state(source, base=None):
    """A checkpoint whose tensors are read when asked for; a state dict is handed back as it is.

    `source`: a .safetensors file, an index or a folder (see `folders`), a pickled state dict, which is read into memory, what
    `handed.state_of` takes, or, for an expert of `base` (as this function returns it), a PEFT LoRA folder. Raises
    CheckpointError for what is missing, damaged, quantised or could run code.
    """
    if not isinstance(source, str | os.PathLike):
        return state_of(source)
    check_there(source)
    path = Path(source)
    if path.name.startswith("adapter_model.") and is_adapter(path.parent):
        path = path.parent
    if path.is_dir() and is_adapter(path):
        return _adapter(path, base)
    file = pickle_in(path) if path.is_dir() else path
    if file and file.suffix in PICKLES:
        return _unpickled(file)
    return lazy_state(path)


def _adapter(folder, base):
    """The adapter in a folder that holds nothing else which could be meant."""
    if whole := sorted(file.name for file in folder.glob("model*.safetensors*")):
        raise CheckpointError(f"{folder} holds a whole model ({whole[0]}) beside an adapter (adapter_config.json). Give "
                              f"{folder / whole[0]}, or put the adapter into a folder of its own.")
    if base is None:
        raise CheckpointError(f"{folder} is a LoRA adapter. It can be an expert; give the model it was trained on as the base.")
    return read_adapter(folder, base)


def _unpickled(file):
    """The state dict in a pickled file, in memory; of the file nothing is run."""
    check_whole(file)
    state = state_of(read_pickled_state(file), str(file))
    check_numbers({name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}, file, file)
    return state


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
