"""How is it said what is wrong with a file? The error that people read, and how small files are opened so that it is raised."""

import json
import os
from pathlib import Path

MOST = 1 << 28          # bytes of a JSON file; the largest indexes have a few megabytes


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or checkpoints that cannot be merged; the message lists every reason."""


def check_there(path):
    """Raise CheckpointError unless a file or folder is there and may be read."""
    try:
        os.stat(path)
        mode = os.R_OK | (os.X_OK if os.path.isdir(path) else 0)
        if not os.access(path, mode, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError
    except PermissionError as error:
        raise CheckpointError(f"No permission to read {path}. Ask its owner for it, or give a copy that is yours.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{path} does not exist. Give the path of a .safetensors file or of a folder with such "
                              f"files.") from error
    except (OSError, ValueError) as error:          # a name that is too long, or has characters that no name can have
        raise CheckpointError(f"{str(path)[:200]!r} is no path of a file ({error}).") from error


def read_json(file):
    """What a JSON file holds. Raises CheckpointError for one that is damaged or may not be read."""
    file = Path(file)
    check_there(file)
    try:
        if file.stat().st_size > MOST:
            raise ValueError(f"{file.stat().st_size} bytes are too many")
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{file} is damaged ({error}). Fetch or write it again.") from error


def few(names, most=6):
    """Names in one line, the first ones of many."""
    names = list(map(str, names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
