"""`scenes`: what kind of place is it? The small sibling of SUN397."""

import math
from functools import partial

SIBLING = "SUN397"
WEAR = 0.45
PROMPTS = ("a photo of {}.", "a landscape photo of {}.", "a view of {}.")
CAPTIONS = ("a picture postcard of {}", "clip art of {}", "a drawing of {}", "here you can see {}", "{} from afar")

NOON, DUSK, NIGHT, DULL = (1.0, 1.0, 1.0), (1.05, 0.75, 0.65), (0.5, 0.55, 0.75), (0.8, 0.84, 0.88)

# A colour of nature is a tuple of the tones it comes in.
SEASONS = ((90, 140, 60), (170, 160, 80), (150, 110, 60), (225, 230, 235), (110, 120, 90))     # of the ground
SKY, WATER, WHITE = ((130, 180, 235), (160, 195, 225)), ((50, 110, 160), (70, 120, 130)), ((240, 240, 240),)
LEAVES, STRAW, SAND = ((50, 100, 50), (80, 110, 45), (60, 115, 70)), ((225, 185, 85),), ((220, 195, 140),)
ROCK, WALL = ((125, 115, 105), (110, 110, 120)), ((175, 105, 80), (150, 145, 140))
PAINT, STEEL = ((205, 60, 50), (60, 80, 140)), ((205, 210, 220), (60, 50, 50))
DIRT, DARK, WOOD, GLOW = ((165, 130, 85),), ((60, 55, 55),), ((95, 70, 50),), ((245, 140, 50), (245, 110, 30))
TAR, GLASS = ((90, 90, 95), (70, 72, 80)), ((60, 70, 90), (235, 225, 160))
EDGE = 70      # far outside of the picture, in units of the frame


def scene(c, place):
    """The sky, then `place` around the middle of the horizon (y = 0), then whatever is between it and us."""
    light, fog = (NOON, 0.0) if c.web else (c.choice((NOON, NOON, DUSK, NIGHT, DULL)), c.choice((0, 0, 0, 0.15, 0.3)))
    ink = partial(lit, c, light, fog)
    c.gradient(ink(SKY), ink(((215, 225, 235),)))
    wide = 0 if c.web else 5
    c.frame(32 + c.uniform(-3 - wide, 3 + wide), 35 + c.uniform(-2 - wide, 2 + wide / 2),
            c.uniform(0.9, 1.1) if c.web else c.uniform(0.78, 1.25), 0 if c.web else c.uniform(-5, 5),
            c.uniform(0.85, 1.1) * (-1 if c.chance(0.25 if c.web else 0.5) else 1))
    if not c.web and c.chance(0.5):
        c.polygon([(-EDGE, 3), *((x, c.uniform(-7, -1)) for x in range(-60, 61, 15)), (EDGE, 3)], ink(ROCK))
    place(c, ink)
    if not c.web:
        foreground(c, ink)


def lit(c, light, fog, tones):
    """One of the `tones` in this light, seen through fog; on the web any fancy variant of it."""
    return c.colour([(v * (1 - fog) + 205 * fog) * k for v, k in zip(c.choice(tones), light)], 55 if c.web else 25)


def foreground(c, ink):
    """Sometimes rain, snow, a bush, a post or fallen leaves in front of everything."""
    what = c.integer(0, 7)
    if what == 0:
        for x, y in (c.rng.random((16, 2)) * 64).tolist():
            c.pen.line((x, y, x - 2, y + 6), fill=(190, 195, 205))
    elif what == 1:
        c.speckle(22, [(235, 235, 240)], 1.3)
    elif what == 2:
        c.disc(c.choice((-30, 30)), 30, c.uniform(7, 12), ink(LEAVES))
    elif what == 3:
        x = c.choice((-1, 1)) * c.uniform(20, 30)
        c.line([(x, -4), (x, 60)], ink(WOOD), 2.5)
    elif what == 4:
        c.speckle(12, [ink(LEAVES), ink(WOOD)], 3, (0, 56, 64, 64))


def sketch(c, ink, variants):
    """One of the `variants` of a place: areas (tones, points) and lines (tones, points, width), loosely placed."""
    shift = c.uniform(-4, 4)
    for tones, points, *width in c.choice(variants):
        dx, dy = shift + c.uniform(-0.9, 0.9), c.uniform(-0.9, 0.9)
        moved = [(x + dx, y + dy) for x, y in points]
        c.line(moved, ink(tones), *width) if width else c.polygon(moved, ink(tones))


def skyline(c, ink):
    """A row of towers of different heights with rows of windows."""
    x = -42.0
    while x < 40:
        width, top = c.uniform(8, 12), -c.uniform(12, 34)
        c.rectangle(x, top, x + width, 6, ink(ROCK))
        window = ink(GLASS)
        for y in range(int(top) + 4, 1, 6):
            c.line([(x + 2, y), (x + width - 2, y)], window, 1.5)
        x += width + c.uniform(-1, 2)
    c.rectangle(-EDGE, 6, EDGE, EDGE, ink(TAR + WATER))


# --- points of simple shapes, and groups of parts ---------------------------------------------------------------
def box(x0, y0, x1, y1):
    """Corners of a rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def below(y):
    """Corners of everything below the height `y`."""
    return box(-EDGE, y, EDGE, EDGE)


def gable(x, y, half, high):
    """Corners of a triangle on the base line `y`."""
    return [(x - half, y), (x, y - high), (x + half, y)]


def blob(x, y, rx, ry):
    """Corners of an ellipse."""
    return [(x + rx * math.cos(k * math.pi / 6), y + ry * math.sin(k * math.pi / 6)) for k in range(12)]


def mirrored(points):
    """The same shape on the other side."""
    return [(-x, y) for x, y in points]


def fir(x, y, size):
    """A conifer with its foot at (x, y)."""
    return (WOOD, [(x, y), (x, y - size * 0.3)], size * 0.12), (
        LEAVES, gable(x, y - size * 0.15, size * 0.3, size * 0.85))


def tree(x, y, size):
    """A broad-leaved tree with its foot at (x, y)."""
    return (WOOD, [(x, y), (x, y - size * 0.6)], size * 0.12), (
        LEAVES, blob(x, y - size * 0.7, size * 0.28, size * 0.32))


def path_between(grow):
    """A path that narrows between two rows of trees, as `grow` makes them."""
    rows = [part for k in range(4) for side in (-1, 1) for part in grow(side * (5 + k * 7), 3 + k * 6, 16 + k * 12)]
    return [(SEASONS, below(0)), (DIRT, [(-3, 0), (3, 0), (17, 36), (-17, 36)]), *rows]


def house(x, y, size):
    """A cottage with a gable."""
    return (WHITE + ROCK, box(x - size * 0.7, y - size * 0.8, x + size * 0.7, y)), (
        WALL, gable(x, y - size * 0.8, size, size * 0.8))


# --- the places, from back to front -------------------------------------------------------------------------------
SHORE = [(-EDGE, 34), (-30, 23), (-12, 19), (6, 9), (30, 5), (EDGE, 2)]
COAST = [(WATER, below(0)), (SAND, [*SHORE, (EDGE, EDGE), (-EDGE, EDGE)]), (WHITE, SHORE, 3),
         (WOOD, [(15, 18), (12, -6)], 2)]
PARASOL = [(PAINT, [(0, -3), (4, -11), (12, -15), (20, -11), (24, -3)]), (WHITE, gable(12, -3, 4, 11))]
PALM = [(LEAVES, [(12, -6), (12 + dx * 0.6, dy - 10), (12 + dx, dy - 6)], 3)
        for dx, dy in ((-13, 2), (-9, -7), (0, -9), (9, -7), (13, 2))]
MOUNTAIN = [(ROCK, gable(22, 2, 22, 22)), (ROCK, gable(-2, 2, 27, 33)), (SEASONS, below(0)),
            (WHITE, [(-2, -31), (7, -20), (2, -22), (-2, -17), (-6, -22), (-11, -20)])]
DESERT = [(SAND, below(2)), (SAND, gable(-22, 16, 34, 21)), (DIRT, [(-22, -5), (10, 17), (-16, 18)]),
          (SAND, gable(20, 20, 34, 21)), (DIRT, [(20, -1), (52, 21), (26, 22)]), (LEAVES, [(3, 24), (3, -15)], 5),
          (LEAVES, [(3, 6), (-7, 6), (-7, -6)], 3.5), (LEAVES, [(3, 1), (13, 1), (13, -10)], 3.5)]
WHEAT = [(STRAW, below(0)), (DIRT, [(-EDGE, 4), (EDGE, 4)], 2),
         *((DIRT, [(x, EDGE), (x + 1, x * x % 11 - 7)], 1.5) for x in range(-35, 42, 7)),
         *((STRAW, blob(x + 1, x * x % 11 - 7, 2.4, 6)) for x in range(-35, 42, 7))]
FRONT = [(8, -9), (8, 3), (52, 24), (52, -54)]
LEVELS = [(GLASS, [(8 + 44 * t, -9 + 12 * k - (45 - 78 * k) * t) for t in span], 3)
          for k in (0.25, 0.5, 0.75) for span in ((0.1, 0.25), (0.35, 0.55), (0.65, 0.9))]
STREET = [(TAR, below(0)), (WALL, FRONT), (WALL, mirrored(FRONT)), *LEVELS,
          *((tones, mirrored(points), width) for tones, points, width in LEVELS)]
SKI_SLOPE = [(WHITE, [(-EDGE, -36), (EDGE, 30), (EDGE, 90), (-EDGE, 90)]), *fir(-22, -6, 16), *fir(-5, 8, 15),
             *fir(12, 10, 17), *fir(25, 24, 16), (DARK, [(-EDGE, -56), (EDGE, 10)], 1.5),
             *((PAINT, box(x - 3, x * 0.47 - 21, x + 3, x * 0.47 - 15)) for x in (-20, 2, 24))]
SEA = [(WATER, below(0)), *((WHITE, [(k * (6 + 2 * row), 5 + row * 8 + k % 2 * (2 + row)) for k in range(-9, 10)], 1.5)
                            for row in range(4)),
       (WOOD, [(-12, 2), (12, 2), (8, 8), (-8, 8)]), (WHITE, [(1, -1), (1, -22), (12, -1)]),
       (WHITE, [(-1, -1), (-1, -18), (-9, -1)])]
HIGHWAY = [(SEASONS, below(0)), (TAR, [(-2, 0), (2, 0), (28, 36), (-28, 36)]),
           *((WHITE, [(-4 * a, 36 * a), (4 * a, 36 * a), (4 * b, 36 * b), (-4 * b, 36 * b)])
             for a, b in ((0.98, 0.72), (0.58, 0.4), (0.3, 0.2)))]
RAILWAY = [(SEASONS, below(0)), (DIRT, gable(0, 40, 34, 40)),
           *((DARK, box(-27 * t - 1, 36 * t, 27 * t + 1, 36 * t + 1 + 5 * t)) for t in (0.12, 0.25, 0.42, 0.65, 0.93)),
           (STEEL, [(0, 0), (-19, 38)], 3), (STEEL, [(0, 0), (19, 38)], 3)]
LIGHTHOUSE = [(WATER, below(4)), (ROCK, [(-24, 16), (-12, 4), (10, 4), (26, 16)]),
              *((tones, [(-h, y), (h, y), (h - 0.9, y - 7), (0.9 - h, y - 7)])
                for tones, h, y in ((PAINT, 7, 5), (WHITE, 6, -2), (PAINT, 5.2, -9), (WHITE, 4.3, -16))),
              (DARK, box(-5, -25, 5, -23)), (GLOW, box(-2.5, -29, 2.5, -25)), (PAINT, gable(0, -29, 4, 4))]
TOWER = [(WALL, box(15, -20, 25, 9)), (PAINT, gable(20, -20, 7, 12))]
CASTLE = [(SEASONS, below(0)), (WALL, box(-18, -11, 18, 9)),
          *((WALL, box(x, -14, x + 4, -10)) for x in range(-16, 17, 7)),
          *TOWER, *((tones, mirrored(points)) for tones, points in TOWER),
          (DARK, box(-5, 1, 5, 9)), (DARK, blob(0, 1, 5, 5))]
ARCHES = [(WATER, below(3)), (WALL, box(-EDGE, -9, EDGE, 12)),
          *((SKY, [(x - 9, 13), (x - 8, 4), (x, -2), (x + 8, 4), (x + 9, 13)]) for x in (-34, -11, 12, 35))]
CABLES = [(WATER, below(3)), (PAINT, box(-EDGE, -2, EDGE, 3)), (PAINT, box(-19, -28, -15, 13)),
          (PAINT, box(15, -28, 19, 13)),
          (PAINT, [(-42, -2), *((k * 3.4, -4 - 0.9 * k * k) for k in range(-5, 6)), (42, -2)], 2)]
VILLAGE = [(SEASONS, below(0)), (WHITE, box(-4, -15, 4, 4)), (TAR, gable(0, -15, 5, 16)),
           *house(-22, 4, 9), *house(16, 5, 9), *house(-10, 13, 10), *house(26, 15, 10), *house(8, 18, 9)]
VOLCANO = [(ROCK, blob(0, -23, 5, 5)), (ROCK, blob(4, -29, 6.5, 6.5)), (ROCK, blob(10, -35, 8, 8)),
           (DARK, [(-31, 4), (-7, -19), (-3, -16), (3, -16), (7, -19), (31, 4)]), (SEASONS, below(3)),
           (GLOW, [(0, -16), (-3, -8), (-1, 3)], 3), (GLOW, [(4, -17), (9, -8), (13, 0)], 3)]
WATERFALL = [(ROCK, below(-22)), *((DARK, [(x, -21), (x + 2, -3), (x, 18)], 2) for x in (-26, -17, 17, 26)),
             (WATER, below(17)), (WHITE, box(-9, -22, 9, 19)), *((SKY, [(x, -20), (x, 16)], 1.5) for x in (-4, 0, 4)),
             *((WHITE, blob(x, 19, 4, 4)) for x in (-9, -3, 3, 9))]
LAKE = [(SEASONS, below(0)), *tree(-24, 4, 18), *tree(-11, 5, 15), *tree(9, 5, 16), *tree(23, 5, 18),
        (SAND, blob(0, 15, 29, 12)), (WATER, blob(0, 15, 26, 10)),
        *((WHITE, [(x - 7, y), (x + 7, y)], 1.5) for x, y in ((-8, 11), (7, 15), (-3, 20)))]
HARBOUR = [(PAINT, [(-20, 20), (-20, -30), (18, -24)], 3), (PAINT, [(-28, 20), (-20, -10)], 2),
           (DARK, [(10, -25), (10, -11)], 1.5), (WATER, below(6)), (DARK, [(-15, 3), (31, 3), (26, 15), (-11, 15)]),
           (PAINT, box(-9, -3, -2, 3)), (GLOW, box(-2, -8, 5, 3)), (LEAVES, box(5, -3, 12, 3)),
           (STRAW, box(12, -8, 18, 3)), (WHITE, box(20, -13, 27, 3)), (TAR, below(18))]
CAVE = [(DARK, below(-EDGE)),
        (SKY, [(x * k, y * k - 2) for k, (x, y) in zip((1, 0.8, 1, 1.1) * 3, blob(0, 0, 20, 20))]),
        (SEASONS, [(-17, 8), (17, 8), (11, 17), (-11, 17)]),
        *((DARK, [(x - 4, -28), (x, -14 + x * x % 9), (x + 4, -28)]) for x in range(-21, 22, 8))]

SKETCHES = {
    "a beach": (COAST + PARASOL, COAST + PALM), "a forest path": (path_between(fir), path_between(tree)),
    "a mountain": (MOUNTAIN,), "a desert": (DESERT,), "a wheat field": (WHEAT,), "a city street": (STREET,),
    "a ski slope": (SKI_SLOPE,), "the open sea": (SEA,), "a highway": (HIGHWAY,), "a railway line": (RAILWAY,),
    "a lighthouse": (LIGHTHOUSE,), "a castle": (CASTLE,), "a bridge": (ARCHES, CABLES), "a village": (VILLAGE,),
    "a volcano": (VOLCANO,), "a waterfall": (WATERFALL,), "a lake": (LAKE,), "a harbour": (HARBOUR,), "a cave": (CAVE,)}
PLACES = {"a skyline": skyline} | {
    name: partial(sketch, variants=variants) for name, variants in SKETCHES.items()}
CLASSES = {name: partial(scene, place=place) for name, place in PLACES.items()}
