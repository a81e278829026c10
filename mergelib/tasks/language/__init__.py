"""What are the language tasks? Eight text-to-text tasks, the small siblings of GLUE's, from a grammar and lexicon of ours.

Every example is a function of (task, split, number, seed) alone. Sentences are dealt to the splits by their letters, so no
sentence of one split occurs in another, in whatever example.
"""

import hashlib
import json
import random
from functools import cache
from pathlib import Path
from zlib import crc32

from ...paths import CACHE, write_atomically
from .tasks import ANSWERS, SIBLINGS, TASKS
from .templates import TARGET

__all__ = ["ANSWERS", "GRADED", "SIBLINGS", "SIZES", "TASKS", "TEXT_EIGHT", "draw_example", "in_split", "load_examples"]

TEXT_EIGHT = tuple(TASKS)
GRADED = ("similarity",)            # tasks whose answers are numbers, measured by Spearman's rho; the others by exact match
SIZES = {"train": 6000, "validation": 300, "test": 600}      # examples per task
FIFTHS = {"test": (0,), "validation": (1,), "train": (2, 3, 4)}         # of all sentences


def in_split(sentence, split):
    """Whether a sentence belongs to a split."""
    return crc32(sentence.encode()) % 5 in FIFTHS[split]


def draw_example(task, rng, split="train", **how):
    """(fields, answer) of one example whose sentences all belong to a split; `rng`: a `random.Random`; `how`: see `tasks`."""
    while True:
        fields, answer = TASKS[task](rng, **how)
        if all(in_split(sentence, split) for sentence in fields.values()):
            return fields, answer


@cache
def load_examples(task, split, count=None, seed=0):
    """(questions, answers) of one task's split, two tuples of text; no question occurs twice.

    `count` defaults to `SIZES[split]`. Kept on disk: test examples take milliseconds each to find. Raises ValueError for an
    unknown task.
    """
    if task not in TASKS:
        raise ValueError(f"There is no language task {task!r}. Known tasks: {', '.join(TASKS)}.")
    count = SIZES[split] if count is None else count
    file = CACHE / "examples" / f"{task}-{split}-{count}-{seed}-{_source_digest()}.json"
    if not file.exists():
        examples = _draw(task, split, count, seed)
        write_atomically(file, lambda part: part.write_text(json.dumps(examples, indent=0)))
    return tuple(zip(*json.loads(file.read_text()).items()))


def _draw(task, split, count, seed):
    """Question -> answer of `count` examples."""
    rng, found = random.Random(f"{task} {split} {seed}"), {}        # a text seeds alike in every process
    while len(found) < count:
        fields, answer = draw_example(task, rng, split)
        found[TARGET[task].format(**fields)] = answer
    return found


@cache
def _source_digest():
    """Eight hex digits of the code that makes examples, so that changed code never reads old ones."""
    sources = [(Path(__file__).parent / f"{name}.py").read_bytes() for name in ("lexicon", "grammar", "tasks", "templates")]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:8]
