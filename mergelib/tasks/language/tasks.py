"""What do the eight tasks ask? Each draws the sentences of one example and its answer, right by construction.

A task is a function (rng, narrow=False, modifiers=...) -> (fields, answer): the sentences by the names of a template's places,
and the answer's words. `narrow` keeps to the concepts of pre-training.
"""

from dataclasses import replace

from .grammar import ASKED, CONTENT, EXTRAS, PLURAL, VOICES, ask, changed, chunks, draw_frame, kind_of, say
from .lexicon import ASPECTS, PEOPLE, REVIEWED, VERDICTS, familiar, objects, participle, third_person

WEIGHTS = {"agent": 2, "verb": 2, "patient": 2, "quality": 1, "trait": 1, "manner": 1, "place": 1}    # of ten, for similarity


# --- acceptability ----------------------------------------------------------------------------------------------------

def acceptability(rng, narrow=False, modifiers=0.5):
    """Is a sentence grammatical? Unacceptable ones have one of the `FAULTS` (the small sibling of CoLA)."""
    wrong = rng.random() < 0.5
    while True:
        frame = draw_frame(rng, modifiers, narrow, quantified=True)
        parts = chunks(frame, rng)
        parts = rng.choice(FAULTS)(frame, parts, rng) if wrong else parts
        if parts is not None:
            return {"sentence": " ".join(text for _, text in parts)}, "unacceptable" if wrong else "acceptable"


def _where(parts, role):
    """The place of a part in a sentence, or None."""
    return next((i for i, (name, _) in enumerate(parts) if name == role), None)


def _with(parts, i, text):
    """The parts with other words in one of them."""
    return [*parts[:i], (parts[i][0], text), *parts[i + 1:]]


def _disagree(frame, parts, rng):
    """The verb does not agree with its subject, or is inflected after "does not"."""
    i = _where(parts, "verb")
    base = next((word for word in frame.verb if parts[i][1] in (word, third_person(word))), None)
    if base is None:
        return None
    return _with(parts, i, base if parts[i][1] != base else third_person(base))


def _base_after_is(frame, parts, rng):
    """A passive without its participle."""
    i = _where(parts, "verb")
    base = next((word for word in frame.verb if parts[i][1] == participle(word)), None)
    return None if base is None or _where(parts, "by") is None else _with(parts, i, base)


def _no_article(frame, parts, rng):
    """A noun without its article."""
    i = _where(parts, rng.choice(("subject", "object")))
    words = parts[i][1].split()
    return None if words[0] in PLURAL else _with(parts, i, " ".join(words[1:]))


def _adjective_last(frame, parts, rng):
    """An adjective behind its noun."""
    i = _where(parts, rng.choice(("subject", "object")))
    words = parts[i][1].split()
    return None if len(words) < 3 else _with(parts, i, " ".join([*words[:-2], words[-1], words[-2]]))


def _no_verb(frame, parts, rng):
    """An active sentence without its verb."""
    i = _where(parts, "verb")
    return [*parts[:i], *parts[i + 1:]] if _where(parts, "by") is None else None


def _verb_last(frame, parts, rng):
    """The object of an active sentence before its verb."""
    i = _where(parts, "verb")
    return [*parts[:i], parts[i + 1], parts[i], *parts[i + 2:]] if parts[i + 1][0] == "object" else None


def _doubled(frame, parts, rng):
    """A small word said twice."""
    i = rng.randrange(len(parts))
    first, *rest = parts[i][1].split()
    return _with(parts, i, " ".join([first, first, *rest])) if first in ("the", "in", "at", "by", "is", "near", "on") else None


def _article_late(frame, parts, rng):
    """An article behind its noun."""
    i = _where(parts, rng.choice(("subject", "object")))
    words = parts[i][1].split()
    return _with(parts, i, " ".join([*words[1:], words[0]])) if words[0] == "the" else None


FAULTS = (_disagree, _base_after_is, _no_article, _adjective_last, _no_verb, _verb_last, _doubled, _article_late)


# --- inference and entailment -----------------------------------------------------------------------------------------

def inference(rng, narrow=False, modifiers=0.5):
    """Does a premise entail a hypothesis, contradict it, or neither? (the small sibling of MNLI)"""
    label = rng.choice(("entailment", "neutral", "contradiction"))
    frame, other = _related(label, rng, narrow, modifiers)
    return {"premise": say(frame, rng), "hypothesis": say(other, rng)}, label


def entailment(rng, narrow=False, modifiers=0.3):
    """Do two sentences entail a third? (the small sibling of RTE)"""
    label = rng.choice(("entailment", rng.choice(("neutral", "contradiction"))))
    frame, other = _related(label, rng, narrow, modifiers)
    beside = draw_frame(rng, modifiers / 2, narrow)
    while beside.agent in (frame.agent, other.agent, frame.patient) or beside.patient in (frame.agent, other.agent):
        beside = draw_frame(rng, modifiers / 2, narrow)
    text = [say(frame, rng), say(beside, rng)]
    rng.shuffle(text)
    return {"first": text[0], "second": text[1], "hypothesis": say(other, rng)}, "yes" if label == "entailment" else "no"


def _related(label, rng, narrow, modifiers):
    """A frame, and one that it entails, contradicts or leaves open."""
    while True:
        frame = draw_frame(rng, modifiers, narrow, quantified=True)
        if options := RELATIONS[label](frame, rng):
            return frame, rng.choice(options)


def _affirms(frame):
    """Whether a frame says that something happens."""
    return not frame.negated and frame.quantifier != "no"


def entailed(frame, rng):
    """Frames that follow: the same, or less said. What is said of every doctor is not said of every person."""
    less = [frame]
    if _affirms(frame):
        less += [replace(frame, **{slot: None}) for slot in ("trait", "manner", "place") if getattr(frame, slot)]
        less += [replace(frame, patient=kind_of(frame.patient))]
        if frame.quantifier != "every":
            less += [replace(frame, agent=kind_of(frame.agent))] + ([replace(frame, quality=None)] if frame.quality else [])
        if frame.quantifier in ("every", "two", "many"):
            less += [replace(frame, quantifier="a")]
    return less


def left_open(frame, rng):
    """Frames that may or may not hold: about something else, or more said."""
    more = [changed(frame, "patient", rng), changed(frame, "agent", rng)]
    if _affirms(frame):
        more += [changed(frame, slot, rng) for slot in ("trait", "manner", "place") if getattr(frame, slot) is None]
        if frame.quality is None and frame.quantifier != "every":
            more += [changed(frame, "quality", rng)]
        more += [replace(frame, quantifier=q) for q in MORE.get(frame.quantifier, ())]
    return [other for other in more if other is not None]


def contradicted(frame, rng):
    """Frames that cannot hold as well. With "a", "two" and "many" only "no" denies it."""
    if frame.negated:
        return [replace(frame, negated=False)]
    if frame.quantifier == "no":
        return [replace(frame, quantifier=q) for q in ("a", "every", "two")]
    denied = replace(frame, negated=True) if frame.quantifier == "the" else replace(frame, quantifier="no")
    if frame.quantifier not in ("the", "every"):
        return [denied]
    opposite = [changed(frame, slot, rng) for slot in ("verb", "manner") if getattr(frame, slot)]
    return [denied, *opposite]


MORE = {"a": ("every", "two", "many"), "two": ("many",)}
RELATIONS = {"entailment": entailed, "neutral": left_open, "contradiction": contradicted}


# --- paraphrases and questions ----------------------------------------------------------------------------------------

def paraphrase(rng, narrow=False, modifiers=0.5):
    """Do two statements mean the same? If not, one concept differs, or the roles (the small sibling of MRPC)."""
    frame = draw_frame(rng, modifiers, narrow)
    other, same = frame, rng.random() < 0.5
    if not same:
        other = _swapped(frame) if frame.patient in PEOPLE and rng.random() < 0.5 else _near(frame, rng)
    one, two = _two_ways(frame, other, rng)
    return {"first": one, "second": two}, "yes" if same else "no"


def _swapped(frame):
    """The frame with its roles reversed."""
    return replace(frame, agent=frame.patient, patient=frame.agent)


def _near(frame, rng, slots=CONTENT):
    """The frame with one of the concepts that it has replaced by another."""
    return changed(frame, rng.choice([slot for slot in slots if getattr(frame, slot)]), rng)


def _two_ways(frame, other, rng):
    """Two frames in different voices, so that sentences that mean the same never read the same."""
    voices = rng.sample(VOICES if frame.place else VOICES[:2], 2)
    return say(frame, rng, voices[0]), say(other, rng, voices[1])


def duplicates(rng, narrow=False, modifiers=0.4):
    """Do two questions ask the same? (the small sibling of QQP)"""
    same = rng.random() < 0.5
    while True:
        frame, what = replace(draw_frame(rng, modifiers, narrow), negated=False), rng.choice(tuple(ASKED))
        slots = [slot for slot in CONTENT if slot not in (ASKED[what], *HIDDEN.get(what, ()))]
        other = frame if same else _near(frame, rng, slots)
        one, two = ask(frame, what, rng), ask(other, what, rng)
        if one != two:
            return {"first": one, "second": two}, "yes" if same else "no"


HIDDEN = {"who": ("quality",), "what": ("trait",)}       # what a question does not say beside the part it leaves open


def answering(rng, narrow=False, modifiers=0.5):
    """Does a sentence answer a question? If not, it lacks the part asked for, or is about something else (QNLI's sibling)."""
    what, yes = rng.choice(tuple(ASKED)), rng.random() < 0.5
    slot = ASKED[what]
    frame = replace(draw_frame(rng, modifiers, narrow), negated=False)
    if getattr(frame, slot) is None:
        frame = changed(frame, slot, rng)
    asked = replace(frame, **{extra: None for extra in EXTRAS if rng.random() < 0.5})
    told = frame
    if not yes:
        lacks = slot in ("manner", "place") and rng.random() < 0.5
        others = [part for part in ("agent", "verb", "patient") if part != slot]
        told = replace(frame, **{slot: None}) if lacks else changed(frame, rng.choice(others), rng)
    return {"question": ask(asked, what, rng), "sentence": say(told, rng)}, "yes" if yes else "no"


# --- sentiment --------------------------------------------------------------------------------------------------------

def sentiment(rng, narrow=False, modifiers=0.5):
    """Is a review positive? What follows "but", or does not follow "although", counts (the small sibling of SST-2)."""
    good, bad = zip(*(familiar(VERDICTS) if narrow else VERDICTS))
    positive, form = rng.random() < 0.5, rng.random()

    def clause(thing, wanted):
        negated = rng.random() < 0.15
        word = rng.choice(rng.choice(good if wanted != negated else bad))
        verb = "was not" if negated else rng.choice(("was", "seemed"))
        return f"{thing} {verb} {rng.choice(('', 'very ', 'quite '))}{word}"

    thing = "the " + rng.choice(rng.choice(REVIEWED))
    aspects = ["its " + rng.choice(concept) for concept in rng.sample(ASPECTS, 2)]
    if form < 0.4:
        text = f"{clause(thing, positive)} and {clause(aspects[0], positive)}"
    elif form < 0.6:
        text = f"{clause(thing, positive)} , {clause(aspects[0], positive)} and {clause(aspects[1], positive)}"
    elif form < 0.8:
        text = f"{clause(aspects[0].replace('its', 'the'), not positive)} but {clause(thing, positive)}"
    else:
        text = f"although {clause(aspects[0], not positive)} , {clause(thing, positive)}"
    return {"sentence": text}, "positive" if positive else "negative"


# --- similarity -------------------------------------------------------------------------------------------------------

SCORES = tuple(f"{half / 2:.1f}" for half in range(11))


def similarity(rng, narrow=False, modifiers=0.5):
    """How much do two sentences share, from 0.0 to 5.0? The weights of what differs are taken off (STS-B's sibling)."""
    while True:
        frame = replace(draw_frame(rng, modifiers, narrow), negated=False)
        lost = left = rng.randrange(11)
        other, slots = frame, list(WEIGHTS)
        rng.shuffle(slots)
        for slot in slots:
            if WEIGHTS[slot] <= left and (new := changed(other, slot, rng)) is not None and _still_said(new):
                other, left = new, left - WEIGHTS[slot]
        if left == 0:
            one, two = _two_ways(frame, other, rng)
            return {"first": one, "second": two}, SCORES[10 - lost]


def _still_said(frame):
    """Whether the verb of a frame can be done to its patient."""
    return frame.patient in objects(frame.verb) and frame.agent != frame.patient


TASKS = {"acceptability": acceptability, "inference": inference, "paraphrase": paraphrase, "answering": answering,
         "duplicates": duplicates, "entailment": entailment, "sentiment": sentiment, "similarity": similarity}
SIBLINGS = {"acceptability": "CoLA", "inference": "MNLI", "paraphrase": "MRPC", "answering": "QNLI", "duplicates": "QQP",
            "entailment": "RTE", "sentiment": "SST2", "similarity": "STSB"}
ANSWERS = {"acceptability": ("acceptable", "unacceptable"), "inference": ("entailment", "neutral", "contradiction"),
           "sentiment": ("positive", "negative"), "similarity": SCORES,
           **dict.fromkeys(("paraphrase", "answering", "duplicates", "entailment"), ("yes", "no"))}
