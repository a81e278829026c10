"""`landuse`: what is the land used for, seen from a satellite? The small sibling of EuroSAT, told by structure."""

import math

SIBLING = "EuroSAT"
WEAR = 0.5
PROMPTS = ("a satellite photo of {}.", "{} seen from space.", "a centered satellite image of {}.")
CAPTIONS = ("{} on a map", "a map symbol for {}", "a sketch of {} from above", "{} in an atlas")
SOILS = ((120, 128, 78), (150, 138, 98), (98, 110, 72), (134, 112, 84), (88, 116, 84), (166, 160, 140))
WATER = ((40, 62, 84), (58, 84, 92), (30, 46, 60))
ROOFS = ((222, 218, 210), (190, 194, 200), (168, 110, 92), (236, 236, 240), (150, 156, 170))


def ground(c, *shades):
    """The soil everywhere, in large soft patches in the field. Returns its colour."""
    soil = c.colour((165, 205, 120) if c.web else c.choice(SOILS), 26)
    c.fill(soil)
    for shade in shades if not c.web else ():
        blob(c, c.uniform(0, 64), c.uniform(0, 64), c.uniform(14, 28), c.shade(soil, shade))
    view(c)
    return soil


def view(c):
    """Upright on the web; turned anyhow and at several scales in the field."""
    if c.web:
        c.centre(wobble=2, turn=10)
    else:
        c.frame(32 + c.uniform(-6, 6), 32 + c.uniform(-6, 6), c.uniform(0.8, 1.2), c.uniform(0, 360))


def blob(c, x, y, r, rgb, rough=0.5, outline=True):
    """An irregular round patch."""
    rim = [r * (1 + rough * (k - 0.5)) for k in c.rng.random(11)]
    c.polygon([(x + k * math.cos(i * 0.571), y + k * math.sin(i * 0.571)) for i, k in enumerate(rim)], rgb, outline)


def grid(steps, gap):
    """The points of a square grid around the origin."""
    return [(x * gap, y * gap) for y in range(-steps, steps + 1) for x in range(-steps, steps + 1)]


def crops(c):
    """Large straight-edged fields, each ploughed in parallel furrows of its own direction."""
    soil = ground(c)
    cut = c.uniform(-10, 10)
    for x0, y0, x1, y1 in ((-60, -60, cut, -cut), (cut, -60, 60, cut), (-60, -cut, cut, 60), (cut, cut, 60, 60)):
        field = c.colour(c.choice(SOILS) if not c.web else c.choice(((225, 200, 110), (150, 195, 90))), 34)
        c.rectangle(x0, y0, x1, y1, field)
        furrow, along = c.shade(field, c.choice((0.76, 0.82, 1.22))), c.chance(0.5)
        for k in range(3, 60, 5):
            c.line([(x0, y0 + k), (x1, y0 + k)] if along else [(x0 + k, y0), (x0 + k, y1)], furrow, 1.6)
    c.line([(cut, -60), (cut, 60)], c.shade(soil, 1.3), 1.5)


def forest(c):
    """Round crowns of all sizes, close together and without any order."""
    leaf = c.shade(ground(c), 0.6)
    c.fill(c.shade(leaf, 0.5))
    c.speckle(45 if c.web else 75, [c.shade(leaf, f) for f in (0.7, 0.9, 1.15, 1.5)], 7)
    for _ in range(18 if c.web else 6):
        crown = c.shade(leaf, c.uniform(0.8, 1.5))
        blob(c, c.uniform(-32, 32), c.uniform(-32, 32), c.uniform(4, 8), crown, 0.3)


def herbs(c):
    """Rough open ground: ragged patches of tufts, no order and no edges."""
    soil = ground(c, 0.85, 1.15, 0.9)
    for _ in range(9):
        patch = c.shade(soil, c.uniform(0.7, 1.25))
        blob(c, c.uniform(-36, 36), c.uniform(-36, 36), c.uniform(3, 9), patch, 1.4, False)
    if c.web:
        for x, y in grid(2, 12):
            x, y = x + c.uniform(-5, 5), y + c.uniform(-5, 5)
            c.line([(x - 3, y - 4), (x, y + 2), (x, y - 5), (x, y + 2), (x + 3, y - 4)], c.shade(soil, 0.45), 1.2)
    else:
        c.speckle(45, [c.shade(soil, f) for f in (0.5, 0.6, 1.4)], 2)


def highway(c):
    """A broad even road of two carriageways, straight or slightly bent, with a slip road."""
    ground(c, 0.8, 1.2, 0.9)
    bend, rgb = c.uniform(-7, 7), c.colour((128, 128, 134) if c.web else c.choice(((196, 194, 190), (94, 94, 98))))
    way = [(x, bend * (1 - (x / 40) ** 2)) for x in range(-60, 61, 10)]
    slip = [(x, y + 6 + abs(x) * 0.55) for x, y in way if abs(x) < 45]
    for path, width in ((slip, 4), (way, 16)):
        c.line(path, c.outline or c.shade(rgb, 0.6), width + 2)
        c.line(path, rgb, width)
    c.line(way, c.shade(rgb, 0.5 if rgb[1] > 140 else 1.7), 2.5)
    for x in range(-56, 56, 8):
        for side in (-4.6, 4.6):
            y = bend * (1 - (x / 40) ** 2) + side
            c.line([(x, y), (x + 4, y)], (250, 250, 245) if rgb[1] < 140 else (60, 60, 66), 1)


def industry(c):
    """A few large flat halls with ridges, on a paved yard."""
    ground(c)
    c.rectangle(-60, -60, 60, 60, c.colour((150, 148, 146)), outline=False)
    cut, shift = c.uniform(-6, 6), c.uniform(-6, 6)
    west, east = cut - 3, cut + 3
    for x0, y0, x1, y1 in ((-30, -30, west, -4), (east, -30, 30, shift), (-30, 2, west, 30), (east, shift + 6, 30, 30)):
        roof = c.colour(c.choice(ROOFS))
        if not c.web:
            c.rectangle(x0 + 2.5, y0 + 2.5, x1 + 2.5, y1 + 2.5, (46, 46, 52))
        c.rectangle(x0, y0, x1, y1, roof)
        for k in (0.33, 0.67) if c.chance(0.6) else ():
            c.line([(x0, y0 + (y1 - y0) * k), (x1, y0 + (y1 - y0) * k)], c.shade(roof, 0.7), 1.2)
    c.line([(-60, -34), (60, -34)], (96, 96, 100), 5)


def pasture(c):
    """Smooth meadows parted by crooked hedges, with a few animals or lone trees."""
    soil = ground(c, 0.94, 1.06)
    hedge, a, b = c.shade(soil, 0.5), c.uniform(-9, 9), c.uniform(-9, 9)
    for x0, y0, x1, y1 in ((a, -60, b, 2), (-60, b, 0, 2), (0, 2, 60, a), (0, 2, -12, 60)):
        steps = [(x0 + (x1 - x0) * k / 10, y0 + (y1 - y0) * k / 10) for k in range(11)]
        c.line([(x + c.uniform(-1.8, 1.8), y + c.uniform(-1.8, 1.8)) for x, y in steps], hedge, 4.5)
    for _ in range(c.integer(3, 7)):
        x, y = c.uniform(-26, 26), c.uniform(-26, 26)
        c.rectangle(x - 2, y - 1.2, x + 2, y + 1.2, (245, 245, 240) if c.chance(0.7) else c.shade(soil, 0.4))


def orchard(c):
    """Round bushes in a strict grid."""
    soil = ground(c, 0.9)
    crown, gap = c.shade(soil, c.uniform(0.42, 0.58)), c.choice((8.5, 10, 12))
    r = gap * 0.34
    for x, y in grid(4, gap):
        if c.chance(0.96):
            h = r / 2
            c.polygon([(x - r, y), (x - h, y - r), (x + h, y - r), (x + r, y), (x + h, y + r), (x - h, y + r)], crown)


def homes(c):
    """Many small roofs with gardens along streets."""
    soil = ground(c)
    street, gap = c.colour((205, 200, 195) if c.web else (136, 134, 132)), c.uniform(11, 13)
    roofs = [c.colour(c.choice(ROOFS)) for _ in range(4)]
    for y in (-24, 0, 24):
        c.line([(-60, y), (60, y + 2)], street, 4)
    c.line([(c.uniform(-5, 5), -60), (0, 60)], street, 4)
    for x in range(-3, 4):
        for y in (-32, -16, -8, 8, 16, 32):
            a, b, roof = x * gap + 6 + c.uniform(-1.5, 1.5), y + c.uniform(-1, 1), c.choice(roofs)
            c.rectangle(a - 3.6, b - 3, a + 3.6, b + 3, roof)
            c.rectangle(a - 3.6, b, a + 3.6, b + 3, c.shade(roof, 0.65), outline=False)
    c.speckle(12, [c.shade(soil, 0.55)], 2)


def river(c):
    """A winding band of water of changing width between soft banks."""
    soil = ground(c, 0.8, 1.2, 0.9)
    swing, pace, phase, width = c.uniform(14, 19), c.uniform(0.068, 0.1), c.uniform(0, 6.3), c.uniform(8, 11)
    course = [(x, swing * math.sin(x * pace + phase)) for x in range(-63, 64, 9)]
    water = c.colour((90, 160, 225) if c.web else c.choice(WATER))
    for extra, rgb in ((4, c.outline or c.shade(soil, 1.3)), (1, water)):
        c.line(course, rgb, width + extra)
        for x, y in course[::2]:
            c.disc(x, y, width * c.uniform(0.5, 0.62) + extra / 2, rgb, outline=False)


def lake(c):
    """Wide smooth water that ends at a shore on one side, or fills nearly all."""
    soil = ground(c, 0.85)
    water = c.colour((90, 160, 225) if c.web else c.choice(WATER))
    shore, sand = c.uniform(6, 22), c.shade(soil, 1.35)
    coast = [(x, shore + c.uniform(-5, 5)) for x in range(-70, 71, 10)]
    for drop, rgb in ((3, sand), (0, water)):
        c.polygon([(-70, -70), *((x, y + drop) for x, y in coast), (70, -70)], rgb)
    for _ in range(5 if c.web else 3):
        x, y = c.uniform(-24, 14), c.uniform(-26, shore - 9)
        c.line([(x, y), (x + 4, y - 1.5), (x + 8, y), (x + 12, y - 1.5)], c.shade(water, 1.25), 1)


def sensor(c):
    """What the satellite's sensor makes of it: natural or false colours by mixing the channels, and thin clouds."""
    if c.chance(0.3):
        c.speckle(3, [(240, 240, 244)], 8)
    if c.chance(0.65):
        order = c.choice(((1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1)))
        rows = [[c.uniform(0.65, 1.2) * (k == source) + c.uniform(0, 0.15) for k in range(3)] for source in order]
        c.image = c.image.convert("RGB", [value for row in rows for value in (*row, c.uniform(-25, 25))])


def seen(structure):
    """A painter that shows `structure`, in the field through a satellite's sensor."""
    def painter(c):
        """Draw the land, then apply the sensor."""
        structure(c)
        if not c.web:
            sensor(c)
    return painter


CLASSES = {
    "annual crop land": seen(crops), "forest": seen(forest), "herbaceous vegetation": seen(herbs),
    "a highway": seen(highway), "industrial buildings": seen(industry), "pasture": seen(pasture),
    "permanent crop land": seen(orchard), "residential buildings": seen(homes), "a river": seen(river),
    "a sea or lake": seen(lake),
}
