"""How does a merged checkpoint get to disk tensor by tensor? Shards, filled at any offset, that appear when they are whole.

safetensors' own writer wants a whole file in memory, so its format is written here: the header's length in 8 bytes
(little-endian), a JSON header padded to a multiple of 8, then the numbers.
"""

import hashlib
import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from ..paths import write_atomically
from .lazy import DTYPES, CheckpointError

INDEX, RECIPE = "model.safetensors.index.json", "merge.json"
BESIDE = ("config.json", "generation_config.json", "*tokenizer*", "*token*.json", "vocab*", "merges.txt", "*.model",
          "*.tiktoken", "chat_template*", "preprocessor_config.json", "processor_config.json")      # loaded beside the weights
CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Shard:
    """One file to be written: its name, its header as bytes, where each tensor begins, and its size in bytes."""

    file: str
    header: bytes
    offsets: dict
    size: int


def plan_shards(facts, limit):
    """The `Shard`s, in order of names, of tensors given by `facts` (name -> (shape, dtype)).

    `limit`: bytes of numbers in a shard; a tensor that is larger has a shard to itself. One shard is model.safetensors.
    """
    groups, room = [], 0
    for name in sorted(facts):
        if not groups or size_of(*facts[name]) > room:
            groups.append([])
            room = limit
        groups[-1].append(name)
        room -= size_of(*facts[name])
    files = [f"model-{i:05}-of-{len(groups):05}.safetensors" for i in range(1, len(groups) + 1)]
    return [_shard(file, {name: facts[name] for name in group})
            for file, group in zip(files if len(groups) > 1 else ["model.safetensors"], groups)]


def _shard(file, facts):
    """The shard of some tensors, those with wide numbers first so that each lies at a multiple of its width."""
    names = sorted(facts, key=lambda name: (-facts[name][1].itemsize, name))
    ends, described = 0, {"__metadata__": {"format": "pt"}}
    for name in names:
        (shape, dtype), begin, ends = facts[name], ends, ends + size_of(*facts[name])
        described[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [begin, ends]}
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return Shard(file, header, {name: len(header) + described[name]["data_offsets"][0] for name in names}, len(header) + ends)


def size_of(shape, dtype):
    """Bytes of a tensor's numbers."""
    return math.prod(shape) * dtype.itemsize


def write_at(file, offset, tensor):
    """Write a tensor's numbers into an existing file, from a byte on; gives the byte after the last one."""
    data = memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    handle = os.open(file, os.O_WRONLY)
    try:
        while data:             # one call writes 2 GiB at most
            count = os.pwrite(handle, data, offset)
            data, offset = data[count:], offset + count
    finally:
        os.close(handle)
    return offset


class Folder:
    """The folder of a merge: shards under way in hidden files, whole ones under their names, the index when all are there.

    `recipe`: everything on which the result depends, as JSON gives it back; `facts`: name -> (shape, dtype) of what is written;
    `limit`: see `plan_shards`; `beside`: the base's folder, whose configuration and tokenizer are copied, or None. A folder
    with the same recipe is gone on with; one with another, or with other weights, is refused by CheckpointError. Use it in a
    `with`, which takes away what is not whole.
    """

    def __init__(self, path, recipe, facts, limit, beside=None):
        self.path, self.beside = Path(path).absolute(), beside
        self.shards = plan_shards(facts, limit)
        self.recipe = {**recipe, "shards": {shard.file: shard.size for shard in self.shards}}
        _check_recipe(self.path, self.recipe)
        self.total = sum(size_of(*fact) for fact in facts.values())
        self.waiting = {shard.file: set(shard.offsets) for shard in self.shards if not self._whole(shard)}

    def pending(self):
        """The names of the tensors to be merged yet."""
        return set().union(*self.waiting.values())

    def __enter__(self):
        self.path.mkdir(parents=True, exist_ok=True)
        _write_json(self.path / RECIPE, self.recipe)
        try:
            for shard in self._unfinished():
                _allocate(self._part(shard), shard)
        except BaseException:
            self._take_away()
            raise
        return self

    def __exit__(self, kind, error, trace):
        self._take_away()
        if kind is None:
            for file in _files_beside(self.beside):
                write_atomically(self.path / file.name, lambda part, file=file: shutil.copyfile(file, part))
            self._write_index()

    def place(self, name):
        """(file, byte) where a tensor's numbers go."""
        shard = self._shard_of(name)
        return self._part(shard), shard.offsets[name]

    def take(self, name, tensor=None):
        """Note that a tensor's numbers are in their place; its shard appears with its last one."""
        shard = self._shard_of(name)
        self.waiting[shard.file].discard(name)
        if not self.waiting[shard.file]:
            _sync(self._part(shard))
            os.replace(self._part(shard), self.path / shard.file)
            _sync(self.path)
            del self.waiting[shard.file]

    def result(self):
        """What `merge` returns: the folder's path."""
        return self.path

    def _write_index(self):
        """The index, which readers of several shards need; nothing for one."""
        if len(self.shards) > 1:
            weight_map = {name: shard.file for shard in self.shards for name in sorted(shard.offsets)}
            _write_json(self.path / INDEX, {"metadata": {"total_size": self.total}, "weight_map": weight_map})

    def _shard_of(self, name):
        return next(shard for shard in self._unfinished() if name in shard.offsets)

    def _unfinished(self):
        return [shard for shard in self.shards if shard.file in self.waiting]

    def _part(self, shard):
        return self.path / f".{shard.file}.part"

    def _whole(self, shard):
        file = self.path / shard.file
        return file.exists() and file.stat().st_size == shard.size

    def _take_away(self):
        for shard in self._unfinished():
            self._part(shard).unlink(missing_ok=True)
        if len(self.waiting) == len(self.shards):       # nothing came of it, so the folder can serve another merge
            (self.path / RECIPE).unlink(missing_ok=True)


def described(state):
    """On which numbers a merge depends, as JSON can hold it: files with size and time, or a digest of what is in memory."""
    if hasattr(state, "paths"):
        return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in state.paths()]
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _check_recipe(path, recipe):
    """Raise CheckpointError unless a folder is new, has no weights, or has this recipe."""
    if path.exists() and not path.is_dir():
        raise CheckpointError(f"{path} is a file. Give the path of a folder as out.")
    weights = sorted(file.name for file in path.glob("*.safetensors*") if not file.name.startswith("."))
    if not weights:
        return
    try:
        found = json.loads((path / RECIPE).read_text())
        different = sorted(key for key in recipe.keys() | found.keys() if recipe.get(key) != found.get(key))
    except FileNotFoundError:
        raise CheckpointError(f"{path} already holds {weights[0]}, which no merge wrote. Give another folder as out.") from None
    except (ValueError, AttributeError):
        different = ["everything, as that is damaged"]
    if different:
        raise CheckpointError(f"{path} holds another merge (see its {RECIPE}; what differs: {', '.join(different)}). Give "
                              f"another folder as out, or remove that one.")


def _files_beside(folder):
    """The files of the base's folder that are copied."""
    return sorted({file for pattern in BESIDE for file in folder.glob(pattern) if file.is_file()}) if folder else []


def _allocate(part, shard):
    """A file of a shard's size that begins with its header; a full disk is found now rather than hours later."""
    with open(part, "wb") as handle:
        handle.write(shard.header)
        handle.flush()
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), 0, shard.size)
        else:
            handle.truncate(shard.size)


def _sync(path):
    """Have the operating system bring a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_json(file, value):
    write_atomically(file, lambda part: part.write_text(json.dumps(value, indent=1) + "\n"))
