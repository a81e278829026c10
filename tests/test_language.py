"""Are the language tasks what they say? Sentences are read back by a parser of the tests' own, which judges every label."""

import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from mergelib.networks.t5 import encode
from mergelib.suites.text import OurT5
from mergelib.tasks.language import TEXT_EIGHT, mixture
from mergelib.tasks.language.grammar import VOICES, Frame, draw_frame, say
from mergelib.tasks.language.lexicon import (
    ASPECTS,
    KINDS,
    MANNERS,
    OPPOSITE,
    PEOPLE,
    PLACES,
    QUALITIES,
    REVIEWED,
    TRAITS,
    VERBS,
    VERDICTS,
    flatten,
    participle,
    plural,
    third_person,
)
from mergelib.tasks.language.tasks import ANSWERS, TASKS
from mergelib.tasks.language.templates import TARGET

NOUNS = {word: noun for nouns in KINDS.values() for noun in nouns for word in noun}
NOUNS |= {plural(word): noun for word, noun in NOUNS.items() if noun in PEOPLE}
NOUNS |= {form: (kind,) for kind in KINDS for form in (kind, plural(kind))}
FORMS = {form(word): verb for verb in flatten(VERBS) for word in verb for form in (str, third_person, participle)}
WHICH = {word: (slot, concept) for slot, pairs in (("quality", QUALITIES), ("trait", TRAITS), ("manner", MANNERS))
         for concept in flatten(pairs) for word in concept}


@dataclass(frozen=True)
class Read:
    """What a sentence says."""

    quantifier: str
    negated: bool
    slots: tuple        # of (slot, concept), sorted

    def __getitem__(self, slot):
        return dict(self.slots).get(slot)

    def but(self, **slots):
        kept = {**dict(self.slots), **slots}
        return replace(self, slots=tuple(sorted((slot, concept) for slot, concept in kept.items() if concept)))


def parse(sentence):
    """A sentence's meaning; KeyError or IndexError for what is none."""
    slots = {}
    for place in PLACES:
        for phrase in place:
            if f" {phrase} " in f" {sentence} ":
                slots["place"], sentence = place, f" {sentence} ".replace(f" {phrase} ", " ")
    words = [word for word in sentence.split() if word not in (",", "is", "does", "not")]
    verb = next(i for i, word in enumerate(words) if word in FORMS)
    slots["verb"], before, after = FORMS[words[verb]], words[:verb], words[verb + 1:]
    agent, patient = (after[1:], before) if after[0] == "by" else (before, after)
    for word in [word for word in (*agent[1:-1], *patient[1:-1], before[-1]) if word in WHICH]:
        slots[WHICH[word][0]] = WHICH[word][1]
    trim = [[word for word in words if WHICH.get(word, ("", 0))[0] != "manner"] for words in (agent, patient)]
    slots |= {"agent": NOUNS[trim[0][-1]], "patient": NOUNS[trim[1][-1]]}
    assert trim[1][0] == "the" and all(len(words) < 4 for words in trim)
    quantifier = {"an": "a"}.get(agent[0], agent[0])
    assert quantifier in ("the", "a", "every", "no", "two", "many")
    return Read(quantifier, " not " in sentence, tuple(sorted(slots.items())))


def judge(premise, hypothesis):
    """The relation of two meanings, by rules of our own."""
    if premise == hypothesis:
        return "entailment"
    if premise.negated or premise.quantifier == "no":
        denied = replace(hypothesis, negated=premise.negated, quantifier=premise.quantifier)
        affirms = not hypothesis.negated and hypothesis.quantifier in ("the", "a", "every", "two")
        return "contradiction" if affirms and denied == premise else "neutral"
    if hypothesis.negated or hypothesis.quantifier == "no":
        affirmed = replace(hypothesis, negated=False, quantifier=premise.quantifier)
        return "contradiction" if affirmed == premise else "neutral"
    for slot in ("verb", "manner"):
        opposite = OPPOSITE.get(premise[slot])
        if premise.quantifier in ("the", "every") and opposite and hypothesis == premise.but(**{slot: opposite}):
            return "contradiction"
    less = all(hypothesis[slot] in (None, premise[slot]) for slot in ("trait", "manner", "place"))
    less &= hypothesis["verb"] == premise["verb"] and is_a(premise["patient"], hypothesis["patient"])
    same_agents = (hypothesis["agent"], hypothesis["quality"]) == (premise["agent"], premise["quality"])
    wider = is_a(premise["agent"], hypothesis["agent"]) and hypothesis["quality"] in (None, premise["quality"])
    if hypothesis.quantifier != premise.quantifier:
        follows = premise.quantifier in ("every", "two", "many") and hypothesis.quantifier == "a" and same_agents
    else:
        follows = same_agents or (wider and premise.quantifier != "every")
    return "entailment" if less and follows else "neutral"


def is_a(noun, other):
    return noun == other or any(noun in nouns and other == (kind,) for kind, nouns in KINDS.items())


def drawn(task, count=400, **how):
    rng = random.Random(f"test {task}")
    return [TASKS[task](rng, **how) for _ in range(count)]


# --- the words

def test_no_word_means_two_things():
    concepts = [*(noun for nouns in KINDS.values() for noun in nouns), *((kind,) for kind in KINDS), *REVIEWED, *ASPECTS,
                *flatten(VERBS + QUALITIES + TRAITS + MANNERS + VERDICTS)]
    words = Counter(word for concept in concepts for word in concept)
    assert [word for word, times in words.items() if times > 1] == []
    forms = Counter(form(word) for verb in flatten(VERBS) for word in verb for form in (third_person, participle))
    assert max(forms.values()) == 1


def test_the_forms_of_words():
    assert [third_person(verb) for verb in ("wash", "criticise", "buy", "accept", "pass")] == [
        "washes", "criticises", "buys", "accepts", "passes"]
    assert [participle(verb) for verb in ("love", "push", "hide", "lead")] == ["loved", "pushed", "hidden", "led"]
    assert [plural(noun) for noun in ("child", "thief", "doctor")] == ["children", "thieves", "doctors"]


def test_every_word_has_a_token():
    rng = random.Random(0)
    texts = [text for done in (0.1, 0.9) for _ in range(1500) for text in mixture.draw_pair(rng, done)]
    texts += [text for task in TEXT_EIGHT for fields, answer in drawn(task) for text in (TARGET[task].format(**fields), answer)]
    assert (encode(OurT5("text-small"), texts) != 2).all()         # 2 is <unk>


# --- the labels

def test_what_is_said_is_what_is_meant():
    rng = random.Random(1)
    for _ in range(500):
        frame = draw_frame(rng, 0.6, quantified=True)
        meaning = {slot: getattr(frame, slot) for slot in ("agent", "verb", "patient", "quality", "trait", "manner", "place")}
        read = parse(say(frame, rng))
        assert dict(read.slots) == {slot: concept for slot, concept in meaning.items() if concept}
        assert (read.quantifier, read.negated) == (frame.quantifier, frame.negated)


def test_inference_is_right():
    for fields, label in drawn("inference", 800):
        assert judge(parse(fields["premise"]), parse(fields["hypothesis"])) == label, (fields, label)


def test_entailment_from_two_sentences_is_right():
    for fields, label in drawn("entailment", 800):
        texts, claim = [parse(fields["first"]), parse(fields["second"])], parse(fields["hypothesis"])
        assert any(judge(text, claim) == "entailment" for text in texts) == (label == "yes"), (fields, label)


def test_paraphrases_mean_the_same_and_never_read_the_same():
    for fields, label in drawn("paraphrase", 800):
        assert (parse(fields["first"]) == parse(fields["second"])) == (label == "yes"), (fields, label)
        assert fields["first"] != fields["second"]


def test_similarity_is_what_is_shared():
    weights = {"agent": 1.0, "verb": 1.0, "patient": 1.0, "quality": 0.5, "trait": 0.5, "manner": 0.5, "place": 0.5}
    for fields, score in drawn("similarity"):
        one, two = parse(fields["first"]), parse(fields["second"])
        assert float(score) == 5 - sum(weight for slot, weight in weights.items() if one[slot] != two[slot])


def test_answered_questions_have_their_answer():
    slots = {"who": "agent", "by whom": "agent", "what": "patient", "where": "place", "in which place": "place",
             "how": "manner", "in which way": "manner"}
    for fields, label in drawn("answering"):
        told = parse(fields["sentence"])
        slot = next(slot for start, slot in slots.items() if fields["question"].startswith(start + " "))
        known = set()
        for concept in dict(told.slots).values():
            known |= {form for word in concept for form in (word.split()[-1], *(f for f in FORMS if FORMS[f] == concept))}
        content = [word for word in fields["question"].split() if word in NOUNS or word in FORMS or word in WHICH]
        assert (told[slot] is not None and set(content) <= known) == (label == "yes"), (fields, label)


def test_duplicate_questions_differ_only_in_words():
    def content(question):
        meant = Counter(NOUNS.get(word) or FORMS.get(word) or WHICH.get(word) for word in question.split())
        ends = [place for place in PLACES if any(f" {phrase} " in question for phrase in place)]
        agent = next((word for before, word in zip(question.split(), question.split()[1:]) if before == "by"), None)
        return {meaning for meaning in meant if meaning}, ends, agent is None
    for fields, label in drawn("duplicates"):
        assert (content(fields["first"])[:2] == content(fields["second"])[:2]) == (label == "yes"), (fields, label)


def test_only_acceptable_sentences_are_sentences():
    wrong = 0
    for fields, label in drawn("acceptability", 800):
        try:
            read = parse(fields["sentence"])
            frame = Frame(**dict(read.slots), quantifier=read.quantifier, negated=read.negated)
            ours = generalised(fields["sentence"]) in {generalised(say(frame, random.Random(0), voice)) for voice in VOICES}
        except (KeyError, IndexError, AssertionError, StopIteration, TypeError):
            ours = False
        wrong += label == "unacceptable"
        assert ours == (label == "acceptable"), (fields, label)
    assert 300 < wrong < 500


def generalised(sentence):
    """A sentence whose words of meaning are replaced by their concept and form, so that synonyms read alike."""
    def shape(word):
        if word in FORMS:
            form = next(form.__name__ for form in (third_person, participle, str) for w in FORMS[word] if form(w) == word)
            return f"{FORMS[word][0]}-{form}"
        if word in NOUNS:
            return NOUNS[word][0] + ("+" if word not in NOUNS[word] else "")
        return WHICH[word][1][0] if word in WHICH else {"an": "a"}.get(word, word)
    for place in PLACES:
        for phrase in place:
            sentence = f" {sentence} ".replace(f" {phrase} ", f" {place[0]} ")
    return " ".join(shape(word) for word in sentence.split())


def test_sentiment_is_that_of_what_counts():
    good = {word for pair in VERDICTS for word in pair[0]}
    bad = {word for pair in VERDICTS for word in pair[1]}
    for fields, label in drawn("sentiment"):
        text = fields["sentence"]
        counts = text.split(" but ")[-1] if " but " in text else text.split(" , ", 1)[1] if "although" in text else text
        for clause in counts.replace(" , ", " and ").split(" and "):
            (word,) = [word for word in clause.split() if word in good | bad]
            assert ((word in good) != (" not " in clause)) == (label == "positive"), (fields, label)


@pytest.mark.parametrize("task", TEXT_EIGHT)
def test_classes_are_balanced(task):
    counts = Counter(answer for _, answer in drawn(task, 1500))
    assert set(counts) == set(ANSWERS[task])
    share, classes = 1500 / len(counts), len(counts)
    spread = 5 * (share * (1 - 1 / classes)) ** 0.5         # five standard deviations
    spread += 0.3 * share if task == "similarity" else 0    # some scores have fewer ways to be made
    assert all(abs(count - share) < spread for count in counts.values()), counts
