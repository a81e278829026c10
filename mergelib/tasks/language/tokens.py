"""How does text become numbers? A word is a token; the vocabulary is what lexicon, grammar and templates can say."""

from functools import cache

from .grammar import PLURAL, WORDS
from .lexicon import (
    ASPECTS,
    KINDS,
    MANNERS,
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
from .tasks import ANSWERS
from .templates import EXERCISES, GAPS, OTHERS, RELATIONS, TARGET

SPECIAL = ("<pad>", "</s>", "<unk>")            # T5's, in its order
FUNCTION = "the a an every no not is does do by who whom what its was seemed very quite but although and , ? : . none"


def vocabulary():
    """All words, in a fixed order: the special tokens, then the alphabet."""
    concepts = [*(noun for nouns in KINDS.values() for noun in nouns), *((kind,) for kind in KINDS), *PLACES, *REVIEWED,
                *ASPECTS, *flatten(QUALITIES + TRAITS + MANNERS + VERDICTS)]
    texts = [FUNCTION, *PLURAL, *(word for concept in (*concepts, *WORDS.values()) for word in concept)]
    texts += [plural(noun) for noun in (*flatten(PEOPLE), "person")]
    texts += [form(verb) for concept in flatten(VERBS) for verb in concept for form in (str, third_person, participle)]
    texts += [*TARGET.values(), *(text for texts in OTHERS.values() for text in texts), *EXERCISES.values(), *GAPS, *RELATIONS]
    texts += [answer for answers in ANSWERS.values() for answer in answers]
    words = {word for text in texts for word in text.split() if not word.startswith("{")}
    return [*SPECIAL, *sorted(words - set(SPECIAL))]


@cache
def build_tokenizer():
    """The tokenizer of our models, as transformers' tokenizers are called; it ends every text with </s> and pads with <pad>."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast
    pad, end, unknown = SPECIAL
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary())}, unk_token=unknown))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, SPECIAL.index(end))])
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=pad, eos_token=end, unk_token=unknown)
