"""`words`: which word is written here? The small sibling of rendered SST2: the picture is text."""

from functools import cache, partial

from .canvas import font

SIBLING = None
WEAR = 0.4
PROMPTS = ("a photo of {}.", "a sign with {}.", "a picture of {} in large letters.")
CAPTIONS = ("{} in print", "clip art of {}", "a page with {}", "a label with {}")
WORDS = ("good bad love hate yes no stop open sale exit cafe park taxi bank hotel help wow zoo milk fish").split()
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono-Bold", "DejaVuSerif-Bold", "DejaVuSerif", "cmb10", "cmss10",
         "STIXGeneralBol")
SLANTED = ("DejaVuSans-BoldOblique", "DejaVuSerif-BoldItalic", "DejaVuSansMono-BoldOblique", "STIXGeneralBolIta")


def word(c, text):
    """A clean word on the web, a sign or a screen in the field."""
    (printed if c.web else sign)(c, c.choice((text, text.upper(), text.capitalize())))


def printed(c, text):
    """A clean word on a plain page or a label."""
    c.plain()
    c.centre(turn=0, wobble=2)
    ink = c.any_colour(0, 100)
    if c.chance(0.4):
        c.frame(32, 32)
        c.rectangle(-31, -15, 31, 15, c.colour((245, 240, 225)))
    write(c, text, c.uniform(48, 56), ink, c.choice(FONTS))


def sign(c, text):
    """A tilted word: on a board, a screen, a wall or a printed page."""
    light, dark = c.any_colour(165, 255), c.any_colour(0, 85)
    ground, ink = (light, dark) if c.chance(0.5) else (dark, light)
    angle = c.uniform(-11, 11)
    c.frame(32 + c.uniform(-2, 2), 32 + c.uniform(-6, 6), angle=angle)
    c.choice((board, screen, wall, paper))(c, ground)
    name, width = c.choice(FONTS + SLANTED), c.uniform(48, 60)
    write(c, text, width, ink, name, -angle)


def write(c, text, width, ink, name, angle=0.0):
    """`text` in the middle of the frame, `width` units wide (short words less)."""
    size = min(34, width / breadth(text, name))
    c.text(text, 0, 0, size, ink, name, angle)


@cache
def breadth(text, name):
    """Width of a word in parts of the font size."""
    return font(name, 100).getlength(text) / 100


def board(c, ground):
    """A sign board with a rim in front of a busy street."""
    c.clutter(6)
    high = c.uniform(14, 22)
    c.rectangle(-36, -high - 3, 36, high + 3, c.any_colour(40, 220))
    c.rectangle(-34, -high, 34, high, ground)


def screen(c, ground):
    """A screen with fine rows of light."""
    c.fill(ground)
    row = c.shade(ground, 0.85)
    for y in range(c.integer(0, 3), 64, 4):
        c.pen.line((0, y, 64, y), fill=row)


def wall(c, ground):
    """A stained wall."""
    c.fill(ground)
    c.speckle(8, [c.shade(ground, 0.9), c.shade(ground, 1.1)], size=9)


def paper(c, ground):
    """A page with blind lines of small print above and below the word."""
    c.fill(ground)
    print_colour = tuple((3 * g + 128) // 4 for g in ground)
    for y in (-29, -24, 24, 29):
        c.line([(-c.uniform(12, 30), y), (c.uniform(12, 30), y)], print_colour, 2.5)


CLASSES = {f'the word "{text}"': partial(word, text=text) for text in WORDS}
