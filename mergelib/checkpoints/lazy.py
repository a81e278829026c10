"""How is one tensor of a checkpoint on disk read, without the others? Files and sharded folders of safetensors."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
          "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or checkpoints that cannot be merged; the message lists every reason."""


class LazyState(Mapping):
    """A state dict on disk: a tensor is read when it is asked for, and its file is closed again.

    Holds paths, shapes and dtypes only, so it is small and can be sent to other processes. Reading a tensor with NaN or
    infinity raises CheckpointError, and so does reading a file that was replaced since it was opened.
    """

    def __init__(self, files, known, stored=None, stamps=None):
        self.files = files          # name -> path
        self.known = known          # name -> (shape, dtype)
        self.stored = stored or {}  # name -> what it is called in its file, where that is another name
        self.stamps = {file: stamp(file) for file in set(files.values())} if stamps is None else stamps

    def __getitem__(self, name):
        return self._checked(name, self.as_it_is(name))

    def as_it_is(self, name):
        """A tensor, whatever its values."""
        with opened(self._file(name)) as handle:
            return handle.get_tensor(self.stored.get(name, name))

    def _file(self, name):
        """The file of a tensor, if it is the one that was opened."""
        file = self.files[name]
        if file.exists() and stamp(file) != self.stamps[file]:
            raise CheckpointError(f"{file} was replaced or written over while it was being merged. Call again.")
        return file

    def pieces(self, name, count):
        """The numbers of a tensor in their order, flat and `count` at a time; reading them is faster than mapping the file."""
        (shape, dtype), file = self.known[name], self._file(name)
        with opened(file):
            pass                # whole, as its header says
        with open(file, "rb", buffering=0) as handle:
            header = json.loads(handle.read(length := int.from_bytes(handle.read(8), "little")))
            handle.seek(8 + length + header[self.stored.get(name, name)]["data_offsets"][0])
            for start in range(0, max(size := math.prod(shape), 1), count):
                piece = torch.empty(min(count, size - start), dtype=dtype)
                handle.readinto(piece.view(torch.uint8).numpy())
                yield self._checked(name, piece)

    def _checked(self, name, tensor):
        """The tensor, or a part of it, if all its values are finite."""
        if count := not_finite(tensor):
            raise CheckpointError(f"{self.files[name]}: {name} holds {count} values that are NaN or infinite, so it cannot "
                                  f"be merged.")
        return tensor

    def __contains__(self, name):        # Mapping's own would read the tensor
        return name in self.files

    def __iter__(self):
        return iter(self.files)

    def __len__(self):
        return len(self.files)

    def facts(self, name):
        """(shape, dtype) of a tensor, from its file's header."""
        return self.known[name]

    def only(self, *names):
        """The same checkpoint with nothing but some tensors."""
        return self.renamed({name: name for name in names})

    def renamed(self, names):
        """The same checkpoint with these tensors only, under other names: new name -> name."""
        return type(self)({new: self.files[name] for new, name in names.items()},
                          {new: self.known[name] for new, name in names.items()},
                          {new: self.stored.get(name, name) for new, name in names.items()}, self.stamps)

    def paths(self):
        """The files that hold numbers, sorted."""
        return sorted(set(self.files.values()))

    def load(self):
        """Everything, read into memory as it is: a state dict."""
        state = {}
        for file in self.paths():
            with opened(file) as handle:
                state |= {name: handle.get_tensor(self.stored.get(name, name)) for name in self.files
                          if self.files[name] == file}
        return {name: state[name] for name in self.files}


class opened:
    """A safetensors file, open within a `with`; what safetensors finds wrong becomes a CheckpointError."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        try:
            self.handle = safe_open(self.file, framework="pt")
        except (SafetensorError, FileNotFoundError) as error:
            self._explain(error)
        return self.handle.__enter__()

    def __exit__(self, kind, error, trace):
        self.handle.__exit__(kind, error, trace)
        if isinstance(error, SafetensorError):
            self._explain(error)

    def _explain(self, error):
        if isinstance(error, FileNotFoundError):
            raise CheckpointError(f"{self.file} is gone. Put it back and call again.") from error
        raise CheckpointError(f"{self.file} is damaged or cut short ({error}). Fetch or write it again.") from error


def lazy_state(path):
    """The `LazyState` of a .safetensors file, or of a folder with one or with an index of several.

    Raises CheckpointError for what is missing, damaged, or in a format that could run code when read.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path} does not exist. Give the path of a .safetensors file or of a folder with such files.")
    files = _shards(path) if path.is_dir() else [_safe(path)]
    where, known = {}, {}
    for file in files:
        with opened(file) as handle:
            names = list(handle.keys())
            known |= {name: _facts(file, name, handle.get_slice(name)) for name in names}
        where |= dict.fromkeys(names, file.absolute())
    return LazyState(where, known)


def stamp(file):
    """By what a file is known to be as it was: one that was written over, or is a copy, has another time of change."""
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def not_finite(tensor):
    """How many values of a tensor are NaN or infinite."""
    if not tensor.is_floating_point() or math.isfinite(tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))):
        return 0            # either would show in the sum
    return int((~torch.isfinite(tensor)).sum())


def _safe(file):
    """The file, unless it is in a format that can run code."""
    if file.suffix != ".safetensors":
        raise CheckpointError(f"{file} is not a .safetensors file. Pickled checkpoints (.pt, .bin) can run code when "
                              f"they are read; convert them with safetensors.torch.save_file first.")
    return file


def _shards(folder):
    """The .safetensors files of a folder that belong to its checkpoint."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if len(indices) == 1:
        return _indexed(indices[0])
    files = [file for file in sorted(folder.glob("*.safetensors")) if not file.name.startswith(".")]
    if len(files) == 1 and not indices:
        return files
    if files:
        names = ", ".join(file.name for file in indices or files)
        raise CheckpointError(f"{folder} holds several checkpoints, or one whose index is missing: {names}. Give the path of "
                              f"one file, or put the index (model.safetensors.index.json) beside them.")
    raise CheckpointError(f"{folder} holds no .safetensors file. Pickled checkpoints (.pt, .bin) can run code when they are "
                          f"read; convert them with safetensors.torch.save_file first.")


def _indexed(index):
    """The shards that an index names; CheckpointError lists those that are missing."""
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} is damaged: it has no weight_map. Fetch or write it again.") from error
    if missing := [name for name in names if not (index.parent / name).exists()]:
        raise CheckpointError(f"{index.parent} lacks {', '.join(missing)}, which its index names. Fetch what is missing again.")
    return [index.parent / name for name in names]


def _facts(file, name, part):
    """(shape, dtype) of a tensor that is not read; CheckpointError for a dtype that cannot be merged."""
    if part.get_dtype() not in DTYPES:
        raise CheckpointError(f"{file}: {name} is stored as {part.get_dtype()}, which cannot be merged; known are "
                              f"{', '.join(DTYPES)}. Convert it first.")
    return tuple(part.get_shape()), DTYPES[part.get_dtype()]


def facts(state, name):
    """(shape, dtype) of a tensor of a state dict, without reading it where it lies on disk."""
    return state.facts(name) if hasattr(state, "facts") else (tuple(state[name].shape), state[name].dtype)
