"""How do files come from the Hugging Face Hub? At pinned commits, announced with their size, into a disk that has room.

What a repository holds is asked once and noted in data/clip/lock.json; later calls fetch those files of that commit or none.
Files lie in the Hub's own cache (HF_HOME moves it) and HF_HUB_OFFLINE=1 is honoured. A connection that breaks is taken up where
it was; after Ctrl-C whole files are kept, and the one on its way begins anew (huggingface_hub 2 keeps no parts of files).
"""

import errno
import hashlib
import json
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ...paths import DATA, write_atomically

LOCK = DATA / "clip" / "lock.json"
SPARE = 1e9         # bytes that stay free


class FetchError(RuntimeError):
    """Files that could not be fetched; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Source:
    """Some files of a repository on the Hub."""

    repo: str
    kind: str           # "model" or "dataset"
    patterns: tuple     # each as in a shell, * also for slashes; alternatives joined by |, the first that is there is taken

    @property
    def key(self):
        """What the lock file calls it."""
        return f"{self.kind}s/{self.repo}"


def fetch(sources):
    """Bring the files of all sources to this disk: a mapping from source to (name in the repository -> path).

    What is missing is announced with its size, and refused if the disk has no room for it. What arrives is compared with its
    SHA-256, where the Hub tells it. Raises FetchError.
    """
    pinned = pin(sources)
    found = {source: {name: _cached(source, pinned, name) for name in choose(source, sorted(pinned[source.key]["files"]))}
             for source in sources}
    missing = [(source, name) for source, files in found.items() for name, path in files.items() if path is None]
    if missing:
        _announce(missing, pinned)
    for source, name in missing:
        found[source][name] = _download(source, pinned, name)
    return found


def pin(sources):
    """The lock file's entries, completed for these sources and written: key -> commit, files -> bytes and sha256 or None."""
    try:
        pinned = json.loads(LOCK.read_text()) if LOCK.exists() else {}
    except ValueError as error:
        raise FetchError(f"{LOCK} is damaged ({error}). Restore it with git, or delete it: then commits are resolved "
                         f"anew.") from error
    new = [source for source in sources if not _knows(pinned.get(source.key), source)]
    for source in new:
        pinned[source.key] = _resolve(source, pinned.get(source.key, {"commit": None, "files": {}}))
    if new:
        text = json.dumps(dict(sorted(pinned.items())), indent=1) + "\n"
        write_atomically(LOCK, lambda part: part.write_text(text))
    return pinned


def _knows(entry, source):
    """Whether an entry of the lock file has files for all that a source wants."""
    return entry is not None and all(any(fnmatch(name, part) for name in entry["files"] for part in pattern.split("|"))
                                     for pattern in source.patterns)


def _resolve(source, entry):
    """An entry of the lock file with the wanted files, of its commit; what the Hub has at this moment if it has none."""
    from huggingface_hub import HfApi
    with explained(source, "its list of files (size not known yet)"):
        info = HfApi().repo_info(source.repo, repo_type=source.kind, revision=entry["commit"], files_metadata=True)
    there = {file.rfilename: {"bytes": file.size, "sha256": file.lfs.sha256 if file.lfs else None} for file in info.siblings}
    return {"commit": info.sha, "files": entry["files"] | {name: there[name] for name in choose(source, sorted(there))}}


def choose(source, names):
    """Those of a repository's file names that a source wants; FetchError if a pattern fits none."""
    chosen = []
    for pattern in source.patterns:
        fits = [[name for name in names if fnmatch(name, part)] for part in pattern.split("|")]
        if not any(fits):
            raise FetchError(f"{source.repo} has no file like {pattern}; it has {', '.join(names[:8]) or 'none'}"
                             f"{' and more' if len(names) > 8 else ''}. It was changed or is another repository than expected.")
        chosen += next(filter(None, fits))
    return sorted(set(chosen))


def _cached(source, pinned, name):
    """The path of a file that is here already, or None."""
    from huggingface_hub import try_to_load_from_cache
    path = try_to_load_from_cache(source.repo, name, revision=pinned[source.key]["commit"], repo_type=source.kind)
    return Path(path) if isinstance(path, str) else None


def _announce(missing, pinned):
    """Say what will be fetched, and refuse what does not fit; FetchError."""
    from huggingface_hub.constants import HF_HUB_CACHE
    size = sum(pinned[source.key]["files"][name]["bytes"] for source, name in missing)
    what = (f"{len(missing)} files ({size / 1e9:.1f} GB) of {len({source.key for source, _ in missing})} repositories "
            f"of the Hugging Face Hub")
    check_room(HF_HUB_CACHE, size, f"To fetch are {what}", "HF_HOME")
    print(f"Fetching {what} into {HF_HUB_CACHE}. Ctrl-C is safe; the next call goes on.", flush=True)


def check_room(folder, size, what, variable):
    """Raise FetchError unless a folder's disk has room for so many bytes; `variable`: the one that names another folder."""
    folder = Path(folder).absolute()
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    if size + SPARE > free:
        raise FetchError(f"{what}, but the disk of {folder} has {free / 1e9:.1f} GB free and {SPARE / 1e9:.0f} GB should stay "
                         f"so. Make room, or set {variable} to a folder on a larger disk.")


def _download(source, pinned, name):
    """Fetch one file and compare it with its SHA-256; a file that does not match is deleted."""
    from huggingface_hub import hf_hub_download
    entry = pinned[source.key]["files"][name]
    with explained(source, f"{name} ({entry['bytes'] / 1e9:.2f} GB)"):
        path = Path(hf_hub_download(source.repo, name, repo_type=source.kind, revision=pinned[source.key]["commit"]))
    if entry["sha256"]:
        with open(path, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != entry["sha256"]:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise FetchError(f"{source.repo}: {name} arrived damaged (its SHA-256 begins {found[:12]}, should be "
                             f"{entry['sha256'][:12]}) and was deleted. Call again to fetch it anew.")
    return path


class explained:
    """Within a `with`, what the Hub's client raises becomes a FetchError that says what to do."""

    def __init__(self, source, what):
        self.source, self.what = source, what

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception):
            raise FetchError(f"{self.source.repo}: could not fetch {self.what}. {self._advice(error)}") from error

    def _advice(self, error):
        from huggingface_hub import errors
        page = f"https://huggingface.co/{'datasets/' if self.source.kind == 'dataset' else ''}{self.source.repo}"
        if isinstance(error, errors.GatedRepoError):
            return f"Its authors ask for consent: give it on {page}, then say `hf auth login`."
        if isinstance(error, errors.RepositoryNotFoundError):
            return f"There is no public {page}: it was renamed or withdrawn. Look for it, and correct data/clip/tasks.json."
        if isinstance(error, (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError)):
            return (f"The pinned commit or this file is gone. Delete the entry {self.source.key} of {LOCK} to take what is "
                    f"there now; results may then differ.")
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return "The disk is full. Make room, or set HF_HOME to a folder on a larger disk; the next call goes on."
        if isinstance(error, (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)):
            return ("There is no network, or HF_HUB_OFFLINE is set. Call again with a network; the next call goes on. Or copy "
                    "the Hub's cache from a machine that has it.")
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"{found}. Call again later; what is here already is not fetched again."
