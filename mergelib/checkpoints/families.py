"""How are the published CLIP experts read? Three families of files become image towers in open_clip's names.

A: image encoders of an old open_clip, pickled whole (task_vectors); B: Hugging Face folders of a CLIPVisionModel
(FusionBench); C: torch files of state dicts (TALL-masks, TSV). They were trained differently, so their numbers never share a
table. Only the image tower is read: A's and C's left-over text tensors, which no expert changed, are left out.
"""

from pathlib import Path

from .files import CheckpointError, check_there, read_json
from .handed import state_of
from .lazy import lazy_state
from .names import check_open_clip, clip_to_open_clip, is_hugging_face, to_open_clip
from .pickles import NotPlain, read_module, read_pickled_state
from .states import write_state

FIRST = "conv1.weight"


def read_tower(path, allow_pickle=False):
    """The image tower of a published checkpoint: a state dict in open_clip's names; B's experts have no `proj`.

    `path`: a folder or .safetensors file in Hugging Face's or open_clip's names, a torch file with a state dict (open_clip's
    own epoch_N.pt, too), or, with `allow_pickle`, a pickled image encoder, of which nothing is run (see `pickles`). Put
    `{**base, **expert}` into a tower that needs the projection. Raises CheckpointError for what is damaged, is no such tower,
    or has another activation.
    """
    path = Path(path)
    check_there(path)
    if path.is_dir() or path.suffix in (".safetensors", ".json"):
        return _named(lazy_state(path), path)
    state, where = _read_state_dict(path)
    if state is None and not allow_pickle:
        raise CheckpointError(f"{path} is no plain state dict but pickled objects, and such files can run code when they are "
                              f"read. Say allow_pickle=True to have nothing but its tensors read, without running anything; "
                              f"families.convert writes them as safetensors.")
    return _named(_read_encoder(path), path) if state is None else _named(state, path, where)


def read_clip(file):
    """A whole published CLIP, both towers, in the names of open_clip's `CLIP`: the base of family B, with its text tower.

    `file`: .safetensors or a torch file with a state dict, in Hugging Face's names. Raises CheckpointError.
    """
    file = Path(file)
    check_there(file)
    state = lazy_state(file) if file.suffix == ".safetensors" else _read_state_dict(file)[0]
    try:
        _check_config(file)
        return clip_to_open_clip({} if state is None else state)
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error


def convert(file, out, allow_pickle=False):
    """Write the image tower that `read_tower` finds in a file as safetensors, whole or not at all."""
    out = Path(out)
    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out} should end in .safetensors, so that it can be read again.")
    write_state(out, read_tower(file, allow_pickle), {"converted from": Path(file).name})


def _named(state, path, where=""):
    """The image tower among some tensors, in open_clip's names; CheckpointError says which file is wrong, and where in it."""
    try:
        if is_hugging_face(state):
            _check_config(path)
            return to_open_clip(state)
        stems = {name.removesuffix(FIRST) for name in state if name.endswith(FIRST)}
        stem = min(stems, key=len, default="")
        tower = {name.removeprefix(stem): state[name] for name in state if name.startswith(stem)}
        check_open_clip(tower)
    except CheckpointError as error:
        raise CheckpointError(f"{path}{where}: {error}") from error
    return tower


def _check_config(folder):
    """Raise CheckpointError if the config.json beside Hugging Face's weights names another activation than QuickGELU."""
    file = (folder if folder.is_dir() else folder.parent) / "config.json"
    if not file.exists():
        return
    try:
        config = read_json(file)
        found = config.get("vision_config", config).get("hidden_act", "quick_gelu")      # transformers' default
    except AttributeError as error:
        raise CheckpointError(f"config.json is damaged ({error}). Fetch it again.") from error
    if found != "quick_gelu":
        raise CheckpointError(f"config.json says that the tower computes {found}, but OpenAI's weights and experts made from "
                              f"them need quick_gelu. It is another model, or its config is wrong.")


def _read_state_dict(file):
    """(state dict, where it lies in a torch file if in an entry); None in place of it if there are other objects."""
    try:
        found = read_pickled_state(file)
    except NotPlain:
        return None, ""
    state = state_of(found, str(file))
    entry = next((name for name in found if found[name] is state), None)
    return state, f", in its entry {entry!r}" if entry else ""


def _read_encoder(file):
    """The tensors of a pickled image encoder; CheckpointError if its activation is plain GELU."""
    state, kinds = read_module(file)
    if odd := [part for part, kind in kinds.items() if kind.endswith(".GELU") and ".resblocks." in part]:
        raise CheckpointError(f"{file}: {odd[0]} computes GELU, but OpenAI's weights and experts made from them need "
                              f"QuickGELU. It was made from other weights, or under a name without -quickgelu.")
    return state
