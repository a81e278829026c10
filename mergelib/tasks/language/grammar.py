"""How does a meaning become a sentence or a question? Frames of concepts, said in the active or the passive voice."""

from dataclasses import dataclass, replace
from functools import cache

from .lexicon import (
    KIND,
    MANNERS,
    OPPOSITE,
    PEOPLE,
    PLACES,
    QUALITIES,
    TRAITS,
    VERBS,
    familiar,
    flatten,
    objects,
    participle,
    plural,
    third_person,
)

PLURAL = ("two", "many")
VOICES = ("active", "passive", "fronted")
CONTENT = ("agent", "verb", "patient", "quality", "trait", "manner", "place")
WORDED = {"agent": PEOPLE, "verb": VERBS, "quality": QUALITIES, "trait": TRAITS, "manner": MANNERS, "place": PLACES}
EXTRAS = ("quality", "trait", "manner", "place")


@dataclass(frozen=True)
class Frame:
    """Who does what to whom: concepts, of which the last four may be missing."""

    agent: tuple
    verb: tuple
    patient: tuple
    quality: tuple | None = None         # of the agent
    trait: tuple | None = None           # of the patient
    manner: tuple | None = None
    place: tuple | None = None
    quantifier: str = "the"              # of the agent: the, a, every, no, two, many
    negated: bool = False                # only with "the", where it has one meaning
    narrow: bool = False                 # whether only familiar concepts may come in


def draw_frame(rng, modifiers=0.5, narrow=False, quantified=False):
    """A frame at random; each modifier is there with probability `modifiers`.

    `narrow`: only concepts that are `familiar` (for pre-training). `quantified`: "the" in half of the frames, else another
    quantifier. Every fifth frame with "the" is negated.
    """
    verb, agent = rng.choice(choices("verb", narrow)), rng.choice(choices("agent", narrow))
    patient = rng.choice([noun for noun in objects(verb, narrow) if noun != agent])
    extras = {slot: rng.choice(choices(slot, narrow)) for slot in EXTRAS if rng.random() < modifiers}
    if patient in PEOPLE:
        extras.pop("trait", None)        # those are for things
    quantifier = rng.choice(("a", "every", "no", "two", "many")) if quantified and rng.random() < 0.5 else "the"
    negated = quantifier == "the" and rng.random() < 0.2
    return Frame(agent, verb, patient, quantifier=quantifier, negated=negated, narrow=narrow, **extras)


@cache
def choices(slot, narrow):
    """The concepts that may stand in a slot, the patient's apart."""
    worded = familiar(WORDED[slot]) if narrow else WORDED[slot]
    return worded if slot in ("agent", "place") else flatten(worded)


def changed(frame, slot, rng):
    """The frame with another concept in one slot, or None where there can be none.

    A modifier that is missing is added; verbs and modifiers become their opposites, nouns and places others.
    """
    now = getattr(frame, slot)
    if slot == "trait" and frame.patient in PEOPLE:
        return None
    if slot == "patient":
        same = now in PEOPLE             # or a trait would be left without its thing
        others = [noun for noun in objects(frame.verb, frame.narrow) if (noun in PEOPLE) == same]
    elif now is None or slot in ("agent", "place"):
        others = choices(slot, frame.narrow)
    else:
        others = [OPPOSITE[now]]
    return replace(frame, **{slot: rng.choice([other for other in others if other not in (now, frame.agent, frame.patient)])})


def kind_of(noun):
    """The concept of a noun's kind: ("animal",) for a dog."""
    return (KIND[noun],)


# --- sentences --------------------------------------------------------------------------------------------------------

def say(frame, rng, voice=None):
    """The frame as a sentence, synonyms chosen at random; `voice`: one of `VOICES`, default any."""
    return " ".join(text for _, text in chunks(frame, rng, voice))


def chunks(frame, rng, voice=None):
    """A sentence's parts in order: pairs of what a part is (subject, aux, manner, verb, object, by, place) and its words."""
    voice = voice or rng.choice(VOICES)
    agent, patient = agent_phrase(frame, rng), patient_phrase(frame, rng)
    manner = [("manner", rng.choice(frame.manner))] if frame.manner else []
    place = [("place", rng.choice(frame.place))] if frame.place else []
    verb = rng.choice(frame.verb)
    if voice == "passive":
        parts = [("subject", patient), ("aux", "is not" if frame.negated else "is"), *manner, ("verb", participle(verb)),
                 ("by", "by"), ("object", agent), *place]
    else:
        inflected = verb if frame.negated or frame.quantifier in PLURAL else third_person(verb)
        parts = [("subject", agent), *([("aux", "does not")] if frame.negated else []), *manner, ("verb", inflected),
                 ("object", patient)]
        parts = [*place, ("comma", ","), *parts] if voice == "fronted" and place else [*parts, *place]
    return parts


def agent_phrase(frame, rng):
    """The agent's words, such as "every old doctor"."""
    noun = rng.choice(frame.agent)
    words = [*([rng.choice(frame.quality)] if frame.quality else []), plural(noun) if frame.quantifier in PLURAL else noun]
    article = "an" if frame.quantifier == "a" and words[0][0] in "aeiou" else frame.quantifier
    return " ".join([article, *words])


def patient_phrase(frame, rng):
    """The patient's words, such as "the heavy drum"."""
    return " ".join(["the", *([rng.choice(frame.trait)] if frame.trait else []), rng.choice(frame.patient)])


# --- questions --------------------------------------------------------------------------------------------------------

ASKED = {"who": "agent", "what": "patient", "where": "place", "how": "manner"}
WORDS = {"where": ("where", "in which place"), "how": ("how", "in which way")}


def ask(frame, what, rng):
    """A question about an affirmative frame: `what` (a key of `ASKED`) is the part that it leaves open."""
    manner = [rng.choice(frame.manner)] if frame.manner and what != "how" else []
    place = [rng.choice(frame.place)] if frame.place and what != "where" else []
    verb, agent, patient = rng.choice(frame.verb), agent_phrase(frame, rng), patient_phrase(frame, rng)
    do = "do" if frame.quantifier in PLURAL else "does"
    passive = rng.random() < 0.5
    if what == "who":
        words = (["by whom is", patient, *manner, participle(verb)] if passive
                 else ["who", *manner, third_person(verb), patient])
    elif what == "what":
        words = (["what is", *manner, participle(verb), "by", agent] if passive
                 else ["what", do, agent, *manner, verb])
    else:
        start = rng.choice(WORDS[what])
        words = ([start, "is", patient, *manner, participle(verb), "by", agent] if passive
                 else [start, do, agent, *manner, verb, patient])
    return " ".join([*words, *place, "?"])
