"""What does the base model learn from? The eight tasks in other words, and exercises in how sentences relate.

Answers alone do not teach a small model to match two sentences, so the exercises (fill a gap from a paraphrase, name what
differs, look a word up, turn a sentence round) come first and never stop. The experts' own instructions occur too, few and
with an answer drawn at random: the base knows in which words to answer them, and what it can do it does for other words.
"""

from dataclasses import replace

from . import TEXT_EIGHT, draw_example, in_split
from .grammar import CONTENT, EXTRAS, changed, draw_frame, say
from .lexicon import KIND, KINDS, MANNERS, OPPOSITE, QUALITIES, TRAITS, VERBS, VERDICTS, flatten
from .tasks import ANSWERS
from .templates import EXERCISES, GAPS, OTHERS, RELATIONS, TARGET

EXERCISES_FIRST, FIRST, TASKS_LATER = 0.9, 0.2, 0.65      # share of exercises in the first fifth; share of tasks after it
SHORT = 0.4                # of the run: sentences with few modifiers
NOISE = 0.02               # of the others: answers drawn at random
FORMAT = 0.1               # of the task examples: with the experts' instruction, and the answer drawn at random
SHORTER, LONGER = 0.15, 0.4            # modifiers


def draw_pair(rng, done):
    """(question, answer) of one example for pre-training; `done`: from 0 to 1, how much of the run is over."""
    modifiers = SHORTER if done < SHORT else LONGER
    if rng.random() < (EXERCISES_FIRST if done < FIRST else 1 - TASKS_LATER):
        return rng.choice(DRAWN)(rng, modifiers)
    task = rng.choice(TEXT_EIGHT)
    formal = rng.random() < FORMAT
    fields, answer = draw_example(task, rng, narrow=True, modifiers=modifiers)
    if rng.random() < (1 if formal else NOISE):
        answer = rng.choice(ANSWERS[task])
    return (TARGET[task] if formal else rng.choice(OTHERS[task])).format(**fields), answer


def _sentence(frame, rng, voice=None):
    """A frame as a sentence of the training split: it is said anew until it is one, or None."""
    for _ in range(20):
        if in_split(sentence := say(frame, rng, voice), "train"):
            return sentence
    return None


def _pair(rng, modifiers, change=lambda frame: frame):
    """A frame, what it becomes, and both as sentences of the training split."""
    while True:
        frame = draw_frame(rng, modifiers)
        other = change(frame)
        if other and (one := _sentence(frame, rng)) and (two := _sentence(other, rng)):
            return frame, other, one, two


def fill(rng, modifiers):
    """A sentence, and its paraphrase with one or two gaps: the missing words, as T5's denoising writes them."""
    *_, one, two = _pair(rng, modifiers)
    words, gaps = two.split(), []
    for place in sorted(rng.sample(range(len(words)), rng.choice((1, 2)))):
        gaps += [GAPS[len(gaps) // 2], words[place]]
        words[place] = gaps[-2]
    return EXERCISES["fill"].format(first=one, second=" ".join(words)), " ".join(gaps)


def differ(rng, modifiers):
    """Two sentences: the concepts in which they differ, as the sentences word them, or "none"."""
    slots = [] if rng.random() < 0.25 else [rng.choice(("agent", "patient", *EXTRAS))]

    def change(frame):
        return changed(frame, slots[0], rng) if slots and getattr(frame, slots[0]) else None if slots else frame

    frame, other, one, two = _pair(rng, max(modifiers, 0.3), change)
    words = [_worded(getattr(state, slot), sentence) for slot in slots for state, sentence in ((frame, one), (other, two))]
    return EXERCISES["differ"].format(first=one, second=two), " ".join(words) or "none"


def _worded(concept, sentence):
    """The word of a concept that a sentence uses; of a place, which is several words, the last."""
    return next(word.split()[-1] for word in concept if f" {word} " in f" {sentence} ")


def dictionary(rng, modifiers):
    """A word of the whole lexicon: its synonym, its opposite, or its kind."""
    while True:
        relation, concept = rng.choice(RELATIONS), rng.choice(CONCEPTS)
        word = rng.choice(concept)
        found = {"synonym": [other for other in concept if other != word], "opposite": OPPOSITE.get(concept, ()),
                 "kind": [KIND[concept]] if concept in KIND else []}[relation]
        if found:
            return EXERCISES["dictionary"].format(relation=relation, word=word), rng.choice(found)


def voice(rng, modifiers):
    """An active sentence, to be said in the passive voice with the same words, or the other way round."""
    while True:
        frame = draw_frame(rng, modifiers, quantified=True)
        words = {slot: (rng.choice(getattr(frame, slot)),) for slot in CONTENT if getattr(frame, slot)}
        both = [say(replace(frame, **words), rng, voice) for voice in ("active", "passive")]
        if all(in_split(sentence, "train") for sentence in both):
            rng.shuffle(both)
            return EXERCISES["voice"].format(first=both[0]), both[1]


DRAWN = (fill, differ, dictionary, voice)
CONCEPTS = tuple(noun for nouns in KINDS.values() for noun in nouns) + flatten(VERBS + QUALITIES + TRAITS + MANNERS + VERDICTS)
