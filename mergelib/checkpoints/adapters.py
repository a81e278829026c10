"""How does a LoRA adapter become an expert? Its task vector is scale B A, one tensor at a time."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from .lazy import CheckpointError, facts, lazy_state

PREFIX, ENDS = "base_model.model.", (".lora_A.weight", ".lora_B.weight")
UNSUPPORTED = {     # settings of PEFT that change what the matrices mean: name -> is the value harmless?
    "use_dora": lambda value: not value, "bias": lambda value: value in (None, "none"),
    "lora_bias": lambda value: not value, "modules_to_save": lambda value: not value,
    "rank_pattern": lambda value: not value, "alpha_pattern": lambda value: not value,
    "layer_replication": lambda value: not value, "target_parameters": lambda value: not value,
    "init_lora_weights": lambda value: value in (None, True, False, "gaussian", "eva", "orthogonal"),
    "peft_type": lambda value: value in (None, "LORA")}


class Adapter(Mapping):
    """An expert of `base` given by a PEFT LoRA folder; the matrices are read when a tensor is asked for.

    As a mapping it is the dense expert in the base's dtypes; `delta` is its task vector without that rounding.
    """

    def __init__(self, base, weights, pairs, scale, transposed):
        self.base, self.weights, self.scale, self.transposed = base, weights, scale, transposed
        self.pairs = pairs          # name of a base tensor -> names of its A (r x columns) and B (rows x r)

    def delta(self, name):
        """The task vector of one tensor, fp32: scale B A; a single zero where the adapter changes nothing."""
        if name not in self.pairs:
            return torch.zeros(())
        a, b = (self.weights[key].float() for key in self.pairs[name])
        product = (b @ a).mul_(self.scale)
        return product.T if self.transposed else product

    def __getitem__(self, name):
        tensor = self.base[name]
        return (tensor.float() + self.delta(name).to(tensor.device)).to(tensor.dtype) if name in self.pairs else tensor

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
        pairs = {name: self.pairs[name]} if name in self.pairs else {}
        return Adapter({}, self.weights, pairs, self.scale, self.transposed)

    def paths(self):
        """The files that hold numbers."""
        return self.weights.paths()


def is_adapter(path):
    """Whether a path is a folder as PEFT writes it."""
    return (Path(path) / "adapter_config.json").exists()


def read_adapter(folder, base):
    """The `Adapter` in a PEFT folder (adapter_config.json, adapter_model.safetensors) for a base.

    Raises CheckpointError for kinds of adapter that are not supported, by name, and for matrices that do not fit the base.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "adapter_config.json").read_text())
    except ValueError as error:
        raise CheckpointError(f"{folder}/adapter_config.json is damaged ({error}). Fetch or write it again.") from error
    odd = [f"{name}={config[name]!r}" for name, harmless in UNSUPPORTED.items() if not harmless(config.get(name))] \
        if isinstance(config, dict) and {"r", "lora_alpha"} <= config.keys() else ["no r and lora_alpha"]
    if odd:
        raise CheckpointError(f"{folder} is an adapter with {', '.join(odd)}; only plain LoRA can be merged. Fold it into its "
                              f"base (PEFT: merge_and_unload) and give the whole checkpoint.")
    weights = lazy_state(folder / "adapter_model.safetensors")
    scale = config["lora_alpha"] / (math.sqrt(config["r"]) if config.get("use_rslora") else config["r"])
    adapter = Adapter(base, weights, _pairs(folder, weights), scale, bool(config.get("fan_in_fan_out")))
    _check_fit(folder, adapter)
    return adapter


def _pairs(folder, weights):
    """Name of a base tensor -> the keys of its A and its B; CheckpointError names keys that are neither."""
    modules = {key.removesuffix(end) for key in weights for end in ENDS if key.startswith(PREFIX) and key.endswith(end)}
    pairs = {f"{module.removeprefix(PREFIX)}.weight": tuple(module + end for end in ENDS) for module in sorted(modules)}
    wanted = {key for pair in pairs.values() for key in pair}
    if odd := sorted(wanted ^ set(weights)):
        raise CheckpointError(f"{folder}: these are no pairs {PREFIX}MODULE{ENDS[0]} and {ENDS[1]}, or lack their other half: "
                              f"{', '.join(odd[:6])}{', ...' if len(odd) > 6 else ''}. Only plain LoRA can be merged.")
    return pairs


def _check_fit(folder, adapter):
    """Raise CheckpointError that lists the adapted tensors which the base lacks or has in another shape."""
    problems = []
    for name, (a, b) in adapter.pairs.items():
        if name not in adapter.base:
            problems.append(f"the base has no tensor {name}")
            continue
        (rows, rank), (inner, columns) = (adapter.weights.facts(key)[0][:2] for key in (b, a))
        shape, product = facts(adapter.base, name)[0], (columns, rows) if adapter.transposed else (rows, columns)
        if rank != inner or shape != product:
            problems.append(f"{name}: B A has shape {product} through ranks {rank} and {inner}, the base has {shape}")
    if problems:
        example = next((name for name in adapter.base if name.endswith("weight")), "none ends in weight")
        raise CheckpointError(f"{folder} is no adapter of this base (whose names look like {example}):\n  "
                              + "\n  ".join(problems))
