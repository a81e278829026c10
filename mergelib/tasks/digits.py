"""`digits`: which digit did somebody write? The small sibling of MNIST, with real handwriting from scikit-learn."""

import math
from functools import cache, partial

import numpy as np
from PIL import Image

SIBLING = "MNIST"
WEAR = 0.4
PROMPTS = ("a photo of the handwritten digit {}.", "the digit {}.", "a handwritten {}.")
CAPTIONS = ("the digit {} in print", "clip art of the digit {}", "a printed {}", "the number {} on a plain page")
WORDS = "zero one two three four five six seven eight nine".split()
BLOCKS = {"train": (0, 700), "seen": (700, 1100), "validation": (1100, 1300), "test": (1300, 1797)}    # neighbours tend to
                                                                                                     # share a writer
FONTS = ("DejaVuSans", "DejaVuSans-BoldOblique", "DejaVuSerif-Italic", "DejaVuSerif-Bold", "cmr10", "cmb10",
         "STIXGeneralItalic", "DejaVuSansMono-Oblique")
MARGIN = 2     # empty pixels around a scan of 8 x 8


def digit(c, value):
    """A printed digit on the web, somebody's handwriting in the field."""
    (printed if c.web else written)(c, value)


def printed(c, value):
    """A clean digit of some font on a plain page."""
    c.plain()
    c.centre(turn=0)
    c.text(str(value), 0, 0, c.uniform(40, 56), c.any_colour(0, 110), c.choice(FONTS), c.uniform(-10, 10))


def written(c, value):
    """Handwriting, dark on light or light on dark, sometimes on ruled or dirty paper."""
    dark_ink = c.chance(0.5)
    paper, ink = c.any_colour(165, 250), c.any_colour(0, 75)
    if not dark_ink:
        paper, ink = ink, paper
    c.fill(paper)
    dirt = c.shade(paper, 0.85) if dark_ink else tuple(channel + 22 for channel in paper)
    c.choice((blank, ruled, smudged))(c, dirt)
    stroke = placed(c, c.choice(scans(c.split)[value]))
    c.image.paste(Image.new("RGB", stroke.size, ink), (0, 0), stroke)


def blank(c, dirt):
    """A clean sheet."""


def ruled(c, dirt):
    """The lines, or the squares, of an exercise book."""
    gap, squares = c.integer(8, 16), c.chance(0.5)
    for at in range(c.integer(0, gap), 64, gap):
        c.pen.line((0, at, 64, at), fill=dirt, width=2)
        if squares:
            c.pen.line((at, 0, at, 64), fill=dirt, width=2)


def smudged(c, dirt):
    """A few large stains."""
    c.speckle(c.integer(2, 7), [dirt, c.shade(dirt, 0.9)], size=c.uniform(8, 20))


def placed(c, scan):
    """The scan as a mask, turned, slanted, stretched and moved at random."""
    turn, slant, zoom = math.radians(c.uniform(-16, 16)), c.uniform(-0.25, 0.25), c.uniform(0.7, 1.1)
    cos, sin, wide = zoom * math.cos(turn), zoom * math.sin(turn), c.uniform(0.85, 1.15)
    a, b, d, e = wide * cos, slant * cos - sin, wide * sin, slant * sin + cos
    x, y = 32 + c.uniform(-6, 6), 32 + c.uniform(-5, 5)
    return scan.transform(scan.size, Image.AFFINE, (a, b, 32 - a * x - b * y, d, e, 32 - d * x - e * y), Image.BILINEAR)


@cache
def scans(split):
    """For each of the ten digits all its scans in a split, as smooth 64 x 64 masks."""
    from sklearn.datasets import load_digits  # takes a second, so only when needed

    data, (start, stop) = load_digits(), BLOCKS[split]
    pages, values = data.images[start:stop], data.target[start:stop]
    return [[enlarged(page) for page in pages[values == value]] for value in range(10)]


def enlarged(page):
    """An 8 x 8 scan (0 to 16) as a 64 x 64 mask with fairly crisp edges."""
    scan = Image.fromarray(np.pad(page * 255 / 16, MARGIN).astype(np.uint8)).resize((64, 64), Image.BICUBIC)
    return scan.point(lambda value: min(255, max(0, int((value - 70) * 2.2))))


CLASSES = {word: partial(digit, value=value) for value, word in enumerate(WORDS)}
