"""How are state dicts read and written safely, and which checkpoints do not fit together?"""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .paths import write_atomically


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or checkpoints that cannot be merged; the message lists every reason."""


def read_state(source):
    """A state dict (name -> tensor) from a `.safetensors` file; a mapping is handed back as it is.

    Raises CheckpointError when the file is missing, damaged, or in a format that could run code when read.
    """
    if not isinstance(source, (str, Path)):
        return source
    file = Path(source)
    if not file.exists():
        raise CheckpointError(f"{file} does not exist. Give the path of a .safetensors file.")
    if file.suffix != ".safetensors":
        raise CheckpointError(f"{file} is not a .safetensors file. Pickled checkpoints (.pt, .bin) can run code when "
                              f"they are read; convert them with safetensors.torch.save_file first.")
    try:
        with safe_open(file, framework="pt") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}
    except SafetensorError as error:
        raise CheckpointError(f"{file} is damaged or cut short ({error}). Fetch or write it again.") from error


def write_state(file, state, metadata=None):
    """Write a state dict as safetensors, whole or not at all; `metadata` holds strings only."""
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    write_atomically(file, lambda part: save_file(state, part, metadata=metadata))


def check_compatible(base, experts):
    """Raise CheckpointError unless every expert has the base's names, shapes and dtypes and only finite numbers.

    `base`: state dict; `experts`: mapping from task to state dict. All mismatches are listed, not only the first.
    An expert equal to the base is refused too: its task vector is zero, which is hardly ever what was meant.
    """
    if not experts:
        raise CheckpointError("There is no expert to merge. Give at least one.")
    if not base:
        raise CheckpointError("The base has no tensors. If it is a suite's, the weights of that tower are not shipped: train "
                              "them with `make zoo TOWER=...`.")
    problems = [f"base: {line}" for line in _not_finite(base)]
    for task, expert in experts.items():
        found = _mismatches(base, expert) + _not_finite(expert)
        if not found and all(torch.equal(expert[name], tensor) for name, tensor in base.items()):
            found = ["is equal to the base, so there is nothing to merge. Was it fine-tuned and saved?"]
        problems += [f"expert {task}: {line}" for line in found]
    if problems:
        raise CheckpointError("These checkpoints cannot be merged:\n  " + "\n  ".join(problems))


def _mismatches(base, expert):
    """Lines that say where an expert's names, shapes and dtypes differ from the base's."""
    lines = [f"has no tensor {name}" for name in base if name not in expert]
    lines += [f"has a tensor that the base lacks: {name}" for name in expert if name not in base]
    for name in sorted(set(base) & set(expert)):
        ours, theirs = base[name], expert[name]
        if ours.shape != theirs.shape:
            lines.append(f"{name} has shape {tuple(theirs.shape)}, the base has {tuple(ours.shape)}")
        elif ours.dtype != theirs.dtype:
            lines.append(f"{name} is {theirs.dtype}, the base is {ours.dtype}; convert one of them")
    return lines


def _not_finite(state):
    """Lines that name the tensors with NaN or infinity and count them."""
    counts = {name: int((~torch.isfinite(tensor)).sum()) for name, tensor in state.items() if tensor.is_floating_point()}
    return [f"{name} holds {count} values that are NaN or infinite" for name, count in counts.items() if count]
