"""What lies beside a checkpoint's weights, and goes with the merge? All that makes the folder a model again."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

from ..paths import write_atomically
from .shards import size_of

WEIGHTS = re.compile(r"\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|ggml|onnx|onnx_data|tflite|pb|npz|npy|ot|mlmodel|pkl)$"
                     r"|\.index\.json$", re.IGNORECASE)
# What training and publishing leave beside a model, and what a merge writes itself.
LEFT_OVER = re.compile(r"^(\..*|README.*|merge\.json|trainer_state\.json|all_results\.json|(train|eval|test)_results\.json"
                       r"|events\.out.*|.*\.log|adapter_config\.json|.*\.(png|jpe?g|gif|mp4))$", re.IGNORECASE)
NO_PART = re.compile(r"^(\..*|checkpoint-.*|runs|logs|wandb|onnx|openvino|original|coreml|tflite|__pycache__)$")
# What is copied from beside a base that is given as a file: what surely belongs to it.
KNOWN = re.compile(r"^((generation_|preprocessor_|processor_|open_clip_|video_preprocessor_)?config\.json"
                   r"|.*token.*\.(json|model|py)|vocab.*|merges\.txt|.*\.tiktoken|spiece\.model|chat_template.*)$")


def files_beside(base):
    """(file, where it goes in the merged folder) of all that lies beside the weights of a base's folder, or file, and belongs
    to the model; for what is in memory nothing."""
    if not isinstance(base, (str, Path)):
        return []
    folder, every = _place(base)
    chosen = [file for file in sorted(folder.iterdir()) if file.is_file() and _belongs(file.name, every)]
    if every:
        chosen += [file for part in sorted(folder.iterdir()) if part.is_dir() and not NO_PART.search(part.name)
                   for file in _inside(part, part.name in _modules(folder))]
    return [(file, file.relative_to(folder)) for file in chosen]


def notes_beside(base):
    """Lines on what does not go along: what may belong to a base that is given as a file, and the weights of modules."""
    if not isinstance(base, (str, Path)):
        return []
    folder, every = _place(base)
    left = [] if every else [file.name for file in sorted(folder.iterdir())
                             if file.is_file() and _belongs(file.name, True) and not _belongs(file.name, False)]
    copied = [str(place) for file, place in files_beside(base) if WEIGHTS.search(file.name)]
    broken = [file.name for file in sorted(folder.iterdir()) if not file.exists() and _belongs(file.name, every)]
    return [*([f"the base is given as a file; of what lies beside it these are not copied: {', '.join(left)}. Give the folder "
               f"if they belong to it."] if left else []),
            *([f"these weights are the base's, and no merge: {', '.join(copied)}"] if copied else []),
            *([f"these are links to nothing, and not copied: {', '.join(broken)}. Fetch them again."] if broken else [])]


def weights_in(folder):
    """The names of the files with weights of any format that lie in a folder itself, and of an adapter's configuration."""
    names = sorted(file.name for file in Path(folder).glob("[!.]*") if file.is_file())
    return [name for name in names if WEIGHTS.search(name)] + [name for name in names if name == "adapter_config.json"]


def _place(base):
    """(folder, whether all of it belongs to the base): of an index it does, of a file of weights that is not known."""
    base = Path(base)
    return (base, True) if base.is_dir() else (base.parent, base.name.endswith(".index.json"))


def _belongs(name, every):
    """Whether a file is copied: what is not weights and no leftover, or what is known by name."""
    return not WEIGHTS.search(name) and not LEFT_OVER.search(name) and (every or bool(KNOWN.search(name)))


def _inside(part, module):
    """The files of a subfolder: all of a module, whose weights are the base's then; none of another model's."""
    files = [file for file in sorted(part.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    if module:
        return files
    return [] if any(WEIGHTS.search(file.name) for file in files) else [file for file in files if _belongs(file.name, True)]


def _modules(folder):
    """The subfolders that sentence-transformers loads, each a module."""
    try:
        return {module["path"] for module in json.loads((folder / "modules.json").read_text())} - {""}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def copy_beside(base, out, facts):
    """Copy what lies beside a base into a merged folder; config.json names the dtype of what was written (`facts`)."""
    for file, place in files_beside(base):
        text = _with_dtype(file, facts) if place == Path("config.json") else None
        write_atomically(out / place, lambda part, file=file, text=text: shutil.copyfile(file, part) if text is None
                         else part.write_text(text))


def _with_dtype(file, facts):
    """A configuration that names the dtype of most numbers that are written; None if it does, or is none of transformers."""
    sizes = Counter()
    for shape, dtype in facts.values():
        sizes[str(dtype).removeprefix("torch.")] += dtype.is_floating_point * size_of(shape, dtype)
    try:
        config = json.loads(file.read_text())
    except ValueError:
        return None
    written = max(sizes, key=sizes.get)
    if not isinstance(config, dict) or "model_type" not in config or not _set_dtype(config, written):
        return None
    return json.dumps(config, indent=2) + "\n"


def _set_dtype(config, written, inner=False):
    """Set the dtype in a configuration and in those inside it; whether anything changed."""
    names = [name for name in ("dtype", "torch_dtype") if config.get(name)] or ([] if inner else ["dtype"])
    wrong = [name for name in names if config.get(name) != written]
    config |= dict.fromkeys(wrong, written)
    return bool(wrong) | any([_set_dtype(part, written, True) for part in config.values() if isinstance(part, dict)])
