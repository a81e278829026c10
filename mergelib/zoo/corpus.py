"""What does the base see? Clip art, and pictures in the tasks' style under names that we made up.

The made-up names stand for what the web calls things: other languages, catalogue numbers, nicknames. From them an encoder
learns to tell the classes apart without learning our words for them. Those it forgets in between, and reads a few of again.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from ..networks.clip import tokenizer
from ..networks.training import Recipe
from ..tasks import TASKS, load_pictures, load_task

SEEN = ("web", "seen")   # what the base sees of each task: clip art, pictures in the task's own style
NAMES = 3               # made-up names of a class
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


@dataclass(frozen=True)
class Corpus(Recipe):
    """How a base is pre-trained."""

    field: float = 0.0          # share of pictures in the tasks' own style; the others are clip art
    named: float = 0.0          # share of the clip art whose caption has the class's own name


def made_up_names(task, label):
    """The made-up names of one class, four syllables each, the same on every machine.

    >>> made_up_names("signs", 0)
    ['lonidemo', 'vobegida', 'gulogobe']
    """
    rng = np.random.default_rng([zlib.crc32(task.encode()), label])
    return ["".join(rng.choice(SYLLABLES, 4)) for _ in range(NAMES)]


class Pictures:
    """The pictures of the twenty tasks in one style, their class ids over all tasks, and the tokens of what they are called."""

    def __init__(self, split):
        self.pixels, self.classes, start = [], [], 0
        for name in tqdm(TASKS, f"reading or drawing {split} pictures", leave=False):
            pixels, labels = load_pictures(name, split)
            self.pixels.append(pixels)
            self.classes.append(labels + start)
            start += len(load_task(name).classes)
        self.pixels, self.classes = np.concatenate(self.pixels), np.concatenate(self.classes)

    def draw(self, rng, count):
        """`count` pictures at random: (pixels, class ids)."""
        rows = rng.integers(len(self.pixels), size=count)
        return self.pixels[rows], self.classes[rows]


def captions():
    """Per label the tokens of all its captions: first the classes of all tasks, then `NAMES` made-up names of each class."""
    tasks = [load_task(name) for name in TASKS]
    own = [_said(task.prompts + task.captions, c) for task in tasks for c in task.classes]
    made_up = [_said(task.prompts, name) for task in tasks for label in range(len(task.classes))
               for name in made_up_names(task.name, label)]
    return own + made_up


def own_words():
    """The ids (int64) of the tokens that occur in names of classes and in no template."""
    tasks = [load_task(name) for name in TASKS]
    names = torch.cat([tokenizer()(list(task.classes)) for task in tasks]).unique()
    around = torch.cat([_said(task.prompts + task.captions, made_up_names(task.name, 0)[0]) for task in tasks]).unique()
    return names[~torch.isin(names, around)]


def _said(templates, name):
    """Tokens of a name in every template: templates x context."""
    return tokenizer()([template.format(name) for template in templates])


def spoken(texts):
    """Captions with their tokens counted among those that occur, in the same order; and the ids of these (int64)."""
    words = torch.cat(texts).unique()
    return [torch.searchsorted(words, tokens) for tokens in texts], words


def draw_batch(recipe, web, seen, texts, rng):
    """One batch of pre-training: (pixels uint8, tokens, labels), the labels an index into `texts`, see `captions`."""
    count = round(recipe.field * recipe.batch)
    (clip_art, known), (field, classes) = web.draw(rng, recipe.batch - count), seen.draw(rng, count)
    classes = np.concatenate([known, classes])
    labels = len(texts) // (1 + NAMES) + NAMES * classes + rng.integers(NAMES, size=recipe.batch)
    named = np.arange(recipe.batch) < round(recipe.named * (recipe.batch - count))
    labels = np.where(named, classes, labels)
    tokens = torch.stack([texts[label][rng.integers(len(texts[label]))] for label in labels])
    return np.concatenate([clip_art, field]), tokens, torch.as_tensor(labels)
