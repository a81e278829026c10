"""Do the files beside two checkpoints speak of one model? Configurations and vocabularies that contradict each other."""

import json
import re
from pathlib import Path

from .lazy import CheckpointError

# What decides how weights are used. The rest may differ between fine-tunings: labels, dropout, versions, names ...
MEANING = re.compile(r"^(model_type|n_head|(num|n)_?(attention|key_value|encoder_attention|decoder_attention)?_?(heads|groups)"
                     r"|.*attention_heads|.*key_value_heads|head_dim|d_kv|.*activation(_function)?|hidden_act|feed_forward_proj"
                     r"|rope_.*|rotary_.*|partial_rotary_factor|.*(layer_?norm|rms_norm|norm)_(eps|epsilon)|sliding_window"
                     r"|position_embedding_type|relative_attention_.*|.*softcapping|.*_multiplier|num_experts_per_tok"
                     r"|norm_topk_prob|patch_size|alibi|parallel_attn|use_parallel_residual)$")


def check_configs(base, experts):
    """Raise CheckpointError where what lies beside an expert contradicts what lies beside the base.

    `base`: the path of a folder or file; `experts`: mapping from task to such. What is in memory, or has no such files, is
    passed over. Compared are those entries of config.json that decide how weights are used, where both have them, and the
    numbers of the words that both vocabularies have.
    """
    problems = [f"expert {task}: {line}" for task, expert in experts.items() for line in _contradictions(base, expert)]
    if problems:
        raise CheckpointError("These checkpoints have the same shapes and are not the same model:\n  " + "\n  ".join(problems)
                              + "\nIf that is meant, make the files alike.")


def _contradictions(base, expert):
    """Lines that say in what two checkpoints contradict each other."""
    if not isinstance(base, (str, Path)) or not isinstance(expert, (str, Path)):
        return
    ours, theirs = (_flat(_read(path, "config.json")) for path in (base, expert))
    for name in sorted(ours.keys() & theirs.keys()):
        if MEANING.search(name.rpartition(".")[2]) and ours[name] != theirs[name]:
            yield f"config.json says {name} {theirs[name]!r}, the base's {ours[name]!r}"
    ours, theirs = _vocabulary(base), _vocabulary(expert)
    if odd := [word for word in ours.keys() & theirs.keys() if ours[word] != theirs[word]]:
        word = min(odd, key=ours.get)
        yield (f"the vocabularies give {len(odd)} words other numbers, such as {word!r}: {theirs[word]}, the base's "
               f"{ours[word]}")


def _flat(config, before=""):
    """The entries of a configuration, those inside others under joined names; those of rope as older versions wrote them."""
    found = {}
    for name, value in config.items() if isinstance(config, dict) else ():
        if name == "rope_parameters" and isinstance(value, dict):
            found |= {f"{before}{inner}": entry for inner, entry in value.items() if inner == "rope_theta"}
        elif isinstance(value, dict) and name.endswith("_config"):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[before + name] = value
    return found


def _vocabulary(path):
    """Word -> number, from tokenizer.json, vocab.json or vocab.txt; {} without them."""
    model = _read(path, "tokenizer.json").get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):            # of unigrams, with their scores
        return {entry[0]: number for number, entry in enumerate(vocabulary) if isinstance(entry, list) and entry}
    vocabulary = vocabulary if isinstance(vocabulary, dict) else _read(path, "vocab.json") or _lines(path, "vocab.txt")
    return {word: number for word, number in vocabulary.items() if isinstance(number, int)}


def _lines(path, name):
    """Line -> its number, of a text beside a checkpoint; {} where there is none."""
    try:
        lines = (_folder(path) / name).read_text().splitlines()
    except (OSError, ValueError):
        return {}
    return {line: number for number, line in enumerate(lines)}


def _read(path, name):
    """A JSON object beside a checkpoint; {} where there is none."""
    try:
        found = json.loads((_folder(path) / name).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _folder(path):
    """Where a checkpoint lies."""
    return Path(path) if Path(path).is_dir() else Path(path).parent
