"""Which checkpoints do not fit together, and why? Every mismatch by name, before anything is merged."""

import re

from .adapters import Adapter
from .blocks import matching
from .compare import changed
from .lazy import CheckpointError, LazyState, facts, not_finite
from .tied import copies

EMBEDDINGS = ("embed_tokens", "embed_in", "embed_out", "word_embeddings", "token_embedding", "tok_embeddings", "wte",
              "lm_head", "shared.weight")
# What some versions of a library store and others do not: constants that follow from the configuration.
CONSTANTS = re.compile(r"(position_ids|token_type_ids|inv_freq|masked_bias|attn_mask|causal_mask|cos_cached|sin_cached"
                       r"|freqs_cis|relative_position_index|num_batches_tracked|_extra_state)$")


def check_given(base, experts):
    """Raise CheckpointError unless there is a base with tensors, and an expert."""
    if not experts:
        raise CheckpointError("There is no expert to merge. Give at least one.")
    if not base:
        shipped = " If it is a suite's, the weights of that tower are not shipped: train them with `make zoo TOWER=...`."
        raise CheckpointError(f"The base has no tensors.{'' if isinstance(base, LazyState) else shipped}")


def check_compatible(base, experts, rules, keys=""):
    """Raise CheckpointError unless every expert has the tensors that are to be merged, in the base's shapes and finite.

    `base`: state dict or what `open_state` gives; `experts`: mapping from task to such; `rules`: what becomes of each of the
    base's tensors, see `merging.plan.which_rules`: those that stay the base's need not fit; `keys`: the pattern behind them.
    All mismatches are listed, not only the first; of a checkpoint on disk the numbers are not looked at before they are merged.
    Returns lines that say what is left out. An expert equal to the base is refused too: its task vector is zero, which is
    hardly ever what was meant.
    """
    wanted = [name for name, rule in rules.items() if rule != "base" and not rule.startswith("as ")]
    problems, notes = [f"base: {line}" for line in _not_finite(base, wanted)], []
    for task, expert in experts.items():
        found = _misfits(base, expert, wanted) + _additions(base, expert, keys) + _not_finite(expert, wanted)
        if not found and not any(changed(base, [expert], name) for name in (*wanted, *base) if name in expert):
            found = ["is equal to the base, so there is nothing to merge. Was it fine-tuned and saved?"]
        problems += [f"expert {task}: {line}" for line in found]
        notes += [f"expert {task}: {line}" for line in _left_out(base, expert, rules)]
    if problems:
        raise CheckpointError("These checkpoints cannot be merged:\n  " + "\n  ".join(problems))
    return notes


def _misfits(base, expert, wanted):
    """Lines that say which tensors to be merged an expert lacks, or has in another shape or as whole numbers."""
    lines = [f"has no tensor {name}" for name in wanted if name not in expert]
    for name in filter(expert.__contains__, wanted):
        (ours, our_dtype), (theirs, their_dtype) = facts(base, name), facts(expert, name)
        if ours != theirs:
            lines.append(f"{name} has shape {theirs}, the base has {ours}{_vocabulary(name, ours, theirs)}")
        elif not their_dtype.is_floating_point:
            lines.append(f"{name} is {their_dtype}, the base is {our_dtype}")
    return lines


def _additions(base, expert, keys):
    """Lines that name the tensors of an expert that would be merged if the base had them."""
    if isinstance(expert, Adapter) or not (extra := [name for name in expert if name not in base]):
        return []
    would_be = set(matching(keys, {name: len(facts(expert, name)[0]) for name in expert}))
    known = copies(expert, base)
    return [f"has a tensor that the base lacks: {name}" for name in extra
            if name in would_be and name not in known and not is_constant(expert, name)]


def _left_out(base, expert, rules):
    """Lines that say which tensors of an expert do not matter, because the base lacks them or keeps its own."""
    lines = [f"{name} is left out: the base lacks it" for name in expert if name not in base]
    for name in (name for name, rule in rules.items() if rule == "base"):
        if name not in expert:
            lines.append(f"{name} stays the base's: the expert lacks it")
        elif facts(base, name)[0] != facts(expert, name)[0]:
            lines.append(f"{name} stays the base's: the expert has shape {facts(expert, name)[0]}, not {facts(base, name)[0]}")
    return lines if len(lines) < 7 else [*lines[:5], f"and so with {len(lines) - 5} more tensors"]


def is_constant(state, name):
    """Whether a tensor is a buffer that is the same in all checkpoints of a model."""
    return bool(CONSTANTS.search(name)) or (name.endswith("attn.bias") and len(facts(state, name)[0]) > 2)


def _vocabulary(name, ours, theirs):
    """What to do about an embedding of another length; nothing for other tensors."""
    if len(ours) != 2 or ours[1:] != theirs[1:] or not any(part in name for part in EMBEDDINGS):
        return ""
    return (f": the vocabularies differ. If the first {min(ours[0], theirs[0])} tokens are the same, bring both to one length "
            f"(transformers: model.resize_token_embeddings({ours[0]})) and save again")


def _not_finite(state, names):
    """Lines that name the tensors with NaN or infinity and count them; on disk that is found when they are read."""
    if isinstance(state, (LazyState, Adapter)):
        return []
    counts = {name: not_finite(state[name]) for name in names if name in state}
    return [f"{name} holds {count} values that are NaN or infinite" for name, count in counts.items() if count]
