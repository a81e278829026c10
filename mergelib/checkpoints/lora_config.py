"""What does a LoRA configuration say? Rank and scale of every module; what would change the meaning is refused by name."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from .lazy import CheckpointError

CONFIG = "adapter_config.json"
TRAINING = {        # any value: how and on what an adapter was trained, not what its matrices mean
    "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "exclude_modules", "inference_mode",
    "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config", "megatron_core", "merge_weights",
    "peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type", "velora_config"}
HARMLESS = {        # name -> is a value one that can be merged?
    "peft_type": lambda value: value in (None, "LORA"),
    "init_lora_weights": lambda value: value in (None, True, False, "gaussian", "eva", "orthogonal", "mica"),  # base untouched
    "bias": lambda value: value in (None, "none", "all", "lora_only"),
    "modules_to_save": lambda value: value is None or _are(value, str),
    **dict.fromkeys(("rank_pattern", "alpha_pattern"), lambda value: value is None or isinstance(value, dict)),
    **dict.fromkeys(("use_rslora", "use_dora", "lora_bias", "fan_in_fan_out"), lambda value: value in (None, True, False))}
ADVICE = {          # what to do about those for which folding the adapter into its base is no way out
    "init_lora_weights": "It started from a changed base: save it again with path_initial_model_for_weight_conversion (PEFT: "
                         "save_pretrained), or",
    **dict.fromkeys(("alora_invocation_tokens", "arrow_config"), "What it does depends on the input, so no weights do it;")}


@dataclass(frozen=True)
class LoraConfig:
    """What of an adapter's configuration its merge depends on."""

    r: int
    alpha: float
    ranks: dict             # pattern of module names -> their rank
    alphas: dict
    rslora: bool
    transposed: bool        # whether matrices lie as in transformers' Conv1D, where their shapes do not tell
    whole: tuple            # modules that are saved whole
    has: frozenset          # of "magnitude" (DoRA) and "bias" (of B): what every module has beside A and B

    def rank(self, module):
        """The rank of a module."""
        return _by_pattern(self.ranks, module, self.r)

    def scale(self, module):
        """What a module's B A is multiplied with."""
        rank = self.rank(module)
        return _by_pattern(self.alphas, module, self.alpha) / (math.sqrt(rank) if self.rslora else rank)


def read_config(folder):
    """The `LoraConfig` of a PEFT folder.

    Raises CheckpointError for a damaged file, for ranks and alphas that are no such numbers, and for settings that are not
    known or cannot be merged, by name.
    """
    file = Path(folder) / CONFIG
    try:
        found = json.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is damaged ({error}). Fetch or write it again.") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{file} holds a {type(found).__name__}, not an object with settings. Fetch or write it again.")
    _check_known(folder, found)
    parts = frozenset(part for part, name in (("magnitude", "use_dora"), ("bias", "lora_bias")) if found.get(name))
    config = LoraConfig(found.get("r"), found.get("lora_alpha"), found.get("rank_pattern") or {},
                        found.get("alpha_pattern") or {}, bool(found.get("use_rslora")), bool(found.get("fan_in_fan_out")),
                        tuple(found.get("modules_to_save") or ()), parts)
    _check_numbers(file, config)
    return config


def _check_known(folder, found):
    """Raise CheckpointError for settings that are not known, or whose value is; it says what to do."""
    odd = {name: value for name, value in found.items()
           if name not in TRAINING | {"r", "lora_alpha"} and not HARMLESS.get(name, lambda value: not value)(value)}
    if odd:
        listed = ", ".join(f"{name}={value!r}" for name, value in odd.items())
        advice = " ".join(dict.fromkeys(ADVICE[name] for name in odd if name in ADVICE))
        raise CheckpointError(f"{folder} is an adapter with {listed}, which cannot be merged here. "
                              f"{advice or 'Fold it into its base (PEFT: merge_and_unload), save that and'} "
                              f"give the whole fine-tuned checkpoint.")


def _check_numbers(file, config):
    """Raise CheckpointError for a rank that is no positive integer, an alpha that is no number, a pattern that is none."""
    problems = [f"{name} is {value!r}, not a positive whole number"
                for name, value in [("r", config.r), *_entries("rank_pattern", config.ranks)]
                if type(value) is not int or value < 1]
    problems += [f"{name} is {value!r}, not a finite number"
                 for name, value in [("lora_alpha", config.alpha), *_entries("alpha_pattern", config.alphas)]
                 if type(value) not in (int, float) or not math.isfinite(value)]
    problems += [f"{pattern!r} is no pattern of names" for pattern in (*config.ranks, *config.alphas) if not _compiles(pattern)]
    if problems:
        raise CheckpointError(f"{file} is no configuration of LoRA: {'; '.join(problems)}. Put it right, or fetch it again.")


def _entries(name, patterns):
    return [(f"{name}[{pattern!r}]", value) for pattern, value in patterns.items()]


def _compiles(pattern):
    try:
        return re.compile(pattern) is not None
    except re.error:
        return False


def _by_pattern(patterns, module, default):
    """The value of the first pattern that fits the end of a module's name, as PEFT looks it up."""
    fitting = (value for pattern, value in patterns.items() if re.match(rf"(.*\.)?({pattern})$", module))
    return next(fitting, patterns.get(module, default))


def _are(values, kind):
    """Whether something is a list of a kind."""
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
