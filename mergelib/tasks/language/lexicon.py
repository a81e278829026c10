"""Which words are there, and how do they relate? Concepts with their synonyms, opposites and kinds.

A concept is the tuple of the words that mean it. No word belongs to two concepts, so sameness of meaning is decided exactly.
"""

from functools import cache


def _concepts(text):
    """Concepts from a text: words of one concept are joined by slashes, underscores are blanks."""
    return tuple(tuple(word.replace("_", " ") for word in concept.split("/")) for concept in text.split())


def _pairs(text):
    """Opposites from a text, such as "big/large:small/little": a tuple of pairs of concepts."""
    return tuple(tuple(_concepts(side)[0] for side in pair.split(":")) for pair in text.split())


PEOPLE = _concepts("doctor/physician teacher/instructor child/kid farmer/grower lawyer/attorney thief/robber artist/painter "
                   "pilot/aviator sailor/mariner nurse king/monarch soldier/trooper baker tailor/dressmaker")
THINGS = {
    "animal": _concepts("dog/hound rabbit/bunny horse/steed pig/hog cat goat"),
    "vehicle": _concepts("car/automobile bicycle/bike truck/lorry boat/vessel plane/aircraft cart/wagon"),
    "tool": _concepts("hammer/mallet spade/shovel axe/hatchet ladder rope/cord saw"),
    "instrument": _concepts("violin/fiddle drum guitar flute piano trumpet/bugle"),
    "garment": _concepts("coat/jacket hat/cap shirt dress/gown scarf glove/mitten"),
}
KINDS = {"person": PEOPLE, **THINGS}
PLURALS = {"child": "children", "thief": "thieves"}        # the others take an s; only people are ever counted

# what can be done to everybody and everything; to all but people; to what does not live
ANY = _pairs("find/discover:lose/misplace push/shove:pull/drag hide/conceal:reveal/show praise/commend:criticise/blame "
             "love/adore:hate/detest follow/trail:lead/guide protect/guard:attack/assault watch/observe:ignore/disregard")
NOT_PEOPLE = _pairs("buy/purchase:sell lift/raise:lower wash/clean:stain accept:refuse/reject")
LIFELESS = _pairs("mend/repair:break/damage")
VERBS = ANY + NOT_PEOPLE + LIFELESS
PARTICIPLES = {"find": "found", "lose": "lost", "drag": "dragged", "hide": "hidden", "show": "shown", "lead": "led",
               "buy": "bought", "sell": "sold", "break": "broken"}     # the others are regular

QUALITIES = _pairs("tall:short young:old/elderly rich/wealthy:poor/needy clever/smart:foolish/silly brave/bold:timid/fearful "
                   "happy/glad:sad/unhappy strong/powerful:weak/feeble quiet/silent:loud/noisy")
TRAITS = _pairs("big/large:small/little heavy/weighty:light wet/damp:dry cheap/inexpensive:costly/expensive dark:pale "
                "rare/uncommon:common/ordinary ugly/unsightly:pretty/beautiful dirty/filthy:spotless")
MANNERS = _pairs("quickly/rapidly:slowly quietly/silently:loudly/noisily gladly/happily:sadly/unhappily "
                 "carefully/cautiously:carelessly openly:secretly/covertly eagerly:reluctantly/unwillingly")
PLACES = _concepts("in_the_garden/in_the_yard in_the_forest/in_the_woods at_the_market/at_the_bazaar in_the_kitchen "
                   "on_the_road/on_the_street near_the_river/near_the_stream by_the_harbour/by_the_port in_the_church "
                   "behind_the_house on_the_hill")

# sentiment speaks of what people review
REVIEWED = _concepts("film/movie book/novel song meal/dinner hotel/inn concert play/drama lesson holiday/vacation speech")
ASPECTS = _concepts("start/beginning end/ending style price/cost mood/atmosphere idea look/appearance sound middle")
VERDICTS = _pairs("good/fine:bad/lousy wonderful/marvellous:terrible/dreadful charming/delightful:annoying/irritating "
                  "exciting/thrilling:boring/dull superb/excellent:awful/horrible pleasant/enjoyable:unpleasant/nasty "
                  "fresh/original:stale/tired amusing/funny:tedious/dreary")

OPPOSITE = {a: b for pairs in (VERBS, QUALITIES, TRAITS, MANNERS, VERDICTS) for x, y in pairs for a, b in ((x, y), (y, x))}
KIND = {noun: kind for kind, nouns in KINDS.items() for noun in nouns}


@cache
def flatten(pairs):
    """The concepts of some pairs, in order."""
    return tuple(concept for pair in pairs for concept in pair)


@cache
def familiar(concepts):
    """Those of some concepts, or pairs of opposites, that pre-training uses in tasks: three of every five."""
    return tuple(concept for i, concept in enumerate(concepts) if i % 5 < 3)


@cache
def objects(verb, narrow=False):
    """The nouns to which a verb can be done; with `narrow` the familiar ones."""
    things = [noun for nouns in THINGS.values() for noun in (familiar(nouns) if narrow else nouns)]
    if verb in flatten(ANY):
        return (*things, *(familiar(PEOPLE) if narrow else PEOPLE))
    return tuple(noun for noun in things if verb not in flatten(LIFELESS) or KIND[noun] != "animal")


def third_person(verb):
    """The form of a verb after "he"."""
    if verb.endswith(("s", "sh", "ch")):
        return verb + "es"
    return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeou" else verb + "s"


def participle(verb):
    """The form of a verb after "is"."""
    return PARTICIPLES.get(verb) or verb + ("d" if verb.endswith("e") else "ed")


def plural(noun):
    """The form of a person's noun after "two"."""
    return PLURALS.get(noun, noun + "s")
