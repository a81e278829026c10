"""Which checkpoints do not fit together, and why? Every mismatch by name, before anything is merged."""

import torch

from .adapters import Adapter
from .lazy import CheckpointError, LazyState, facts, not_finite

EMBEDDINGS = ("embed_tokens", "embed_in", "embed_out", "word_embeddings", "token_embedding", "tok_embeddings", "wte", "lm_head",
              "shared.weight")


def check_compatible(base, experts):
    """Raise CheckpointError unless every expert has the base's names, shapes and dtypes and only finite numbers.

    `base`: state dict or what `open_state` gives; `experts`: mapping from task to such. All mismatches are listed, not only
    the first; of a checkpoint on disk the numbers are not looked at before they are merged.
    An expert equal to the base is refused too: its task vector is zero, which is hardly ever what was meant.
    """
    if not experts:
        raise CheckpointError("There is no expert to merge. Give at least one.")
    if not base:
        shipped = " If it is a suite's, the weights of that tower are not shipped: train them with `make zoo TOWER=...`."
        raise CheckpointError(f"The base has no tensors.{'' if isinstance(base, LazyState) else shipped}")
    problems = [f"base: {line}" for line in _not_finite(base)]
    for task, expert in experts.items():
        found = _mismatches(base, expert) + _not_finite(expert)
        if not found and not _differs(base, expert):
            found = ["is equal to the base, so there is nothing to merge. Was it fine-tuned and saved?"]
        problems += [f"expert {task}: {line}" for line in found]
    if problems:
        raise CheckpointError("These checkpoints cannot be merged:\n  " + "\n  ".join(problems))


def _mismatches(base, expert):
    """Lines that say where an expert's names, shapes and dtypes differ from the base's."""
    lines = [f"has no tensor {name}" for name in base if name not in expert]
    lines += [f"has a tensor that the base lacks: {name}" for name in expert if name not in base]
    for name in sorted(set(base) & set(expert)):
        (ours, our_dtype), (theirs, their_dtype) = facts(base, name), facts(expert, name)
        if ours != theirs:
            lines.append(f"{name} has shape {theirs}, the base has {ours}{_vocabulary(name, ours, theirs)}")
        elif our_dtype != their_dtype:
            lines.append(f"{name} is {their_dtype}, the base is {our_dtype}; convert one of them")
    return lines


def _vocabulary(name, ours, theirs):
    """What to do about an embedding of another length; nothing for other tensors."""
    if len(ours) != 2 or ours[1:] != theirs[1:] or not any(part in name for part in EMBEDDINGS):
        return ""
    return (f": the vocabularies differ. If the first {min(ours[0], theirs[0])} tokens are the same, bring both to one length "
            f"(transformers: model.resize_token_embeddings({ours[0]})) and save again")


def _differs(base, expert):
    """Whether an expert differs from the base anywhere; reads no further than the first difference."""
    if isinstance(expert, Adapter):
        return any(expert.delta(name).any() for name in expert.pairs)
    return not all(torch.equal(expert[name], base[name]) for name in base)


def _not_finite(state):
    """Lines that name the tensors with NaN or infinity and count them; on disk that is found when they are read."""
    if isinstance(state, (LazyState, Adapter)):
        return []
    counts = {name: not_finite(tensor) for name, tensor in state.items()}
    return [f"{name} holds {count} values that are NaN or infinite" for name, count in counts.items() if count]
