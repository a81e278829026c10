"""`flags`: whose flag is it? Fine-grained like the flowers and pets of the papers, but told by shapes and colours."""

import math
from functools import partial

import numpy as np

SIBLING = None
WEAR = 0.5
PROMPTS = ("a photo of {}.", "{} in the wind.", "{} on a pole.")
CAPTIONS = ("clip art of {}", "{} on a map", "an icon of {}", "a drawing of {}")
COLOURS = {"red": (206, 32, 44), "white": (245, 245, 242), "blue": (20, 52, 142), "sky": (58, 146, 216),
           "green": (0, 132, 70), "black": (24, 22, 24), "yellow": (252, 206, 22), "orange": (250, 134, 30)}
YS, XS = np.mgrid[:64, :64].astype(np.float32)


def dye(c, name):
    """A flag's colour, nearly true in either style."""
    return tuple(int(min(255, max(0, value + c.uniform(-14, 14)))) for value in COLOURS[name])


def bands(c, names, upright=False, weights=None):
    """The whole cloth in parallel bands, lying or `upright`."""
    weights = weights or [1] * len(names)
    edges = [sum(weights[:k]) / sum(weights) for k in range(len(names) + 1)]
    for name, a, b in zip(names, edges, edges[1:]):
        box = (-24 + 48 * a, -16, -24 + 48 * b, 16) if upright else (-24, -16 + 32 * a, 24, -16 + 32 * b)
        c.rectangle(*box, dye(c, name), outline=False)


def nordic(c, field, cross, inner=None):
    """A cross from edge to edge, moved towards the pole."""
    bands(c, [field])
    for name, half in ((cross, 3.4), (inner, 1.8)):
        if name:
            rgb = dye(c, name)
            c.rectangle(-24, -half, 24, half, rgb, outline=False)
            c.rectangle(-7 - half, -16, -7 + half, 16, rgb, outline=False)


def disc(c, field, name, x=0, r=9.6):
    """A disc on one colour."""
    bands(c, [field])
    c.disc(x, 0, r, dye(c, name), outline=False)


def star(c, x, y, r, name):
    """A star of five points."""
    tips = [(r if k % 2 == 0 else r * 0.4, k * math.pi / 5) for k in range(10)]
    c.polygon([(x + a * math.sin(t), y - a * math.cos(t)) for a, t in tips], dye(c, name), outline=False)


def vietnam(c):
    """A yellow star on red."""
    bands(c, ["red"])
    star(c, 0, 1, 11, "yellow")


def turkey(c):
    """A white crescent and star on red."""
    rgb = dye(c, "red")
    c.rectangle(-24, -16, 24, 16, rgb, outline=False)
    c.disc(-6, 0, 9.5, dye(c, "white"), outline=False)
    c.disc(-3.4, 0, 7.6, rgb, outline=False)
    star(c, 7, 0, 5.5, "white")


def switzerland(c):
    """A white cross that stands free on red."""
    bands(c, ["red"])
    rgb = dye(c, "white")
    c.rectangle(-9.5, -3, 9.5, 3, rgb, outline=False)
    c.rectangle(-3, -9.5, 3, 9.5, rgb, outline=False)


def czechia(c):
    """White above red with a blue triangle."""
    bands(c, ["white", "red"])
    c.polygon([(-24, -16), (0, 0), (-24, 16)], dye(c, "blue"), outline=False)


def greece(c):
    """Nine stripes, and a cross in the upper corner."""
    bands(c, ["sky", "white"] * 4 + ["sky"])
    c.rectangle(-24, -16, -6.2, 1.8, dye(c, "sky"), outline=False)
    rgb = dye(c, "white")
    c.rectangle(-24, -8.9, -6.2, -5.3, rgb, outline=False)
    c.rectangle(-16.9, -16, -13.3, 1.8, rgb, outline=False)


def brazil(c):
    """A blue disc in a yellow diamond on green."""
    bands(c, ["green"])
    c.polygon([(-21, 0), (0, -13.5), (21, 0), (0, 13.5)], dye(c, "yellow"), outline=False)
    c.disc(0, 0, 7.5, dye(c, "blue"), outline=False)


def scenery(c):
    """What is behind the flag: plain on the web; a sky, walls or trees in the field."""
    if c.web:
        c.plain()
    elif c.chance(0.5):
        sky = c.colour(c.choice(((120, 170, 225), (180, 190, 200), (225, 170, 130), (60, 80, 120))))
        c.gradient(sky, c.shade(sky, 1.25))
        c.speckle(c.integer(0, 10), [c.shade(sky, 1.2), (70, 100, 60)], 7, (0, c.choice((0, 44)), 64, 64))
    else:
        c.clutter()


def hoist(c, cloth):
    """Hang the square picture `cloth` up as a flag: flat on the web; waving, folded and at any size in the field."""
    half, turn, wave = (26, 0.0, 0.0) if c.web else (c.uniform(15, 27), c.uniform(-0.6, 0.6), c.uniform(0.5, 4))
    x, y, tall = 32 + c.uniform(-4, 4), 32 + c.uniform(-4, 4), c.uniform(0.58, 0.74)
    u = ((XS - x) * math.cos(turn) + (YS - y) * math.sin(turn)) / half
    v = (YS - y) * math.cos(turn) - (XS - x) * math.sin(turn)
    ripple = u * c.uniform(2.5, 5) + c.uniform(0, 6.3) + v * c.uniform(-0.04, 0.04)
    v = (v + wave * np.sin(ripple)) / (half * tall)
    size, pixels = np.maximum(abs(u), abs(v)), np.array(c.image)
    if c.web:
        pixels[size < 1 + 2 / half] = c.outline
    inside = size < 1
    row, column = ((w[inside] * 32 + 32).astype(int).clip(0, 63) for w in (v, u))     # rounding can reach the edge
    worn = cloth[row, column]
    folds = 1 + 0.09 * wave * np.cos(ripple[inside, None])
    pixels[inside] = np.minimum(worn * folds, 255)
    c.image.frombytes(pixels.tobytes())
    c.frame(x, y, angle=math.degrees(turn))
    c.line([(-half - 1, -half * tall - 3), (-half - 1, 70)], c.any_colour(30, 230), c.uniform(1.5, 3.5))


def flag(c, design):
    """Paint the cloth over the whole picture, keep it, then hang it up in front of the scenery."""
    c.frame(32, 32, 2, stretch=2 / 3)
    design(c)
    cloth = np.array(c.image)
    scenery(c)
    hoist(c, cloth)


def striped(colours, **how):
    """A painter of bands, given their colours in one string."""
    return partial(bands, names=colours.split(), **how)


DESIGNS = {
    "France": striped("blue white red", upright=True), "Italy": striped("green white red", upright=True),
    "Ireland": striped("green white orange", upright=True), "Belgium": striped("black yellow red", upright=True),
    "Germany": striped("black red yellow"),
    "the Netherlands": striped("red white blue"), "Austria": striped("red white red"), "Poland": striped("white red"),
    "Ukraine": striped("sky yellow"), "Japan": partial(disc, field="white", name="red"),
    "Bangladesh": partial(disc, field="green", name="red", x=-3, r=10.5),
    "Sweden": partial(nordic, field="sky", cross="yellow"), "Denmark": partial(nordic, field="red", cross="white"),
    "Finland": partial(nordic, field="white", cross="blue"), "Switzerland": switzerland, "Czechia": czechia,
    "Greece": greece, "Vietnam": vietnam, "Turkey": turkey, "Brazil": brazil,
}
CLASSES = {f"the flag of {country}": partial(flag, design=design) for country, design in DESIGNS.items()}
