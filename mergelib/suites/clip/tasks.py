"""Which data sets do the papers use? Where each lies on the Hub, its columns and splits, its class names and prompts.

The facts are in data/clip/tasks.json, with their sources in the README beside it. Class names stand in label order: each
spelling and each position changes a zero-shot head and with it every accuracy.
"""

import json
from dataclasses import dataclass
from functools import cache

from ...paths import DATA

TABLE = DATA / "clip" / "tasks.json"


@dataclass(frozen=True)
class PaperTask:
    """One classification task of the papers, named as in their tables."""

    name: str
    dataset: str            # the repository on the Hugging Face Hub
    image: str              # the columns' names
    label: str
    splits: dict            # "train" and "test" -> what the data set calls them
    rows: dict              # "train" and "test" -> how many pictures there are; None where that is not known for certain
    expert: str             # what FusionBench's experts for it are called, after the size of the tower
    prompts: tuple          # templates of the zero-shot head, {} for the class name
    classes: tuple          # class names, in label order
    folder: str = ""        # of the data set's configuration within its repository


@cache
def load_tasks():
    """The papers' twenty tasks by name, the eight first, in the order of the tables."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: PaperTask(name, **{key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()})
            for name, facts in table.items()}
