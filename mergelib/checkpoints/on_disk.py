"""What is a module of transformers called on disk? Since transformers 5 modules and checkpoints differ in their names."""

import json
from pathlib import Path

import torch


def names_on_disk(base):
    """Name of a tensor in the loaded model -> its name in `base`, or None if it is made of several or by arithmetic.

    `base`: what `lazy_state` gives. Empty where nothing is known: for a base in memory, without transformers 5, without the
    config.json of one of its models beside the files.
    """
    files = getattr(base, "files", {}).values()
    folder = Path(next(iter(files))).parent if files else None
    if folder is None or not (folder / "config.json").exists():
        return {}
    try:
        renamed = _renaming(folder)
    except Exception:       # another library's: what it cannot build, whatever the reason, it cannot translate
        return {}
    found = {}
    for name in sorted(base):
        inside, alone = renamed(name)
        found[inside] = name if alone and inside not in found else None
    return found


def _renaming(folder):
    """name on disk -> (name in the model, whether it becomes that tensor as it is), as `from_pretrained` reads a folder."""
    import transformers  # here: an optional extra, and slow to import
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    with torch.device("meta"):      # names and shapes only
        model = getattr(transformers, architecture)(transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False))
    transforms, state = get_model_conversion_mapping(model), model.state_dict()
    renamings, converters = ([transform for transform in transforms if isinstance(transform, kind)]
                             for kind in (WeightRenaming, WeightConverter))

    def renamed(name):
        inside, converter = rename_source_key(name, renamings, converters, model.base_model_prefix, state)
        return inside, converter is None

    return renamed
