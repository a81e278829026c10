"""How is a checkpoint written tensor by tensor? Shards, files of safetensors that are filled at any offset.

safetensors' own writer wants a whole file in memory, so its format is written here: the header's length in 8 bytes
(little-endian), a JSON header padded to a multiple of 8, then the numbers.
"""

import errno
import json
import math
import os
from dataclasses import dataclass

import torch

from .lazy import DTYPES

CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Shard:
    """One file to be written: its name, its header as bytes, where each tensor begins, and its size in bytes."""

    file: str
    header: bytes
    offsets: dict
    size: int


def plan_shards(facts, limit, stem="model"):
    """The `Shard`s, in order of names, of tensors given by `facts` (name -> (shape, dtype)).

    `limit`: bytes of numbers in a shard; a tensor that is larger has a shard to itself. One shard is <stem>.safetensors.
    """
    groups, room = [], 0
    for name in sorted(facts):
        if not groups or size_of(*facts[name]) > room:
            groups.append([])
            room = limit
        groups[-1].append(name)
        room -= size_of(*facts[name])
    files = [f"{stem}-{i:05}-of-{len(groups):05}.safetensors" for i in range(1, len(groups) + 1)]
    return [_shard(file, {name: facts[name] for name in group})
            for file, group in zip(files if len(groups) > 1 else [f"{stem}.safetensors"], groups)]


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


def allocate(part, shard):
    """A file of a shard's size that begins with its header; a full disk is found now rather than hours later."""
    with open(part, "wb") as handle:
        handle.write(shard.header)
        handle.flush()
        try:
            os.posix_fallocate(handle.fileno(), 0, shard.size)
        except (AttributeError, OSError) as error:
            if getattr(error, "errno", None) not in (None, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            handle.truncate(shard.size)         # a system or a disk that cannot set bytes aside


def sync(path):
    """Have the operating system bring a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
