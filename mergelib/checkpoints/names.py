"""How is one tensor called in Hugging Face's CLIP and in open_clip's? Image towers from either to the other, and whole models.

Two things differ besides the names: open_clip stacks queries, keys and values in one matrix, and stores the projection
transposed. transformers 4 puts `vision_model.` before every name of a CLIPVisionModel, transformers 5 only where a
projection or a text tower stands beside it.
"""

import re

import torch

from .lazy import CheckpointError

PREFIX = "vision_model."
OUTER = {"class_embedding": "embeddings.class_embedding", "positional_embedding": "embeddings.position_embedding.weight",
         "conv1.weight": "embeddings.patch_embedding.weight", "ln_pre.weight": "pre_layrnorm.weight",     # sic
         "ln_pre.bias": "pre_layrnorm.bias", "ln_post.weight": "post_layernorm.weight", "ln_post.bias": "post_layernorm.bias"}
BLOCK = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
         "attn.out_proj": "self_attn.out_proj"}
OURS, THEIRS = "transformer.resblocks.", "encoder.layers."
PROJECTION = "visual_projection.weight"         # open_clip's `proj`, transposed
TEXT_OUTER = {"token_embedding.weight": "text_model.embeddings.token_embedding.weight",
              "positional_embedding": "text_model.embeddings.position_embedding.weight",
              "ln_final.weight": "text_model.final_layer_norm.weight", "ln_final.bias": "text_model.final_layer_norm.bias",
              "logit_scale": "logit_scale"}
TEXT_PROJECTION = "text_projection.weight"      # open_clip's `text_projection`, transposed
ELSEWHERE = re.compile(r"text_model\.|text_projection\.|logit_scale$|(vision_model\.)?embeddings\.position_ids$")


def to_open_clip(state):
    """An image tower in open_clip's names, from Hugging Face's in the layout of transformers 4 or 5.

    `state`: mapping from name to tensor, of a CLIPVisionModel with or without projection, or of a whole CLIPModel, whose text
    tower is left out as are position_ids. Without a projection there is no `proj`. Raises CheckpointError with the names that
    are unknown or missing.
    """
    names = {name for name in state if not ELSEWHERE.match(name)}
    prefix = PREFIX if any(name.startswith(PREFIX) for name in names) else ""
    table = _table(_layers(names, THEIRS), prefix)
    found = _gather(state, names, table, PROJECTION, "a Hugging Face CLIP image tower")
    return found | ({"proj": state[PROJECTION].T.contiguous()} if PROJECTION in names else {})


def clip_to_open_clip(state):
    """A whole open_clip `CLIP`'s state dict, both towers, from that of a whole Hugging Face CLIPModel; errors as above."""
    names = {name for name in state if name.startswith("text_model.") and not name.endswith(".position_ids")}
    names |= {name for name in state if name in (TEXT_PROJECTION, "logit_scale")}
    table = _table(_layers(names, THEIRS), "text_model.", TEXT_OUTER)
    found = _gather(state, names, table, TEXT_PROJECTION, "a Hugging Face CLIP text tower")
    if TEXT_PROJECTION not in names:
        raise CheckpointError(f"This CLIP has no {TEXT_PROJECTION}, so its text tower cannot be used. Is it complete?")
    visual = {f"visual.{name}": tensor for name, tensor in to_open_clip(state).items()}
    return visual | found | {"text_projection": state[TEXT_PROJECTION].T.contiguous()}


def to_hugging_face(state, prefix=PREFIX):
    """An image tower in Hugging Face's names, from open_clip's; the inverse of `to_open_clip`.

    `prefix`: "" for the CLIPVisionModel of transformers 5; the default is for its CLIPVisionModelWithProjection and for all
    of transformers 4. Raises CheckpointError with the names that are unknown or missing.
    """
    check_open_clip(state)
    found = {}
    for ours, theirs in _table(_layers(state, OURS), prefix).items():
        found |= zip(theirs, state[ours].chunk(len(theirs)))
    return found | ({PROJECTION: state["proj"].T.contiguous()} if "proj" in state else {})


def check_open_clip(state):
    """Raise CheckpointError with the unknown and missing names unless a mapping has those of open_clip's image tower."""
    _check(set(state), set(_table(_layers(state, OURS), "")), "proj", "an open_clip image tower")


def is_hugging_face(state):
    """Whether the names are those of Hugging Face."""
    return any(name.endswith(OUTER["conv1.weight"]) for name in state)


def _gather(state, names, table, optional, what):
    """The tensors that a table translates, in open_clip's names, once `names` have been checked against it."""
    _check(names, {name for theirs in table.values() for name in theirs}, optional, what)
    return {ours: torch.cat([state[name] for name in theirs]) if len(theirs) > 1 else state[theirs[0]]
            for ours, theirs in table.items()}


def _table(layers, prefix, outer=None):
    """open_clip's name -> Hugging Face's: one, or those of queries, keys and values; of the image tower without `outer`."""
    table = {ours: (theirs,) for ours, theirs in outer.items()} if outer else {
        ours: (prefix + theirs,) for ours, theirs in OUTER.items()}
    for layer in range(layers):
        ours, theirs = f"{OURS}{layer}.", f"{prefix}{THEIRS}{layer}."
        for kind in ("weight", "bias"):
            table |= {f"{ours}{a}.{kind}": (f"{theirs}{b}.{kind}",) for a, b in BLOCK.items()}
            table[f"{ours}attn.in_proj_{kind}"] = tuple(f"{theirs}self_attn.{part}_proj.{kind}" for part in "qkv")
    return table


def _layers(names, stem):
    """How many layers a tower with these names has, at least one; a gap shows later as missing names."""
    numbers = [int(found[1]) for name in names if (found := re.search(rf"(?:^|\.){re.escape(stem)}(\d+)\.", name))]
    return len(set(numbers)) or 1


def _check(names, wanted, optional, what):
    """Raise CheckpointError that lists what is missing of the wanted names and what is unknown."""
    lines = [f"{word}: {', '.join(sorted(odd)[:8])}{f' and {len(odd) - 8} more' if len(odd) > 8 else ''}"
             for word, odd in (("missing", wanted - names), ("unknown", names - wanted - {optional})) if odd]
    if lines:
        raise CheckpointError(f"These are not the tensors of {what} (with {len(wanted)} names and perhaps {optional}):\n  "
                              + "\n  ".join(lines) + "\nIs it a CLIP ViT, and complete?")
