"""On which numbers does a merge depend? Digests of what is read, taken while it is read, and stamps of the files."""

import hashlib
from pathlib import Path

import torch
import xxhash

from .adapters import Adapter
from .lazy import facts, stamp


def described(state):
    """What a checkpoint is, as JSON can hold it: on disk its names, shapes and dtypes (the numbers are digested when they are
    read), of an adapter or a state dict in memory the digest of all that it says."""
    if isinstance(state, Adapter):
        files = state.paths()
        return _digest_of_files([*files, files[0].with_name("adapter_config.json")])
    if hasattr(state, "paths"):
        return hashlib.sha256(repr(sorted((name, *facts(state, name)) for name in state)).encode()).hexdigest()[:32]
    digest = Digest()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}".encode())
        digest.add(state[name])
    return digest.hexdigest()


class Digest:
    """A digest of 128 bits, of bytes and of tensors' numbers; fast, and no guard against forgery."""

    def __init__(self):
        self.made = xxhash.xxh3_128()
        self.update, self.hexdigest = self.made.update, self.made.hexdigest

    def add(self, tensor):
        """Go on with the numbers of a tensor."""
        self.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def stamps(states):
    """For each of some checkpoints: file -> by what it is known to be as it was; of what is in memory nothing."""
    return [{str(file): stamp(file) for file in state.paths()} if hasattr(state, "paths") else {} for state in states]


def _digest_of_files(files):
    """The digest of whole files, which are small."""
    digest = Digest()
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()
