"""Which files of a folder are its checkpoint? What transformers would take, or an error that says what lies there.

transformers takes model.safetensors, then model.safetensors.index.json; other names are taken if there is only one of them.
"""

import os
import re
from pathlib import Path

from .files import CheckpointError, check_there, few, read_json

WHOLE, INDEX = "model.safetensors", ".safetensors.index.json"
SHARD = re.compile(r"-(\d+)-of-(\d+)\.\w+$")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
RUN = "Pickled checkpoints (.pt, .bin) can run code when they are read"
CLONED = ("save_file({name: tensor.clone() for name, tensor in state.items()}, \"model.safetensors\") of safetensors.torch, "
          "with state = torch.load(FILE); clone, as tied tensors share their numbers")
OTHERS = {      # other formats, and how each becomes safetensors
    ".gguf": "GGUF, mostly quantised: give the checkpoint that it was converted from",
    ".ggml": "GGML, mostly quantised: give the checkpoint that it was converted from",
    ".h5": "TensorFlow's HDF5: load it with transformers 4 (from_pretrained(FOLDER, from_tf=True)) and call save_pretrained",
    ".keras": "Keras: write its weights with safetensors.numpy.save_file",
    ".msgpack": "Flax: load it with transformers 4 (from_pretrained(FOLDER, from_flax=True)) and call save_pretrained",
    ".onnx": "ONNX, a graph for inference: give the checkpoint that it was exported from",
    ".npz": "NumPy: write it with safetensors.numpy.save_file(dict(numpy.load(FILE)), \"model.safetensors\")",
    ".npy": "NumPy: write it with safetensors.numpy.save_file",
    ".tflite": "TensorFlow Lite: give the checkpoint that it was exported from",
    ".distcp": "shards of torch.distributed.checkpoint: bring them together with dcp_to_torch_save of "
               "torch.distributed.checkpoint.format_utils",
    ".pte": "ExecuTorch: give the checkpoint that it was exported from"}


def checkpoint_files(path):
    """(files, tensors): the .safetensors files of a checkpoint, and the file of each tensor as its index says, or None.

    `path`: a .safetensors file, an index of several, or a folder. Raises CheckpointError for what is missing or in another
    format, and where several checkpoints lie that are equally likely to be meant.
    """
    path = Path(path)
    check_there(path)
    if path.is_dir():
        path = _chosen(path)
        check_whole(path)
    if path.name.endswith(INDEX):
        return _indexed(path)
    check_there(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path} is not a .safetensors file. {_format(path)}")
    return [path], None


def check_whole(file):
    """Raise CheckpointError for one shard of several, whose merge would pass for that of a whole checkpoint."""
    if (found := SHARD.search(file.name)) and int(found[2]) > 1:
        raise CheckpointError(f"{file} is one shard of {int(found[2])}. {_format(file)}" if file.suffix in PICKLES else
                              f"{file} is one shard of {int(found[2])}. Give the folder with all of them and their index, or "
                              f"the path of the index.")


def pickle_in(folder):
    """The pickled state dict that transformers would take from a folder, or None."""
    folder = Path(folder)
    file = folder / "pytorch_model.bin"
    return file if file.is_file() and not _names(folder, "*.safetensors*") else None


def _chosen(folder):
    """The file or the index of a folder's checkpoint."""
    there = _names(folder, "*.safetensors")
    indices = _names(folder, f"*{INDEX}")
    for name in (WHOLE, WHOLE + ".index.json"):
        if name in (*there, *indices):
            return folder / name
    if len(indices) == 1:
        return folder / indices[0]
    if indices:
        raise CheckpointError(f"{folder} holds several checkpoints, with an index each: {few(indices)}. Give the path of one "
                              f"index.")
    if there == ["adapter_model.safetensors"]:
        raise CheckpointError(f"{folder} holds an adapter without its adapter_config.json. Fetch that too.")
    if len(there) == 1:
        return folder / there[0]
    if there and all(SHARD.search(name) for name in there):
        raise CheckpointError(f"{folder} holds shards whose index is missing: {few(there)}. Fetch the index "
                              f"({WHOLE}.index.json), too.")
    if there:
        raise CheckpointError(f"{folder} holds several checkpoints, or one whose index is missing: {few(there)}. Give the path "
                              f"of one file, or put the index ({WHOLE}.index.json) beside them.")
    raise CheckpointError(f"{folder} {_instead(folder)}")


def _names(folder, pattern):
    """The names of the files in a folder that match a pattern, but for hidden ones, sorted."""
    return sorted(file.name for file in _listed(folder)
                  if file.match(pattern) and not file.name.startswith(".") and not file.is_dir())


def _listed(folder):
    """What lies in a folder."""
    try:
        return sorted(Path(folder).iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be listed ({error.strerror}). Give one that you may read.") from error


def _instead(folder):
    """What lies in a folder without .safetensors files, and what to give in its place."""
    files = [file for file in _listed(folder) if not file.name.startswith(".")]
    if snapshots := [file for file in _folders(folder / "snapshots") if folder.name.startswith(("models--", "datasets--"))
                     or (folder / "refs").is_dir() or (folder / "blobs").is_dir()]:
        return (f"is a repository in a Hugging Face cache. Give the snapshot in it: "
                f"{few(f'snapshots/{snapshot.name}' for snapshot in snapshots)}.")
    if within := [sub.name for sub in _folders(folder) if _holds(sub)]:
        return f"holds no checkpoint itself; its subfolders do: {few(within, 12)}. Give the path of one of them."
    if not files:
        return "is empty. Give the folder of a checkpoint, which holds .safetensors files."
    if weights := [file for file in files if {*file.suffixes} & {*PICKLES, *OTHERS}]:
        return f"holds no .safetensors file. It has {few(file.name for file in weights)}. {_format(weights[0])}"
    return (f"holds no .safetensors file; it has {few(file.name for file in files)}. Give the folder of a checkpoint, or fetch "
            f"its weights, too.")


def _folders(folder):
    """The folders in a folder."""
    return [file for file in _listed(folder) if file.is_dir()] if folder.is_dir() else []


def _holds(folder):
    """Whether a folder, or a Hub repository's cache, holds weights."""
    if folder.name.startswith("models--") or not os.access(folder, os.R_OK):
        return True
    return any({*file.suffixes} & {".safetensors", *PICKLES, *OTHERS} for file in _listed(folder))


def _format(file):
    """What a file of another format is, and what to do with it."""
    if SHARD.search(file.name) or ".bin.index" in file.name:
        return (f"{RUN}, and shards of them are not put together. Load the folder with transformers (from_pretrained) and call "
                f"save_pretrained, which writes .safetensors.")
    if file.suffix in PICKLES:
        return f"{RUN}. Give the path of one that is whole, of which nothing but tensors is read, or convert it: {CLONED}."
    if file.suffix in OTHERS:
        return f"It is {OTHERS[file.suffix]}."
    return f"{RUN}, and other formats are not known. Convert it: {CLONED}."


def _indexed(index):
    """The shards that an index names, and where it says that each tensor lies."""
    try:
        tensors = {str(name): _within(index, file) for name, file in read_json(index)["weight_map"].items()}
    except (KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} is damaged: it has no weight_map. Fetch or write it again.") from error
    if not tensors:
        raise CheckpointError(f"{index} names no tensors. Fetch or write it again.")
    files = sorted(set(tensors.values()))
    if missing := [file.name for file in files if not os.path.isfile(file)]:
        raise CheckpointError(f"{index.parent} lacks {few(missing, 12)}, which its index names. Fetch what is missing again.")
    return files, tensors


def _within(index, name):
    """The path of a shard, which must lie where the index lies."""
    if not isinstance(name, str) or not name.endswith(".safetensors") or Path(name).is_absolute() or ".." in Path(name).parts:
        raise CheckpointError(f"{index} names {name!r} as a shard. Shards are .safetensors files beside it; fetch or write it "
                              f"again.")
    return index.parent / name


def check_beside(folder, names):
    """Raise CheckpointError if a folder's model.safetensors, which has these names, lacks what the index beside it names."""
    file, index = Path(folder) / WHOLE, Path(folder) / f"{WHOLE}.index.json"
    try:
        tensors = read_json(index)["weight_map"] if file.is_file() and index.is_file() else {}
        lacking = [name for name in tensors if name not in names]
    except (CheckpointError, KeyError, TypeError):        # a damaged index beside a whole checkpoint does not count
        return
    if lacking:
        raise CheckpointError(f"{folder} holds two checkpoints: {WHOLE}, and shards with an index that names what it lacks: "
                              f"{few(lacking)}. Give the path of one of them ({file} or {index}).")


def check_index(stored, tensors):
    """Raise CheckpointError that lists the tensors which do not lie where an index says.

    `stored`: file -> names of its tensors; `tensors`: as `checkpoint_files` gives them.
    """
    wrong = [name for name, file in tensors.items() if name not in stored[file]]
    if wrong:
        missing = [name for name in wrong if not any(name in names for names in stored.values())]
        elsewhere = sorted(set(wrong) - set(missing))
        places = (("in no shard", missing), ("in another shard", elsewhere))
        said = [f"{where}: {few(names)}" for where, names in places if names]
        raise CheckpointError(f"{next(iter(stored)).parent}: the index and the shards do not belong together ("
                              f"{'; '.join(said)}). Fetch or write the checkpoint again.")
