"""`housenumbers`: which digit is in the middle of the picture? The small sibling of SVHN."""

from functools import partial

SIBLING = "SVHN"
WEAR = 0.6
PROMPTS = ("a street photo of {}.", "a photo of {} on a wall.", "{}.")
CAPTIONS = ("clip art of {}", "a plate with {}", "a sign that shows {}", "{} on a clean plate")
WORDS = "zero one two three four five six seven eight nine".split()
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSansMono-Bold", "DejaVuSerif",
         "DejaVuSerif-Bold", "cmb10", "cmss10", "STIXGeneralBol", "STIXGeneralBolIta")
CLEAN = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "cmss10")     # fonts of the web


def number(c, value):
    """A single digit on a plate on the web, a piece of a longer house number in the field."""
    (plate if c.web else street)(c, value)


def plate(c, value):
    """One clean digit on a round or square plate."""
    c.plain()
    c.centre(turn=3)
    board = c.colour(c.choice([(250, 250, 245), (60, 90, 190), (245, 225, 120), (50, 60, 60)]))
    if c.chance(0.4):
        c.disc(0, 0, 27, board)
    else:
        c.rectangle(-23, -27, 23, 27, board)
    c.text(str(value), 0, 0, c.uniform(34, 46), contrasting(c, board), c.choice(CLEAN))


def street(c, value):
    """The digit and its neighbours on a wall, a door or a plate; often tilted, sometimes with a shadow."""
    wall = c.any_colour(30, 225)
    c.choice((plaster, bricks, boards, gate))(c, wall)
    size, font = c.uniform(38, 58), c.choice(FONTS)
    angle = c.uniform(-14, 14) if c.chance(0.7) else 0
    c.frame(32 + c.uniform(-4, 4), 32 + c.uniform(-5, 5), angle=angle)
    ground = c.any_colour(20, 240) if c.chance(0.6) else None
    if ground:
        mounted(c, size, ground)
    ink = contrasting(c, ground or wall)
    digits = f"{c.integer(0, 9)}{value}{c.integer(0, 9)}" if c.chance(0.85) else str(value)
    if c.chance(0.25):
        c.text(digits, 2, 2, size, c.shade(ground or wall, 0.65), font, -angle)
    c.text(digits, 0, 0, size, ink, font, -angle)


def contrasting(c, ground):
    """A colour that can be read on `ground`."""
    return c.any_colour(0, 55) if brightness(ground) > 125 else c.any_colour(200, 255)


def brightness(rgb):
    """How light a colour looks, 0 to 255."""
    return 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]


def mounted(c, size, ground):
    """A plate behind the number: a tile or a strip, with or without a rim."""
    half, rim = size * c.uniform(0.5, 0.62), c.any_colour(20, 230)
    wide = c.choice((size * 0.45, size * 0.9, 60))
    if c.chance(0.4):
        c.rectangle(-wide - 3, -half - 3, wide + 3, half + 3, rim)
    c.rectangle(-wide, -half, wide, half, ground)


def plaster(c, wall):
    """A rough wall."""
    c.fill(wall)
    c.speckle(9, [c.shade(wall, 0.9), c.shade(wall, 1.1)], size=6)


def bricks(c, wall):
    """Rows of bricks, each shifted by half a brick."""
    mortar, high = c.shade(wall, c.choice((0.8, 1.2))), c.integer(8, 13)
    c.fill(wall)
    for row, y in enumerate(range(-c.integer(0, high), 64, high)):
        c.pen.line((0, y, 64, y), fill=mortar, width=2)
        for x in range(high * (row % 2), 64, 2 * high):
            c.pen.line((x, y, x, y + high), fill=mortar, width=2)


def boards(c, wall):
    """Upright planks of a door or a fence."""
    c.fill(wall)
    gap = c.integer(9, 20)
    for x in range(c.integer(0, gap), 64, gap):
        c.pen.rectangle((x, 0, x + c.integer(2, gap), 64), fill=c.shade(wall, c.uniform(0.85, 1.12)))


def gate(c, wall):
    """A wall with the dark edge of a door frame or a window on one side."""
    c.fill(wall)
    edge = c.integer(2, 16)
    box = (0, 0, edge, 64) if c.chance(0.5) else (0, 64 - edge, 64, 64)
    c.pen.rectangle(box, fill=c.shade(wall, c.uniform(0.4, 0.8)))


CLASSES = {f"house number {word}": partial(number, value=value) for value, word in enumerate(WORDS)}
