"""How does a merged folder come to be? Locked, resumed if it is the same merge, and never half a file under its name."""

import errno
import json
import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from ..paths import write_atomically
from .beside import copy_beside, weights_in
from .content import stamps
from .lazy import CheckpointError
from .shards import allocate, plan_shards, size_of, sync

RECIPE, LOCK, HOLDER = "merge.json", ".merge.lock", ".merge.holder"
NOTED = ("read", "stamps", "made")          # of a merge.json: what was found while merging, no part of the recipe


class Folder:
    """The folder of a merge: shards under way in hidden files, whole ones under their names, the index when all are there.

    `recipe`: everything on which the result depends, as JSON gives it back, but for the numbers that are read; `facts`: name ->
    (shape, dtype) of what is written; `limit`: see `plan_shards`; `base`: where the base lies, whose other files are copied;
    `sources`: the checkpoints that are read; `digest`: a function from a name to the digest of what is read for it. A folder
    with the same recipe is gone on with; one with another, or with other weights, or one in which another process is merging,
    is refused by CheckpointError. Use it in a `with`, which takes away what is not whole.
    """

    def __init__(self, path, recipe, facts, limit, base=None, sources=(), digest=None):
        self.path, self.base, self.facts, self.digest = Path(path).absolute(), base, facts, digest
        self.stem = _stem(base)
        self.shards = plan_shards(facts, limit, self.stem)
        self.recipe = {**recipe, "shards": {shard.file: shard.size for shard in self.shards}}
        self.read, self.made, self.stamps, self.waiting = {}, {}, stamps(sources), {}

    def pending(self):
        """The names of the tensors to be merged yet."""
        return set().union(*self.waiting.values())

    def __enter__(self):
        self._make()
        self._lock()
        try:
            self._begin()
        except BaseException:
            self._leave()
            raise
        return self

    def _make(self):
        """Make the folder, if it is not there."""
        try:
            if self.path.exists() and not self.path.is_dir():
                raise CheckpointError(f"{self.path} is a file. Give the path of a folder as out.")
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
                raise
            raise CheckpointError(f"{str(self.path)[:200]} can be no folder ({error.strerror}), for instance because it is a "
                                  f"link to nothing or lies below a file. Give another path as out.") from error

    def _begin(self):
        """Find out what is there already, and make room for the rest."""
        found = _found(self.path, self.recipe)
        self.made = found.get("made", {})
        self.read = found.get("read", {}) if found and self._same_numbers(found) else {}
        for shard in self.shards:
            if not self._whole(shard) or not self.read.keys() >= shard.offsets.keys():
                self.waiting[shard.file] = set(shard.offsets)
        for part in (*self.path.glob(".*.part"), *self.path.glob(".[0-9]*-*")):       # of a process that was killed
            part.unlink()
        self._note()
        for shard in self._unfinished():
            allocate(self._part(shard), shard)

    def _same_numbers(self, found):
        """Whether a folder was made of the numbers that are there now: of the same files, or of others with the same numbers.

        Where it is not finished, files that are not the same are not looked into, and it is begun anew. CheckpointError if it
        is finished and other numbers were read.
        """
        if found["stamps"] == self.stamps:
            return True
        if found["read"].keys() != self.facts.keys() or not all(map(self._whole, self.shards)) or self.digest is None:
            return False
        if other := [name for name in sorted(self.facts) if self.digest(name) != found["read"][name]]:
            raise CheckpointError(f"{self.path} holds the merge of other numbers: {', '.join(other[:3])}"
                                  f"{', ...' if len(other) > 3 else ''} changed in the base or an expert since. Give another "
                                  f"folder as out, or remove that one.")
        return True

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                copy_beside(self.base, self.path, self.facts)
                self._write_index()
        finally:
            self._leave()

    def place(self, name):
        """(file, byte) where a tensor's numbers go."""
        shard = self._shard_of(name)
        return self._part(shard), shard.offsets[name]

    def take(self, name, digest=""):
        """Note that a tensor's numbers are in their place, and the digest of what they were made of; its shard appears with its
        last one."""
        shard = self._shard_of(name)
        self.read[name] = digest
        self.waiting[shard.file].discard(name)
        if not self.waiting[shard.file]:
            sync(self._part(shard))
            self.made[shard.file] = _size_and_time(self._part(shard))
            self._note()
            os.replace(self._part(shard), self.path / shard.file)
            sync(self.path)
            del self.waiting[shard.file]

    def result(self):
        """What `merge` returns: the folder's path."""
        return self.path

    def _note(self):
        """Write the recipe, and what is known of the numbers that were read."""
        _write_json(self.path / RECIPE, {**self.recipe, "stamps": self.stamps, "read": self.read, "made": self.made})

    def _write_index(self):
        """The index, which readers of several shards need; nothing for one."""
        if len(self.shards) > 1:
            weight_map = {name: shard.file for shard in self.shards for name in sorted(shard.offsets)}
            total = sum(size_of(*fact) for fact in self.facts.values())
            _write_json(self.path / f"{self.stem}.safetensors.index.json",
                        {"metadata": {"total_size": total}, "weight_map": weight_map})

    def _shard_of(self, name):
        return next(shard for shard in self._unfinished() if name in shard.offsets)

    def _unfinished(self):
        return [shard for shard in self.shards if shard.file in self.waiting]

    def _part(self, shard):
        return self.path / f".{shard.file}.part"

    def _whole(self, shard):
        """Whether a shard is there as it was made."""
        file = self.path / shard.file
        return file.exists() and _size_and_time(file) == self.made.get(shard.file)

    def _lock(self):
        """Be the only one who merges into this folder; the system frees the lock of a process that was killed."""
        self.lock = FileLock(self.path / LOCK)
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise CheckpointError(f"Another process is merging into {self.path} ({_holder(self.path)}). Wait until it is done, "
                                  f"or give another folder as out.") from None
        (self.path / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}")

    def _leave(self):
        """Take away what is not whole, and the lock."""
        for shard in self._unfinished():
            self._part(shard).unlink(missing_ok=True)
        if not any(self._whole(shard) for shard in self.shards) and self.waiting:
            (self.path / RECIPE).unlink(missing_ok=True)        # nothing came of it, so the folder can serve another merge
        (self.path / HOLDER).unlink(missing_ok=True)
        (self.path / LOCK).unlink(missing_ok=True)
        self.lock.release()


def _found(path, recipe):
    """The merge.json of a folder whose weights are of this recipe, {} if it has none; CheckpointError for other weights."""
    if not (weights := weights_in(path)):
        return {}
    try:
        found = json.loads((path / RECIPE).read_text())
        different = sorted(key for key in recipe.keys() | found.keys() - set(NOTED) if recipe.get(key) != found.get(key))
    except FileNotFoundError:
        raise CheckpointError(f"{path} already holds {weights[0]}, which no merge wrote. Give another folder as out.") from None
    except (ValueError, AttributeError):
        different = ["everything, as that is damaged"]
    if different or not found.keys() >= set(NOTED):
        raise CheckpointError(f"{path} holds another merge (see its {RECIPE}; what differs: {', '.join(different)}). Give "
                              f"another folder as out, or remove that one.")
    return found


def _size_and_time(file):
    """By what a shard is known to be as it was made; both come along when it appears under its name."""
    return [file.stat().st_size, file.stat().st_mtime_ns]


def _stem(base):
    """How the base's file is called, as what loads the folder may look for that name."""
    if base is None or not Path(base).is_dir():
        return "model"
    found = {file.name.partition(".safetensors")[0].partition("-00001-of-")[0] for file in Path(base).glob("[!.]*.safetensors*")
             if "-of-" not in file.name or "-00001-of-" in file.name}
    return found.pop() if len(found) == 1 else "model"


def _holder(path):
    """Who merges into a folder, as far as that is known."""
    try:
        return (path / HOLDER).read_text() or "it does not say which"
    except OSError:
        return "it does not say which"


def _write_json(file, value):
    write_atomically(file, lambda part: part.write_text(json.dumps(value, indent=1) + "\n"))


