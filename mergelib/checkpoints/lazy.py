"""How is one tensor of a checkpoint on disk read, without the others? Files and sharded folders of safetensors."""

import json
import math
import os
from collections.abc import Mapping

import torch
from safetensors import SafetensorError, safe_open

from .files import CheckpointError, check_there
from .folders import check_beside, check_index, checkpoint_files
from .quantised import DTYPES, STRANGE, check_numbers

FOUND = (SafetensorError, OSError)       # what safetensors finds wrong
POINTER = b"version https://git-lfs"


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

    def pieces(self, name, count, finite=True):
        """The numbers of a tensor in their order, flat and `count` at a time, checked to be `finite` or as they are.

        Reading them is faster than mapping the file.
        """
        (shape, dtype), file = self.known[name], self._file(name)
        with opened(file):
            pass                # whole, as its header says
        with open(file, "rb", buffering=0) as handle:
            header = json.loads(handle.read(length := int.from_bytes(handle.read(8), "little")))
            handle.seek(8 + length + header[self.stored.get(name, name)]["data_offsets"][0])
            for start in range(0, max(size := math.prod(shape), 1), count):
                piece = torch.empty(min(count, size - start), dtype=dtype)
                handle.readinto(piece.view(torch.uint8).numpy())
                yield self._checked(name, piece) if finite else piece

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
        except FOUND as error:          # safetensors says of a file that may not be read that it is not there
            self._explain(error)
        return self.handle.__enter__()

    def __exit__(self, kind, error, trace):
        self.handle.__exit__(kind, error, trace)
        if isinstance(error, FOUND):
            self._explain(error)

    def _explain(self, error):
        if not os.path.exists(self.file):
            raise CheckpointError(f"{self.file} is gone. Put it back and call again.") from error
        check_there(self.file)
        with open(self.file, "rb") as stream:
            if stream.read(len(POINTER)) == POINTER:
                raise CheckpointError(f"{self.file} is no checkpoint but Git LFS's note of where it is. Fetch it: git lfs "
                                      f"pull.") from error
        raise CheckpointError(f"{self.file} is damaged or cut short ({error}). Fetch or write it again.") from error


def lazy_state(path):
    """The `LazyState` of a .safetensors file, of an index of several, or of a folder (see `folders`).

    Raises CheckpointError for what is missing, damaged, quantised, or in a format that could run code when read.
    """
    state = headers(path)
    check_numbers(state.known, path, path)
    return state


def headers(path):
    """The same, of numbers of any kind, whether they can be merged or not."""
    files, tensors = checkpoint_files(path)
    where, known, stored = {}, {}, {}
    for file in files:
        with opened(file) as handle:
            stored[file] = set(handle.keys())
            mine = [name for name in handle.keys() if not tensors or tensors.get(name, file) == file]
            if twice := sorted(known.keys() & set(mine)):
                raise CheckpointError(f"{file} and {where[twice[0]]} both hold {twice[0]}, and the index does not say which "
                                      f"counts. Fetch or write the checkpoint again.")
            known |= {name: _facts(file, name, handle.get_slice(name)) for name in mine}
        where |= dict.fromkeys(mine, file.absolute())
    if tensors:
        check_index(stored, tensors)
    check_beside(path, known)
    return LazyState(where, known)


def stamp(file):
    """By what a file is known to be as it was: one that was written over, or is a copy, has another time of change."""
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def not_finite(tensor):
    """How many values of a tensor are NaN or infinite."""
    tensor = tensor.detach()
    if not tensor.is_floating_point() or math.isfinite(tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))):
        return 0            # either would show in the sum
    return int((~torch.isfinite(tensor)).sum())


def _facts(file, name, part):
    """(shape, dtype) of a tensor that is not read; CheckpointError for what torch has no tensors of."""
    code, shape = part.get_dtype(), tuple(part.get_shape())
    if code not in DTYPES | STRANGE:
        raise CheckpointError(f"{file}: {name} is stored as {code}, which cannot be merged; known are {', '.join(DTYPES)}. "
                              f"Convert it first.")
    if math.prod(max(size, 1) for size in shape) >= 1 << 60:
        raise CheckpointError(f"{file}: {name} has shape {shape}, which no tensor can have. The file is damaged.")
    return shape, (DTYPES | STRANGE)[code]


def facts(state, name):
    """(shape, dtype) of a tensor of a state dict, without reading it where it lies on disk."""
    return state.facts(name) if hasattr(state, "facts") else (tuple(state[name].shape), state[name].dtype)
