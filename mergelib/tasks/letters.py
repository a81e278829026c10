"""`letters`: which letter did somebody write? The small sibling of EMNIST letters."""

import math
from functools import partial

SIBLING = None
WEAR = 0.45
PROMPTS = ("a photo of {}, written by hand.", "a picture of {}.", "{} in handwriting.")
CAPTIONS = ("clip art of {}", "{} in print", "a sign that shows {}", "{} of the alphabet")
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif", "cmr10", "cmss10",
         "STIXGeneral", "STIXGeneralBol")

# How a pen writes each letter, in one or more ways: strokes are separated by "|", each is a row of points "xy" on a
# grid 6 wide and 8 high; "~" marks a curve, which touches the middle of each inner edge between its points.
WAYS = {
    "A": ("08 30 68|15 55", "~08 06 00 60 66 68|05 65"),
    "B": ("00 08|~00 60 64 04|~04 74 78 08",),
    "C": ("~62 60 00 08 68 66", "~61 50 10 02 06 18 58 67"),
    "D": ("00 08|~00 70 78 08",),
    "E": ("60 00 08 68|04 54", "~61 60 00 04 34|~34 04 08 68 67"),
    "F": ("60 00 08|04 44", "70 00|10 18|14 54"),
    "G": ("~61 60 00 08 68 65|34 64 68", "~61 60 00 08 68 64|64 34"),
    "H": ("00 08|60 68|04 64",),
    "I": ("30 38|10 50|18 58", "30 38"),
    "J": ("~50 53 58 08 06", "~40 43 48 08 06|10 70"),
    "K": ("00 08|60 04 68", "00 08|60 14|~14 44 46 68"),
    "L": ("00 08 68", "~10 14 08 08 68"),
    "M": ("08 00 35 60 68", "08 10 36 50 68"),
    "N": ("08 00 68 60",),
    "O": ("~30 00 08 68 60 30", "~40 00 08 68 60 20"),
    "P": ("00 08|~00 70 75 05",),
    "Q": ("~30 00 08 68 60 30|46 79", "~30 00 08 68 60 30|35 79"),
    "R": ("00 08|~00 70 74 04|24 68",),
    "S": ("~61 60 00 03 65 68 08 07",),
    "T": ("00 60|30 38",),
    "U": ("~00 04 08 68 64 60", "~00 04 08 68 64 60|60 68"),
    "V": ("00 38 60", "10 38 50"),
    "W": ("00 18 33 58 60", "~00 02 08 38 33|~33 38 68 62 60"),
    "X": ("00 68|60 08", "~00 20 48 68|60 08"),
    "Y": ("00 34 60|34 38", "00 34|60 18"),
    "Z": ("00 60 08 68", "00 60 08 68|14 54"),
}


def letter(c, name):
    """A printed capital on the web, handwriting in the field."""
    (printed if c.web else written)(c, name)


def printed(c, name):
    """A clean capital of some font on a plain page."""
    c.plain()
    c.centre(turn=0)
    c.text(name, 0, 0, c.uniform(40, 54), c.any_colour(0, 110), c.choice(FONTS), c.uniform(-6, 6))


def written(c, name):
    """A letter in pencil, felt pen or chalk: wobbly, slanted, large or small."""
    paper, ink = c.any_colour(150, 250), c.any_colour(0, 85)
    if c.chance(0.45):
        paper, ink = ink, paper
    c.choice((page, ruled, board))(c, paper)
    c.frame(32 + c.uniform(-6, 6), 32 + c.uniform(-6, 6), c.uniform(3.6, 6.2), c.uniform(-13, 13), c.uniform(0.8, 1.1))
    slant, width = c.uniform(-0.35, 0.2), c.uniform(0.5, 1.2)
    for stroke in c.choice(WAYS[name]).split("|"):
        brush(c, path(c, stroke, slant), ink, width)


def path(c, stroke, slant):
    """The points of a stroke around the origin, each a little off, slanted and rounded where the stroke is a curve."""
    points = []
    for x, y in stroke.lstrip("~").split():
        x, y = int(x) - 3 + c.uniform(-0.4, 0.4), int(y) - 4 + c.uniform(-0.4, 0.4)
        points.append((x - slant * y, y))
    return rounded(rounded(rounded(points))) if stroke[0] == "~" else bowed(c, points)


def rounded(points):
    """Cut the corners of a broken line, keep its ends."""
    cut = [points[0]]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        cut += [(0.75 * x0 + 0.25 * x1, 0.75 * y0 + 0.25 * y1), (0.25 * x0 + 0.75 * x1, 0.25 * y0 + 0.75 * y1)]
    return cut + [points[-1]]


def bowed(c, points):
    """Bend each straight piece of a broken line slightly."""
    bent = [points[0]]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        bow = c.uniform(-0.1, 0.1)
        across = [(t, bow * math.sin(math.pi * t)) for t in (0.25, 0.5, 0.75, 1.0)]
        bent += [(x0 + (x1 - x0) * t - (y1 - y0) * b, y0 + (y1 - y0) * t + (x1 - x0) * b) for t, b in across]
    return bent


def brush(c, points, ink, width):
    """Draw a stroke whose width swells and shrinks on the way."""
    phase, swing = c.uniform(0, 6), c.uniform(0, 0.35)
    for k in range(len(points) - 1):
        c.line(points[k:k + 3], ink, width * (1 + swing * math.sin(phase + 0.4 * k)))


def page(c, paper):
    """Paper that is a little lighter on one side."""
    c.gradient(paper, c.shade(paper, c.uniform(0.8, 1.2)))


def ruled(c, paper):
    """A page with lines."""
    c.fill(paper)
    line, gap = c.shade(paper, c.uniform(0.7, 0.9)), c.integer(10, 22)
    for y in range(c.integer(0, gap), 64, gap):
        c.pen.line((0, y, 64, y), fill=line, width=2)


def board(c, paper):
    """A badly wiped board or stained paper."""
    c.fill(paper)
    for _ in range(5):
        x, y, r = c.uniform(0, 64), c.uniform(0, 64), c.uniform(6, 26)
        c.pen.ellipse((x - r, y - r / 2, x + r, y + r / 2), fill=c.shade(paper, c.uniform(0.85, 1.15)))


CLASSES = {f"the letter {name}": partial(letter, name=name) for name in WAYS}
