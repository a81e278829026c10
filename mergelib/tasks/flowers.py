"""`flowers`: which flower is it, judged by its form? The small sibling of Flowers102."""

import math
from functools import partial

SIBLING = None
WEAR = 0.45
PROMPTS = ("a photo of {}.", "a close-up of {} in a garden.", "a flower bed with {}.")
CAPTIONS = ("clip art of {}", "a drawing of {} in bloom", "a botanical illustration of {}", "an icon of {}")
GREEN = (70, 140, 60)
YELLOW = (245, 205, 60)
PETALS = ((235, 70, 90), (250, 245, 240), (250, 200, 60), (190, 90, 210), (90, 110, 230), (255, 150, 190),
          (250, 140, 60), (215, 35, 55))


def garden(c):
    """A meadow out of focus: greens and browns, spots of light, blades and leaves; plain on the web."""
    if c.web:
        return c.plain()
    base = c.colour(c.choice(((45, 85, 40), (70, 95, 50), (80, 65, 45), (35, 50, 60), (100, 120, 80))))
    c.gradient(c.shade(base, c.uniform(0.5, 1.3)), c.shade(base, c.uniform(0.5, 1.3)))
    c.speckle(c.integer(0, 9), [c.shade(base, 1.4), c.shade(base, 0.7), c.any_colour(60, 170)], c.uniform(3, 9))
    for _ in range(c.integer(0, 6)):
        x, top, leaf = c.uniform(0, 64), c.uniform(5, 50), c.shade(base, c.uniform(0.6, 1.5))
        c.pen.polygon([(x - 3, 64), (x + c.uniform(-14, 14), top), (x + 3, 64)], fill=leaf)


def place(c, turn=18):
    """The frame of the flower: in the middle on the web, of any size and tilt in the field."""
    if c.web:
        c.centre()
    else:
        c.frame(32 + c.uniform(-6, 6), 32 + c.uniform(-6, 6), c.uniform(0.72, 1.12), c.uniform(-turn, turn),
                c.choice((-1, 1)) * c.uniform(0.82, 1.15))


def ray(c, angle, length, width, fill, inner=0.0, tip=0.6, x=0.0, y=0.0):
    """One petal away from (x, y): `width` wide, widest at the share `tip` of its length, pointed."""
    cos, sin, middle = math.cos(angle), math.sin(angle), inner + (length - inner) * tip
    shape = ((inner, 0.4), (middle, 1), ((middle + length) / 2, 0.8), (length, 0), ((middle + length) / 2, -0.8),
             (middle, -1), (inner, -0.4))
    c.polygon([(x + u * cos - v * width / 2 * sin, y + u * sin + v * width / 2 * cos) for u, v in shape], fill)


def whorl(c, count, length, width, fill, inner=0.0, tip=0.6):
    """`count` petals all around, every second one a little darker."""
    start = c.uniform(0, 6.28)
    for k in range(count):
        ray(c, start + k * 2 * math.pi / count, length, width, c.shade(fill, 0.85 + 0.15 * (k % 2)), inner, tip)


def stem(c, top=0.0, x=0.0, leaves=True):
    """A stem down out of the picture, with two blades on most."""
    green = c.colour(GREEN)
    c.line([(x, top), (x + c.uniform(-4, 4), 45)], green, 3)
    if leaves and c.chance(0.7):
        for side in (-1, 1):
            c.polygon([(x, 34), (x + side * 9, 16), (x + side * 13, 8), (x + side * 9, 26)], c.shade(green, 0.9))


def daisy(c, petal):
    """Many narrow petals around a small round centre."""
    whorl(c, c.integer(10, 13), 26, 7, petal, 5, 0.75)
    c.disc(0, 0, 7, c.colour(YELLOW))


def sunflower(c, petal):
    """A huge dark centre with a rim of short pointed petals."""
    whorl(c, 15, 28, 9, petal, 12, 0.4)
    c.disc(0, 0, 16, c.colour((75, 45, 25)))
    for k in range(9):
        c.disc(10 * math.cos(2.4 * k), 10 * math.sin(2.4 * k), 1.5, (140, 95, 50), outline=False)


def tulip(c, petal):
    """A cup with three points on a stem, seen from the side."""
    stem(c, 5)
    c.polygon([(-13, -20), (0, -12), (13, -20), (14, -4), (8, 7), (0, 10), (-8, 7), (-14, -4)], c.shade(petal, 0.8))
    c.polygon([(0, -22), (8, -8), (6, 7), (0, 10), (-6, 7), (-8, -8)], petal)


def rose(c, petal):
    """Closely packed round petals that wind into the middle."""
    whorl(c, 6, 25, 25, c.shade(petal, 0.8), 0, 0.7)
    for step, radius in enumerate((18, 13, 8)):
        c.disc(step, -step, radius, c.shade(petal, (0.95, 0.75, 0.95)[step]))
    for radius, start in ((16, 20), (11, 160), (6, 290), (3, 60)):
        c.arc(1, -1, radius, c.shade(petal, 0.45), 2, start=start, end=start + 230)


def lily(c, petal):
    """A star of six long petals with long dotted stamens."""
    whorl(c, 6, 28, 13, petal, 0, 0.45)
    turn = c.uniform(0, 1)
    for k in range(6):
        x, y = math.cos(turn + k * 1.047), math.sin(turn + k * 1.047)
        c.line([(0, 0), (x * 10, y * 10)], (225, 235, 150), 1.2)
        c.disc(x * 11, y * 11, 2.2, (120, 55, 20), outline=False)


def bell(c, x, y, size, petal):
    """One hanging bell with a flared, jagged rim."""
    rim = [(-10, 14), (-5, 11), (0, 15), (5, 11), (10, 14)]
    shape = [(7, 4), (5, -5), (0, -8), (-5, -5), (-7, 4), *rim]
    c.polygon([(x + size * u, y + size * v) for u, v in shape], petal)


def bellflower(c, petal):
    """Three wide bells that hang from one bent stem."""
    green = c.colour(GREEN)
    c.line([(22, 40), (20, -4), (12, -20), (0, -24), (-14, -20)], green, 2.5)
    for x, y in ((-14, -11), (2, -13), (13, 4)):
        c.line([(x, y - 8), (x + 3, y - 12)], green, 2)
        bell(c, x, y, 1.05, c.shade(petal, c.uniform(0.85, 1.1)))


def poppy(c, petal):
    """Four broad overlapping petals and a black middle."""
    turn = c.uniform(0, 1.5)
    for k in (0, 2, 1, 3):
        x, y = math.cos(turn + k * 1.571), math.sin(turn + k * 1.571)
        c.disc(x * 12, y * 12, 14, c.shade(petal, 0.8 if k % 2 else 1))
    whorl(c, 8, 10, 3, (25, 20, 30))
    c.disc(0, 0, 5, (30, 30, 30), outline=False)
    c.disc(0, 0, 2.5, (120, 150, 90), outline=False)


def dandelion(c, petal):
    """A ball of thin rays, each with a tuft, on a bare stem."""
    stem(c, -4, leaves=False)
    light, y = c.shade(petal, 1.3), -6
    for k in range(18):
        x, r = math.cos(k * 0.349), 20 if k % 2 else 15
        dy = math.sin(k * 0.349)
        c.line([(0, y), (x * r, y + dy * r)], light, 1)
        c.disc(x * r, y + dy * r, 2.3, light, outline=False)
    c.disc(0, y, 3.5, c.colour((110, 90, 60)), outline=False)


def iris(c, petal):
    """Three petals up, three hanging tongues with a yellow stripe."""
    stem(c, 8)
    for angle in (-2.1, -1.05):
        ray(c, angle, 26, 12, c.shade(petal, 0.85), tip=0.6)
    ray(c, -1.571, 27, 12, petal, tip=0.6)
    for angle, length in ((2.65, 25), (0.5, 25), (1.571, 24)):
        ray(c, angle, length, 14, c.shade(petal, 0.7), tip=0.7)
        c.line([(0, 0), (12 * math.cos(angle), 12 * math.sin(angle))], YELLOW, 2.5)


def lavender(c, petal):
    """Several upright spikes of little florets on thin stems."""
    green = c.colour(GREEN)
    for x in (-18, -6, 6, 18):
        top, lean = c.uniform(-26, -18), x * 0.25
        c.line([(x * 0.6, 36), (x + lean, top)], green, 1.5)
        for k in range(5):
            c.disc(x + lean * (1 - k * 0.25), top + 5.5 * k, 3.4 + 0.2 * k, c.shade(petal, 0.8 + 0.25 * (k % 2)), 3)


def orchid(c, petal):
    """Two broad petals like wings, three narrow ones and a dark lip."""
    for angle in (-1.571, 0.65, 2.49):
        ray(c, angle, 25, 11, c.shade(petal, 0.8))
    for side in (-1, 1):
        c.disc(side * 14, -4, 13, petal, 10)
    lip = c.any_colour(60, 160)
    c.polygon([(-3, 0), (3, 0), (8, 9), (4, 17), (0, 13), (-4, 17), (-8, 9)], lip)
    c.disc(0, 0, 3.5, c.colour(YELLOW))


def lotus(c, petal):
    """A fan of pointed petals above a flat leaf on the water."""
    c.disc(0, 17, 29, c.colour((60, 125, 75)), 8)
    for angle in (-3.0, -0.14, -2.6, -0.54, -2.2, -0.94, -1.571):
        ray(c, angle, 29, 12, c.shade(petal, 1 - 0.12 * abs(angle + 1.571)), x=0, y=13)
    for angle in (-2.35, -0.79, -1.571):
        ray(c, angle, 17, 11, c.shade(petal, 0.78), x=0, y=15)


def cornflower(c, petal):
    """Separate florets that widen outwards to a toothed edge, around a dark tuft."""
    turn, count = c.uniform(0, 1), c.integer(7, 8)
    for k in range(count):
        cos, sin = math.cos(turn + k * 6.283 / count), math.sin(turn + k * 6.283 / count)
        shape = ((6, -1), (21, -8), (22, -4), (28, -5), (24, 0), (28, 5), (22, 4), (21, 8), (6, 1))
        c.polygon([(u * cos - v * sin, u * sin + v * cos) for u, v in shape], c.shade(petal, 0.9 + 0.15 * (k % 2)))
    whorl(c, 9, 10, 3, c.shade(petal, 0.4))


def snowdrop(c, petal):
    """One hanging blossom of three separate drops on a hooked stem."""
    green = c.colour(GREEN)
    c.line([(16, 40), (15, -6), (11, -20), (4, -24), (-2, -20), (-3, -12)], green, 3)
    c.polygon([(20, 40), (26, -10), (27, 40)], c.shade(green, 0.9))
    for angle in (2.3, 0.84, 1.571):
        ray(c, angle, 27, 12, c.shade(petal, 0.85 if angle != 1.571 else 1), tip=0.65, x=-3, y=-8)
    c.disc(-3, -9, 4.5, green)


def bloom(c, flower):
    """One flower in any colour of petals, in the field sometimes behind a leaf's tip."""
    garden(c)
    place(c)
    flower(c, c.colour(c.choice(PETALS), 30))
    if not c.web and c.chance(0.25):
        x, leaf = c.uniform(-5, 69), c.colour(GREEN)
        c.pen.polygon([(x - 6, 64), (x + c.uniform(-12, 12), c.uniform(36, 50)), (x + 6, 64)], fill=leaf)


CLASSES = {name: partial(bloom, flower=flower) for name, flower in {
    "a daisy": daisy, "a tulip": tulip, "a rose": rose, "a sunflower": sunflower, "a lily": lily,
    "a bellflower": bellflower, "a poppy": poppy, "a dandelion": dandelion, "an iris": iris,
    "a sprig of lavender": lavender, "an orchid": orchid, "a lotus": lotus, "a cornflower": cornflower,
    "a snowdrop": snowdrop}.items()}
