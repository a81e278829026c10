"""Where does everything lie? Folders of this checkout, and the one way files are written: whole or not at all."""

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
PAPER = DATA / "paper"
ZOO = DATA / "zoo"
RESULTS = DATA / "results"
FIGURES = Path(os.environ.get("MERGELIB_FIGURES", ROOT / "figures"))
CACHE = Path(os.environ.get("MERGELIB_CACHE", ROOT / ".cache"))


def write_atomically(file, write):
    """Call `write(part)` with a temporary path beside `file`, then rename it: readers never see half a file."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        write(part)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def checksum(file):
    """SHA-256 of a file, as hex digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
