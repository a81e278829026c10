"""Do the files beside two checkpoints speak of one model? Configurations and vocabularies that contradict each other."""

import json
import re
from pathlib import Path

from .lazy import CheckpointError
from .tied import untied

# What decides how weights are used. The rest may differ between fine-tunings: labels, dropout, versions, names ...
MEANING = re.compile(r"^(model_type|n_head|(num|n)_?(attention|key_value|encoder_attention|decoder_attention)?_?(heads|groups)"
                     r"|.*attention_heads|.*key_value_heads|head_dim|d_kv|.*activation(_function)?|hidden_act|feed_forward_proj"
                     r"|rope_.*|rotary_.*|partial_rotary_factor|.*(layer_?norm|rms_norm|norm)_(eps|epsilon)|sliding_window"
                     r"|position_embedding_type|relative_attention_.*|.*softcapping|.*_multiplier|num_experts_per_tok"
                     r"|norm_topk_prob|patch_size|alibi|parallel_attn|use_parallel_residual|query_pre_attn_scalar|layer_types)$")


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


def check_ties(source, base, experts, rules):
    """Raise CheckpointError if an expert unties what the base's config.json says is tied: readers would drop one of the two.

    `source`: where the base lies; `rules`: what becomes of its tensors, of which those that stay the base's do not matter.
    """
    config = _read(source, "config.json") if isinstance(source, (str, Path)) else {}
    if not config or config.get("tie_word_embeddings", True) is False:
        return
    merged = [name for name, rule in rules.items() if rule != "base"]
    for task, expert in experts.items():
        if pair := untied(base, expert, merged):
            raise CheckpointError(f"expert {task}: {pair[0]} and {pair[1]} differ, and are one tensor in the base, whose "
                                  f"config.json ties them (tie_word_embeddings), so that one would be lost. If they are meant "
                                  f"to be two, say false there; else save the expert again with both alike.")


def _contradictions(base, expert):
    """Lines that say in what two checkpoints contradict each other."""
    if not isinstance(base, (str, Path)) or not isinstance(expert, (str, Path)):
        return
    ours, theirs = (_flat(_read(path, "config.json")) for path in (base, expert))
    for name in _compared(ours, theirs):
        if MEANING.search(name.rpartition(".")[2]) and ours.get(name) != theirs.get(name):
            yield f"config.json says {name} {theirs.get(name)!r}, the base's {ours.get(name)!r}"
    ours, theirs = _vocabulary(base), _vocabulary(expert)
    if odd := [word for word in ours.keys() & theirs.keys() if ours[word] != theirs[word]]:
        word = min(odd, key=ours.get)
        yield (f"the vocabularies give {len(odd)} words other numbers, such as {word!r}: {theirs[word]}, the base's "
               f"{ours[word]}")


def _compared(ours, theirs):
    """The names of the entries that two flat configurations both have, and of those of rope that matter if one has them."""
    both = {name for name in ours.keys() & theirs.keys() if name.endswith("sliding_window")
            or ours[name] is not None and theirs[name] is not None}       # what is not said follows from the rest
    for name in ours.keys() ^ theirs.keys():
        place, _, entry = name.rpartition("rope_scaling/")
        if entry in ("rope_type", "factor") and all(f"{place}rope_theta" in config for config in (ours, theirs)):
            both.add(name)
    return sorted(both)


def _flat(config, before=""):
    """The entries of a configuration, those inside others under joined names; those of rope and windows in one form."""
    found = {}
    for name, value in config.items() if isinstance(config, dict) else ():
        if name in ("rope_parameters", "rope_scaling"):
            found |= _rope(value, before)
        elif isinstance(value, dict) and name.endswith("_config"):
            found |= _flat(value, f"{before}{name}.")
        elif name == "sliding_window" and config.get("use_sliding_window") is False:
            found[before + name] = None         # as transformers writes it since it does so
        else:
            found[before + name] = value
    return found


def _rope(entries, before):
    """How positions turn, whether as rope_scaling, older or newer, or as rope_parameters; the default says nothing."""
    found = {}
    for name, value in entries.items() if isinstance(entries, dict) else ():
        if isinstance(value, dict):             # of one kind of layers
            found |= _rope(value, f"{before}{name}.")
        elif name == "rope_theta":
            found[before + name] = value
        elif value not in (None, "default", "mrope"):
            found[f"{before}rope_scaling/{'rope_type' if name == 'type' else name}"] = "longrope" if value == "su" else value
    return found


def _vocabulary(path):
    """Word -> number, from tokenizer.json, vocab.json or vocab.txt, and of the words that were added; {} without them."""
    tokenizer = _read(path, "tokenizer.json")
    model, added = tokenizer.get("model"), tokenizer.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):            # of unigrams, with their scores
        vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary) if isinstance(entry, list) and entry}
    vocabulary = vocabulary if isinstance(vocabulary, dict) else _read(path, "vocab.json") or _lines(path, "vocab.txt")
    added = {entry["content"]: entry.get("id") for entry in added if isinstance(entry, dict) and "content" in entry} \
        if isinstance(added, list) else _read(path, "added_tokens.json")
    return {word: number for word, number in {**vocabulary, **added}.items() if isinstance(number, int)}


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
