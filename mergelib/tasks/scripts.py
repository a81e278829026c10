"""`scripts`: which letter of a foreign script is brushed here? The small sibling of KMNIST."""

from functools import cache, partial

from PIL import Image

from .canvas import font

SIBLING = None
WEAR = 0.6
PROMPTS = ("a brush drawing of {}.", "a photo of {}.", "{}, painted with a brush.")
CAPTIONS = ("{} in print", "clip art of {}", "a page with {}", "this is {}")
SANS = ("DejaVuSans", "DejaVuSans-Bold")
MIXED = (*SANS, "DejaVuSerif", "DejaVuSerif-Bold")
LETTERS = {
    "the Greek letter lambda": "λ", "the Greek letter omega": "Ω",
    "the Greek letter psi": "ψ", "the Greek letter xi": "Ξ",
    "the Cyrillic letter zhe": "Ж", "the Cyrillic letter yu": "Ю",
    "the Cyrillic letter ya": "Я", "the Cyrillic letter de": "Д",
    "the Hebrew letter alef": "א", "the Hebrew letter shin": "ש", "the Hebrew letter lamed": "ל",
    "the Armenian letter zhe": "Ժ", "the Armenian letter feh": "Ֆ", "the Armenian letter cheh": "Ճ",
    "the Georgian letter las": "ლ", "the Georgian letter tan": "თ", "the Georgian letter zhar": "ჟ",
    "the Arabic letter ain": "ع", "the Arabic letter seen": "س", "the Arabic letter kaf": "ك",
}


def sign(c, glyph):
    """A printed letter on the web, a brushed one in the field."""
    (printed if c.web else brushed)(c, glyph)


def printed(c, glyph):
    """A clean letter on a plain page."""
    c.plain()
    c.centre(turn=0)
    stamp(c, glyph, c.choice(fonts(glyph)), c.uniform(36, 48), c.any_colour(0, 110))


def brushed(c, glyph):
    """Thick ink, dark or light, that bleeds into the paper; turned and warped by hand."""
    paper, ink = c.any_colour(150, 245), c.any_colour(0, 75)
    if c.chance(0.4):
        paper, ink = ink, paper
    c.choice((fibres, columns, washed))(c, paper)
    name, reach = c.choice(fonts(glyph)), c.uniform(34, 50)
    bleed = tuple((2 * i + p) // 3 for i, p in zip(ink, paper))
    for rgb, spread in ((bleed, 2.0), (ink, 0.8), (ink, 0.4)):
        c.frame(32 + c.uniform(-spread, spread), 32 + c.uniform(-spread, spread))
        stamp(c, glyph, name, reach, rgb)
    c.speckle(c.integer(0, 5), [ink], size=1.6)
    warp(c, paper)


def stamp(c, glyph, name, reach, ink):
    """The letter around the frame's origin, `reach` units in its larger direction."""
    left, top, right, bottom = ink_box(glyph, name)
    size = reach / max(right - left, bottom - top)
    c.text(glyph, -(left + right) / 2 * size, -(top + bottom) / 2 * size, size, ink, name)


def warp(c, paper):
    """Turn, move and bend the picture: a grid of 3 x 3 knots is turned and each knot moves by a few units."""
    c.frame(32 + c.uniform(-6, 6), 32 + c.uniform(-6, 6), angle=c.uniform(-26, 26))
    knots = c.points([(32 * col + c.uniform(-6, 6), 32 * row + c.uniform(-6, 6))
                      for row in (-1, 0, 1) for col in (-1, 0, 1)])
    mesh = []
    for first, x, y in ((0, 0, 0), (1, 32, 0), (3, 0, 32), (4, 32, 32)):
        corners = knots[first] + knots[first + 3] + knots[first + 4] + knots[first + 1]
        mesh.append(((x, y, x + 32, y + 32), corners))
    c.image.paste(c.image.transform(c.image.size, Image.MESH, mesh, Image.BILINEAR, fillcolor=paper))


@cache
def ink_box(glyph, name):
    """Left, top, right and bottom of a letter around its anchor, in parts of the font size."""
    return tuple(edge / 100 for edge in font(name, 100).getbbox(glyph, anchor="mm"))


def fonts(glyph):
    """The fonts that hold this letter: no serifs for Hebrew and Arabic."""
    return SANS if glyph in "אשלعسك" else MIXED


def fibres(c, paper):
    """Paper with short fibres."""
    c.fill(paper)
    for _ in range(12):
        x, y = c.uniform(0, 64), c.uniform(0, 64)
        fibre = c.shade(paper, c.uniform(0.8, 1.2))
        c.pen.line((x, y, x + c.uniform(-9, 9), y + c.uniform(-9, 9)), fill=fibre, width=2)


def columns(c, paper):
    """The ruled columns of an old book."""
    c.fill(paper)
    edge, line = c.integer(3, 14), c.shade(paper, c.uniform(0.6, 0.85))
    for x in (edge, 64 - c.integer(3, 14)):
        c.pen.line((x, 0, x, 64), fill=line, width=2)


def washed(c, paper):
    """Paper with stains of water."""
    c.fill(paper)
    c.speckle(6, [c.shade(paper, 0.92), c.shade(paper, 1.08)], size=14)


CLASSES = {name: partial(sign, glyph=glyph) for name, glyph in LETTERS.items()}
