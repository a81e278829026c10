"""Do splits share nothing, are examples the same everywhere, and does pre-training see what it should?"""

import hashlib
import random

import pytest
from test_language import drawn, parse

from mergelib.tasks import language
from mergelib.tasks.language import SIZES, TEXT_EIGHT, in_split, load_examples, mixture
from mergelib.tasks.language.lexicon import KINDS, familiar
from mergelib.tasks.language.templates import TARGET


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(language, "CACHE", tmp_path)
    load_examples.cache_clear()
    yield tmp_path
    load_examples.cache_clear()


def test_examples_are_of_their_split_only(own_cache):
    for split in SIZES:
        asked, answers = load_examples("sentiment", split, 40)
        assert len(set(asked)) == len(answers) == 40
        start, end = TARGET["sentiment"].split("{sentence}")
        for question in asked:
            sentence = question.removeprefix(start).removesuffix(end)
            assert [name for name in SIZES if in_split(sentence, name)] == [split]


def test_examples_are_the_same_everywhere(own_cache):
    """Python's own hash of a text differs from process to process; these numbers must not."""
    examples = [load_examples(task, "train", 20) for task in TEXT_EIGHT]
    assert hashlib.sha256(repr(examples).encode()).hexdigest()[:16] == "5cef9be5f54d2f2a"


def test_a_second_call_reads_what_the_first_one_drew(own_cache, monkeypatch):
    first = load_examples("sentiment", "train", 10)
    load_examples.cache_clear()
    monkeypatch.setattr(language, "_draw", None)
    assert load_examples("sentiment", "train", 10) == first
    with pytest.raises(ValueError, match="no language task 'poetry'.*acceptability"):
        load_examples("poetry", "train")


def test_pre_training_sees_no_sentence_of_another_split():
    rng = random.Random(2)
    for exercise in (mixture.differ, mixture.voice):
        for _ in range(100):
            question, _ = exercise(rng, 0.3)
            sentences = question.split(" : ", 1)[1].split(" ; ")
            assert all(in_split(sentence, "train") for sentence in sentences)


def test_pre_training_tasks_keep_to_the_familiar_words():
    known = {noun for nouns in KINDS.values() for noun in familiar(nouns)}
    for task in ("inference", "paraphrase", "similarity"):
        for fields, _ in drawn(task, narrow=True):
            for sentence in fields.values():
                assert {parse(sentence)[slot] for slot in ("agent", "patient")} <= known | {(kind,) for kind in KINDS}


def test_the_mixture_begins_with_exercises_and_knows_all_answers():
    rng = random.Random(3)
    shares = {}
    for done in (0.1, 0.9):
        starts = [question.split(" : ")[0] for question, _ in (mixture.draw_pair(rng, done) for _ in range(600))]
        shares[done] = sum(start in ("fill", "differ", "turn", "synonym", "opposite", "kind") for start in starts) / 600
    assert shares[0.1] == pytest.approx(0.9, abs=0.06) and shares[0.9] == pytest.approx(0.35, abs=0.08)


def test_exercises_have_right_answers():
    rng = random.Random(4)
    for _ in range(200):
        question, answer = mixture.fill(rng, 0.3)
        one, two = question.removeprefix("fill : ").split(" ; ")
        words = answer.split()
        for gap, word in zip(words[::2], words[1::2]):
            assert f" {gap} " in f" {two} "
            two = two.replace(gap, word)
        assert parse(one) == parse(two)
        question, answer = mixture.voice(rng, 0.3)
        assert parse(question.removeprefix("turn : ")) == parse(answer) and answer != question.removeprefix("turn : ")
        question, answer = mixture.differ(rng, 0.3)
        one, two = (parse(sentence) for sentence in question.removeprefix("differ : ").split(" ; "))
        different = [slot for slot in dict(one.slots) if one[slot] != two[slot]]
        assert len(different) == (0 if answer == "none" else 1)
