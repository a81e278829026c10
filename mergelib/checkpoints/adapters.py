"""How does a LoRA adapter become an expert? Its task vector is scale B A, or what it replaces, one tensor at a time."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch

from .lazy import CheckpointError, facts, lazy_state
from .lora_config import CONFIG, read_config
from .lora_fit import fit, plain

WEIGHTS, PREFIX = "adapter_model.safetensors", "base_model.model."
KEY = re.compile(r"(?P<module>.+)\.lora_(?:(?P<matrix>[AB])\.weight|embedding_(?P<embedding>[AB])|B\.(?P<bias>bias)"
                 r"|(?P<magnitude>magnitude)_vector(?:\.weight)?)")
UNUSED = re.compile(r"\.original_module\.|\.lora_velora_embed$")       # the base's own, and what only training needs


class Adapter(Mapping):
    """An expert of `base` given by a PEFT LoRA folder; the matrices are read when a tensor is asked for.

    As a mapping it is the dense expert in the base's dtypes; `delta` is its task vector without that rounding.
    """

    def __init__(self, base, weights, touched):
        self.base, self.weights = base, weights
        self.touched = touched      # name of a base tensor -> its `Change`

    def delta(self, name):
        """The task vector of one tensor, fp32; a single zero where the adapter changes nothing."""
        if name not in self.touched:
            return torch.zeros(())
        change = self.touched[name]
        return change.delta(self.weights, self.base[name] if change.needs_base else None)

    def __getitem__(self, name):
        tensor, change = self.base[name], self.touched.get(name)
        if change is None:
            return tensor
        if change.keys == [change.whole]:
            return self.weights[change.whole].to(tensor)
        return (tensor.float() + change.delta(self.weights, tensor).to(tensor.device)).to(tensor.dtype)

    def __contains__(self, name):        # Mapping's own would read the tensor
        return name in self.base

    def __iter__(self):
        return iter(self.base)

    def __len__(self):
        return len(self.base)

    def facts(self, name):
        """(shape, dtype) as the base has them."""
        return facts(self.base, name)

    def only(self, name):
        """The same expert with nothing but one tensor; of the base no more than `delta` needs."""
        change = self.touched.get(name)
        base = _some(self.base, [name] if change and change.needs_base else [])
        return Adapter(base, _some(self.weights, change.keys if change else []), {name: change} if change else {})

    def paths(self):
        """The files that hold numbers."""
        return self.weights.paths()


def _some(state, names):
    """A state dict, in memory or on disk, with some of its tensors only."""
    return state.only(*names) if hasattr(state, "only") else {name: state[name] for name in names}


def is_adapter(path):
    """Whether a path is a folder as PEFT writes it."""
    return (Path(path) / CONFIG).exists()


def read_adapter(folder, base):
    """The `Adapter` in a PEFT folder (adapter_config.json, adapter_model.safetensors) for a base.

    Its weights are those that PEFT's merge_and_unload gives: for linear and convolutional layers, embeddings and
    nn.MultiheadAttention, with patterns of ranks and alphas, rsLoRA, DoRA, biases and modules saved whole.

    Raises CheckpointError for what cannot be merged, by name, and for tensors that do not fit the base or the configuration.
    """
    folder = Path(folder)
    config, weights = read_config(folder), lazy_state(_file(folder))
    modules, whole = _sorted_keys(folder, weights)
    _check_saved(folder, config, base, whole)
    touched, problems = fit(config, weights, base, modules, whole)
    if problems:
        example = next((name for name in base if name.endswith("weight")), "none ends in weight")
        raise CheckpointError(f"{folder / WEIGHTS} does not fit this base (whose names look like {example}) or {CONFIG}:\n  "
                              + "\n  ".join(problems))
    return Adapter(base, weights, touched)


def _file(folder):
    """The file with an adapter's matrices; CheckpointError says how to convert a pickled one."""
    if (folder / WEIGHTS).exists():
        return folder / WEIGHTS
    if not (folder / "adapter_model.bin").exists():
        raise CheckpointError(f"{folder} holds {CONFIG} and no {WEIGHTS}, so it has no matrices. Fetch that file, too.")
    raise CheckpointError(f"{folder} holds adapter_model.bin. Such pickled files (.bin) can run code when they are read. "
                          f"Convert it in that folder and call again: from safetensors.torch import save_file; "
                          f"save_file({{name: tensor.clone() for name, tensor in torch.load('adapter_model.bin', "
                          f"weights_only=True).items()}}, '{WEIGHTS}')")


def _sorted_keys(folder, weights):
    """(module -> its parts A, B, bias and magnitude -> key; name of a tensor -> key of what replaces it)."""
    modules, whole, odd = defaultdict(dict), {}, []
    for key in sorted(weights):
        name = key.removeprefix(PREFIX)
        if UNUSED.search(name):
            continue
        if name == key or (plain(name) in whole and ".modules_to_save." not in name):
            odd.append(key)
        elif match := KEY.fullmatch(name):
            modules[match["module"]][next(filter(None, match.groups()[1:]))] = key
        elif "lora_" in name:
            odd.append(key)
        else:
            whole.setdefault(plain(name), key)
    odd += [key for parts in modules.values() if not _are_pair(parts) for key in parts.values()]
    odd += [whole[name] for name in (f"{plain(module)}.weight" for module in modules)
            if name in whole and ".base_layer." not in whole[name]]     # replaced and changed at once
    if odd:
        raise CheckpointError(f"{folder / WEIGHTS}: these are no pairs {PREFIX}MODULE.lora_A.weight and .lora_B.weight (of an "
                              f"embedding: lora_embedding_A and _B), or lack their other half, or nothing is known of them: "
                              f"{', '.join(odd[:6])}{', ...' if len(odd) > 6 else ''}. Fold the adapter into its base (PEFT: "
                              f"merge_and_unload) and give the whole checkpoint.")
    return modules, whole


def _are_pair(parts):
    """Whether there are an A and a B, both of an embedding or neither."""
    return {"A", "B"} <= parts.keys() and parts["A"].replace("lora_A", "lora_B").replace("g_A", "g_B") == parts["B"]


def _check_saved(folder, config, base, whole):
    """Raise CheckpointError if a module that the configuration says is saved whole is in the base and not in the file."""
    missing = [module for module in config.whole
               if not _holds(whole, module) and _holds(base, module)]     # PEFT lists what the base need not have
    if missing:
        raise CheckpointError(f"{folder / CONFIG} says that {', '.join(missing)} is saved whole (modules_to_save), but "
                              f"{WEIGHTS} holds no tensor of it. Save the adapter again, or fetch all of it.")


def _holds(names, module):
    """Whether a module is among the names of tensors."""
    return any(f".{module}." in f".{name}" for name in names)
