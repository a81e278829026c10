"""Where are base and experts, and are they intact? Small files with a manifest of their checksums.

The base is stored in fp16, of its word embeddings only those that pre-training used; an expert as its task vector, every
matrix in whole steps of its row, compressed. What is read back is what is measured: the base *is* its fp16 numbers and an
expert is base + step * code.
"""

import hashlib
import json
import os
import zlib
from pathlib import Path

import torch

from ..checkpoints.lazy import CheckpointError, headers
from ..checkpoints.states import write_state
from ..networks import DEVICE
from ..paths import ZOO, checksum, write_atomically

VERSION = 2      # of the manifest's layout
STEPS = 12       # in the root mean square of a row of an expert's task vector: the error is 2.4 % of it
WORDS = "token_embedding.weight"


def quantise(base, expert):
    """An expert's task vector: matrices as whole steps, compressed, with `name@step` (fp32, rows x 1); vectors in fp32.

    A step is a twelfth of the root mean square of its row; where an entry is more than 127 of those, larger.
    """
    packed = {}
    for name, theta_0 in base.items():
        tau = expert[name] - theta_0
        if tau.dim() < 2:
            packed[name] = tau
            continue
        rows = tau.flatten(1)
        step = torch.maximum(rows.square().mean(dim=1, keepdim=True).sqrt() / STEPS, rows.abs().amax(dim=1, keepdim=True) / 127)
        step = step.clamp_min(1e-12)
        packed[name], packed[f"{name}@step"] = _deflated((rows / step).round().to(torch.int8)), step
    return packed


def dequantise(base, packed):
    """The expert that `quantise` stored, in fp32."""
    expert = {}
    for name, theta_0 in base.items():
        if f"{name}@scale" in packed:       # as the tower `main` is stored
            expert[name] = theta_0 + (packed[name].float().flatten(1) * packed[f"{name}@scale"]).reshape(theta_0.shape)
        elif f"{name}@step" in packed:
            rows = _inflated(packed[name]).reshape(len(theta_0), -1)
            expert[name] = theta_0 + (rows * packed[f"{name}@step"]).reshape(theta_0.shape)
        else:
            expert[name] = theta_0 + packed[name].float()
    return expert


def _deflated(codes):
    """Codes (int8) as the bytes (uint8, a vector) that zlib makes of them."""
    return torch.frombuffer(bytearray(zlib.compress(codes.contiguous().numpy().tobytes(), 9)), dtype=torch.uint8)


def _inflated(packed):
    """The codes (int8, a vector) that `_deflated` packed, on the same device."""
    return torch.frombuffer(bytearray(zlib.decompress(packed.cpu().numpy().tobytes())), dtype=torch.int8).to(packed.device)


def pack_clip(state, tokens):
    """A CLIP's state in fp16 with the word embeddings of `tokens` (int64 ids) only: the others were never trained."""
    packed = {name: tensor.detach().half() for name, tensor in state.items()}
    return {**packed, WORDS: packed[WORDS][tokens], f"{WORDS}@rows": tokens}


def unpack_clip(packed, vocabulary):
    """The state that `pack_clip` stored, in fp32; words that pre-training never saw are zero."""
    state = {name: tensor.float() for name, tensor in packed.items() if "@" not in name}
    rows = state[WORDS]
    return {**state, WORDS: rows.new_zeros(vocabulary, rows.shape[1]).index_copy(0, packed[f"{WORDS}@rows"], rows)}


def read_manifest(folder):
    """The manifest of a zoo folder; CheckpointError when it is missing, damaged or of another version."""
    file = folder / "manifest.json"
    try:
        manifest = json.loads(file.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing, so there is no zoo. {_repair(folder)}") from None
    except ValueError as error:      # no JSON, or no text at all
        raise CheckpointError(f"{file} is damaged ({error}). {_repair(folder)}") from error
    if manifest.get("version") != VERSION:
        raise CheckpointError(f"{file} has layout version {manifest.get('version')}, this mergelib reads {VERSION}. "
                              f"{_repair(folder)}")
    return manifest


def write_manifest(folder, manifest):
    """Write the manifest, whole or not at all."""
    text = json.dumps({"version": VERSION, **manifest}, indent=1) + "\n"
    write_atomically(folder / "manifest.json", lambda part: part.write_text(text))


def read_file(folder, entry, device="cpu"):
    """The tensors of one file of the zoo, on a device; `entry`, errors: see `check_file`."""
    stored = headers(check_file(folder, entry)).load()          # codes, too: what they mean is known here
    return {name: tensor.to(device) for name, tensor in stored.items()}


def check_file(folder, entry):
    """The path of one file of the zoo, after its checksum has been compared with the manifest's.

    `entry`: {"file", "sha256", ...}. Raises CheckpointError that names the file and the repair.
    """
    file = folder / entry["file"]
    if not file.exists():
        raise CheckpointError(f"{file} is missing from the zoo. {_repair(folder)}")
    found = checksum(file)
    if found != entry["sha256"]:
        raise CheckpointError(f"{file} is damaged: its SHA-256 begins {found[:12]}, the manifest says "
                              f"{entry['sha256'][:12]} ({file.stat().st_size} bytes). {_repair(folder)}")
    return file


def write_file(folder, name, tensors, **facts):
    """Write one file of the zoo; returns its manifest entry with the given facts."""
    file = folder / f"{name}.safetensors"
    write_state(file, tensors)
    return {"file": f"{name}.safetensors", "sha256": checksum(file), "bytes": file.stat().st_size, **facts}


def _repair(folder):
    """What a person can do about a damaged zoo."""
    which = "LANGUAGE" if folder.name.startswith("text-") else "TOWER"
    return f"Restore it with `git checkout -- {folder}`, or train it anew with `make zoo {which}={folder.name}` (hours)."


def zoo_folder(model):
    """Folder of one network's files: below the folder that MERGELIB_ZOO names if it is there, else `data/zoo/<model>`."""
    own = Path(os.environ.get("MERGELIB_ZOO", ZOO)) / model
    return own if own.exists() else ZOO / model


class Zoo:
    """The files of some tasks' experts: `manifest`, their entries in it by task, `digest` of base and experts.

    CheckpointError names experts that the zoo lacks.
    """

    def __init__(self, folder, tasks, seed, device=None):
        self.folder, self.device, self.manifest = folder, device or DEVICE, read_manifest(folder)
        wanted = {task: f"{task}-s{seed}" for task in tasks}
        if missing := [expert for expert in wanted.values() if expert not in self.manifest["experts"]]:
            raise CheckpointError(f"The zoo in {folder} has no expert {', '.join(missing)}. Train it with `make zoo`.")
        self.experts = {task: self.manifest["experts"][expert] for task, expert in wanted.items()}
        sums = [entry["sha256"] for entry in (self.manifest["base"], *self.experts.values())]
        self.digest = hashlib.sha256(json.dumps(sums).encode()).hexdigest()[:8]

    @property
    def shipped(self):
        """Whether the weights are here."""
        return self.manifest.get("shipped", True)

    def read(self, entry):
        """The tensors of one file of the manifest."""
        return read_file(self.folder, entry, self.device)
