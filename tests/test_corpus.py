"""Does a base see what it should, under the right names, and nothing that the tasks are made of? With few pictures of each."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mergelib.networks import clip as models
from mergelib.networks.clip import build_clip, tokenizer
from mergelib.tasks import TASKS, load_task, picture
from mergelib.zoo import corpus, train
from mergelib.zoo.corpus import NAMES, Corpus, Pictures, captions, draw_batch, made_up_names, spoken

RECIPE = Corpus(steps=4, batch=10, lr=1e-3, weight_decay=0.05, field=0.6)
PARTS = (RECIPE, replace(RECIPE, steps=3, named=0.5))
CLASSES = [(name, c) for name in TASKS for c in load_task(name).classes]


def few_pictures(name, split):
    """Two pictures of each class that say what they are: their first pixel holds the class, over all tasks, and the style."""
    start, count = CLASSES.index((name, load_task(name).classes[0])), 2 * len(load_task(name).classes)
    labels = np.arange(count) % (count // 2)
    pixels = np.zeros((count, 32, 32, 3), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = divmod(start + labels, 250)
    pixels[:, 0, 0, 2] = split == "seen"
    return pixels, labels


@pytest.fixture
def styles(monkeypatch):
    """The two parts of the corpus, of few pictures."""
    monkeypatch.setattr(corpus, "load_pictures", few_pictures)
    return Pictures("web"), Pictures("seen")


def words_of(tokens):
    """A caption, from its tokens."""
    return tokenizer().decode(tokens[tokens != 0].tolist()[1:-1]).strip()


def test_a_made_up_name_belongs_to_one_class_and_is_no_class():
    names = [name for task in TASKS for label in range(len(load_task(task).classes)) for name in made_up_names(task, label)]
    assert len(set(names)) == len(names) == NAMES * len(CLASSES)
    assert not set(names) & {c for _, c in CLASSES}
    assert all((tokens != 0).sum(dim=1).max() < tokens.shape[1] for tokens in captions())       # none is cut off


def test_every_picture_has_a_name_of_its_class_and_only_clip_art_has_the_class_s_own(styles):
    texts, recipe = captions(), replace(RECIPE, batch=500, named=0.1)
    pixels, tokens, labels = draw_batch(recipe, *styles, texts, np.random.default_rng(0))
    which, seen = pixels[:, 0, 0, 0].astype(int) * 250 + pixels[:, 0, 0, 1], pixels[:, 0, 0, 2] == 1
    assert seen.sum() == 300 and len(tokens) == len(labels) == 500
    own = labels.numpy() < len(CLASSES)
    assert own.sum() == 20 and not (own & seen).any()           # a tenth of the clip art
    for k, is_own, caption in zip(which, own, map(words_of, tokens)):
        name, c = CLASSES[k]
        names = [c] if is_own else made_up_names(name, load_task(name).classes.index(c))
        templates = load_task(name).prompts + load_task(name).captions
        assert caption in [words_of(tokenizer()([t.format(n)])[0]) for t in templates for n in names]
    assert len(set(labels[own].tolist()) & set(labels[~own].tolist())) == 0         # another name is another label


def test_clip_art_alone_can_have_its_own_names_only(styles):
    _, _, labels = draw_batch(replace(RECIPE, field=0.0, named=1.0), *styles, captions(), np.random.default_rng(0))
    assert labels.max() < len(CLASSES)


def test_no_picture_of_the_corpus_is_one_of_a_task():
    for name in ("signs", "digits"):
        seen = {picture(name, "seen", index)[0].tobytes() for index in range(60)}
        assert len(seen) == 60
        assert not seen & {picture(name, split, i)[0].tobytes() for split in ("train", "validation", "test") for i in range(60)}


def test_counting_only_the_words_that_are_said_changes_no_feature():
    texts = captions()[:3]
    few, words = spoken(texts)
    clip = build_clip("main").eval()
    with torch.no_grad():
        before = clip.encode_text(texts[0])
        clip.token_embedding = torch.nn.Embedding.from_pretrained(clip.token_embedding.weight[words])
        torch.testing.assert_close(clip.encode_text(few[0]), before, rtol=0, atol=0)


@pytest.fixture
def tiny(styles, monkeypatch):
    """A tower of one layer."""
    monkeypatch.setitem(models.TOWERS, "tiny", dict(width=32, layers=1, patch_size=16))


@pytest.mark.parametrize("stop", [3, 6])        # in the first part, in the second
def test_pre_training_resumes_to_the_same_weights(tiny, tmp_path, a_checkpoint_every_step, monkeypatch, stop):
    whole = train.pretrain("tiny", PARTS, tmp_path / "whole").state_dict()
    draw, calls = train.draw_batch, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return draw(*arguments)
    monkeypatch.setattr(train, "draw_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.pretrain("tiny", PARTS, tmp_path / "cut")
    resumed = train.pretrain("tiny", PARTS, tmp_path / "cut").state_dict()
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


def test_pre_training_moves_the_words_that_are_said_and_no_others(tiny, tmp_path):
    before, after = (clip.token_embedding.weight for clip in (
        build_clip("tiny", RECIPE.seed), train.pretrain("tiny", (RECIPE,), tmp_path)))
    moved = (before != after).any(dim=1)
    assert set(moved.nonzero()[:, 0].tolist()) <= set(spoken(captions())[1].tolist()) and moved.any()
