"""What did a person hand over in place of a state dict? Modules, wrapped state dicts and arrays become one, or are refused."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from .files import CheckpointError, few
from .quantised import check_numbers

TENSORS = (torch.Tensor, np.ndarray, np.generic)
BESIDE = ("optim", "sched", "scaler", "rng")        # in the names of entries that hold no weights


def state_of(source, what="a state dict"):
    """A state dict (name -> tensor): from an nn.Module, a mapping, or a mapping that has one in an entry of its own.

    `what`: how messages call it. What is a state dict already is handed back as it is, and so is what reads its tensors
    when asked (it has `facts`). Raises CheckpointError for what else there is, for tensors without plain numbers (meta,
    sparse, complex, quantised, fp8), and for quantised checkpoints.
    """
    if hasattr(source, "facts"):
        return source
    state = source.state_dict() if isinstance(source, nn.Module) else source
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{what} is {_kind(source)}. Give a state dict (name -> tensor), a module, or the path of a "
                              f"checkpoint.")
    state = _unwrapped(state, what)
    if any(not isinstance(tensor, torch.Tensor) for tensor in state.values()):
        state = {name: _tensor(what, name, array) for name, array in state.items()}
    for name, tensor in state.items():
        _check(what, name, tensor)
    check_numbers({name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}, what)
    return state


def is_state(thing):
    """Whether a mapping holds tensors under names itself."""
    return isinstance(thing, Mapping) and any(isinstance(value, TENSORS) and value.ndim for value in thing.values())


def _unwrapped(state, what, depth=3):
    """The state dict in a mapping: itself, or the only one among its entries, such as "state_dict" or "model"."""
    if not state or all(isinstance(value, TENSORS) for value in state.values()):
        return state
    inner = {key: value.state_dict() if isinstance(value, nn.Module) else value for key, value in state.items()
             if isinstance(value, Mapping | nn.Module) and not any(word in str(key).lower() for word in BESIDE)}
    found = [key for key, value in inner.items() if _leads_to_tensors(value)] if depth else []
    if len(found) == 1 and not is_state(state):
        return _unwrapped(inner[found[0]], f"{what}[{found[0]!r}]", depth - 1)
    if len(found) > 1:
        raise CheckpointError(f"{what} holds several state dicts: {few(map(repr, found))}. Give one of them, such as "
                              f"checkpoint[{found[0]!r}].")
    odd = [f"{key!r} ({_kind(value)})" for key, value in state.items() if not isinstance(value, TENSORS)]
    raise CheckpointError(f"{what} holds {type(state).__name__}, not a state dict of tensors: it has {few(odd)}. Give a state "
                          f"dict (name -> tensor) without that.")


def _leads_to_tensors(value, depth=3):
    """Whether a mapping is a state dict or has one in it."""
    if not isinstance(value, Mapping):
        return isinstance(value, nn.Module)
    return is_state(value) or depth > 0 and any(_leads_to_tensors(inner, depth - 1) for inner in value.values())


def _tensor(what, name, array):
    """A NumPy array as a tensor on the same numbers; a tensor as it is."""
    if isinstance(array, torch.Tensor):
        return array
    array = np.asarray(array)
    try:
        if array.dtype.name == "bfloat16":          # of ml_dtypes, as JAX has it
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        return torch.from_numpy(native if native.flags.writeable and min(native.strides, default=0) >= 0 else native.copy())
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{what}: {name} is an array of {array.dtype}, which no tensor can hold. Convert it to "
                              f"float32.") from error


def _check(what, name, tensor):
    """Raise CheckpointError unless an entry has a name and a tensor with numbers of its own."""
    if not isinstance(name, str):
        raise CheckpointError(f"{what} has the name {name!r}, which is {_kind(name)}. Tensors have names that are text.")
    odd = ("on the device meta, so it has no numbers; load the weights first" if tensor.is_meta else
           "nested; give its parts as tensors of their own" if tensor.is_nested else
           "sparse; give tensor.to_dense()" if tensor.layout is not torch.strided else
           "quantised; give tensor.dequantize() or, better, what it was quantised from" if tensor.is_quantized else
           "complex; give its real and imaginary parts as tensors of their own" if tensor.is_complex() else
           f"a {type(tensor).__name__}; give plain tensors" if hasattr(tensor, "__tensor_flatten__") else "")
    if odd:
        raise CheckpointError(f"{what}: {name} is {odd}.")


def _kind(thing):
    """What something is, in a word or two."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    return {"NoneType": "None"}.get(type(thing).__name__, f"of type {type(thing).__name__}")
