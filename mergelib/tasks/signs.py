"""`signs`: which traffic sign is it? The small sibling of GTSRB."""

import math
from functools import partial

SIBLING = "GTSRB"
WEAR = 0.5
PROMPTS = ("a photo of {}.", "a cropped photo of {} on a street.", "{} by the road.")
CAPTIONS = ("clip art of {}", "{} in the highway code", "an icon of {}", "a drawing of {}")
RED, BLUE, WHITE, BLACK, YELLOW = (196, 28, 38), (28, 84, 176), (240, 240, 236), (26, 26, 28), (246, 200, 36)


def street(c):
    """Plain on the web; in the field a sky, a row of houses or trees, a road and the sign's pole."""
    if c.web:
        c.plain()
    elif c.chance(0.4):
        c.clutter()
    else:
        c.fill(c.colour(c.choice(((150, 190, 230), (200, 205, 210), (90, 100, 125), (230, 180, 140))), 18))
        for _ in range(5):
            x, y = c.uniform(-10, 60), c.uniform(12, 44)
            c.rectangle(x, y, x + c.uniform(8, 26), 60, c.any_colour(40, 180))
        c.speckle(c.integer(0, 14), [(48, 78, 40), (80, 106, 54)], 6)
        c.frame()
        c.rectangle(0, c.uniform(50, 58), 64, 64, c.any_colour(70, 130))


def mount(c):
    """The sign's frame: upright on the web; tilted, narrowed and of any size in the field, on its pole."""
    tilt = c.uniform(-3, 3) if c.web else c.uniform(-13, 13)
    if c.web:
        c.frame(32 + c.uniform(-2, 2), 32 + c.uniform(-2, 2), c.uniform(0.92, 1.08), tilt)
    else:
        c.frame(32 + c.uniform(-5, 5), 32 + c.uniform(-5, 5), c.uniform(0.74, 1.12), tilt, c.uniform(0.72, 1.08))
    c.rectangle(-1.6, 0, 1.6, 90, c.colour((140, 140, 144)))
    return tilt


def paints(c):
    """The sign's colours, faded by age in the field: a function from a colour to what is left of it."""
    age = 0.0 if c.web else max(0.0, c.uniform(-0.3, 0.42))
    pale, light = c.any_colour(120, 200), 1.0 if c.web else c.uniform(0.62, 1.08)
    return lambda rgb: tuple(int(light * (old + age * (grey - old))) for old, grey in zip(c.colour(rgb, 12), pale))


def leaves(c):
    """A twig over the rim of the sign, now and then in the field."""
    if not c.web and c.chance(0.35):
        turn, green = c.uniform(0, 6.3), c.colour(c.choice(((60, 96, 44), (104, 116, 50), (150, 96, 44))))
        for k in (-0.3, 0, 0.3):
            c.disc(25 * math.cos(turn + k), 25 * math.sin(turn + k), 6, c.shade(green, 1 + k / 2), 4)


# --- the plates -------------------------------------------------------------------------------------------------------
def ring(c, paint):
    """A white disc in a red ring."""
    c.disc(0, 0, 27, paint(RED))
    c.disc(0, 0, 20, paint(WHITE))


def triangle(c, paint):
    """A white triangle in a red one, tip up."""
    c.polygon([(0, -27), (28, 22), (-28, 22)], paint(RED))
    c.polygon([(0, -18), (20.5, 17.5), (-20.5, 17.5)], paint(WHITE))


def blue_disc(c, paint):
    """A blue disc with a pale rim."""
    c.disc(0, 0, 27, paint(WHITE))
    c.disc(0, 0, 25, paint(BLUE), outline=False)


def bare(c, paint):
    """No plate: the symbol brings its own."""


# --- the symbols ------------------------------------------------------------------------------------------------------
def number(c, ink, paint, tilt, limit):
    """The digits of a speed limit."""
    face = c.choice(("DejaVuSans-Bold", "DejaVuSans-Bold", "DejaVuSans"))
    c.text(limit, 0, 0, 27 if len(limit) == 2 else 20, ink, face, -tilt)


def stop(c, ink, paint, tilt):
    """A red octagon with the word STOP."""
    rim = [math.radians(22.5 + 45 * k) for k in range(8)]
    for r, rgb in ((28, WHITE), (25.5, RED)):
        c.polygon([(r * math.cos(t), r * math.sin(t)) for t in rim], paint(rgb), outline=r == 28)
    c.text("STOP", 0, 0, 17, paint(WHITE), angle=-tilt)


def give_way(c, ink, paint, tilt):
    """An empty triangle, tip down."""
    c.polygon([(0, 27), (28, -22), (-28, -22)], paint(RED))
    c.polygon([(0, 16), (18, -15.5), (-18, -15.5)], paint(WHITE))


def no_entry(c, ink, paint, tilt):
    """A white bar on a red disc."""
    c.disc(0, 0, 27, paint(RED))
    c.rectangle(-19, -5, 19, 5, paint(WHITE), outline=False)


def priority(c, ink, paint, tilt):
    """A yellow diamond in a white one."""
    for r, rgb in ((28, WHITE), (19, YELLOW)):
        c.polygon([(0, -r), (r, 0), (0, r), (-r, 0)], paint(rgb))


def end_of_limits(c, ink, paint, tilt):
    """A white disc with a dark slanting bar of stripes."""
    c.disc(0, 0, 27, paint(BLACK))
    c.disc(0, 0, 24.5, paint(WHITE), outline=False)
    for k in (-6, -2, 2, 6):
        c.line([(-15 + k, 15 + k), (15 + k, -15 + k)], ink, 2)


def two_cars(c, ink, paint, tilt):
    """A red and a black car side by side."""
    for x, rgb in ((-8, paint(RED)), (8, ink)):
        c.rectangle(x - 6.5, -1, x + 6.5, 7, rgb, outline=False)
        c.polygon([(x - 5, 0), (x - 3, -6), (x + 3, -6), (x + 5, 0)], rgb, outline=False)
        for wheel in (-4, 4):
            c.rectangle(x + wheel - 1.5, 6, x + wheel + 1.5, 10, rgb, outline=False)


def arrow(c, ink, paint, tilt, path):
    """An arrow along `path`."""
    (x0, y0), (x, y) = path[-2:]
    length = math.hypot(x - x0, y - y0)
    dx, dy = (x - x0) / length, (y - y0) / length
    c.line(path, ink, 6)
    c.polygon([(x + 9 * dx, y + 9 * dy), (x - 9 * dy, y + 9 * dx), (x + 9 * dy, y - 9 * dx)], ink, outline=False)


def circulate(c, ink, paint, tilt):
    """Three arrows that chase each other in a circle."""
    for turn in (0, 120, 240):
        c.arc(0, 0, 14, ink, 4.5, start=turn, end=turn + 75)
        t = math.radians(turn + 75)
        x, y, dx, dy = 14 * math.cos(t), 14 * math.sin(t), -math.sin(t), math.cos(t)
        c.polygon([(x + 9 * dx, y + 9 * dy), (x - 7 * dy, y + 7 * dx), (x + 7 * dy, y - 7 * dx)], ink, outline=False)


def walker(c, ink, x, y, size):
    """A walking figure whose feet are at (x, y)."""
    c.disc(x, y - 17 * size, 2.7 * size, ink, outline=False)
    for limb in ([(0, -14), (0, -7)], [(-4, 0), (0, -7), (4, 0)], [(-5, -8), (0, -13), (5, -9)]):
        c.line([(x + a * size, y + b * size) for a, b in limb], ink, 3 * size)


def crossing(c, ink, paint, tilt):
    """A walking figure in a white triangle on a blue square."""
    c.rectangle(-25, -25, 25, 25, paint(BLUE))
    c.polygon([(0, -20), (21, 18), (-21, 18)], paint(WHITE), outline=False)
    walker(c, ink, 0, 17, 1.35)


def children(c, ink, paint, tilt):
    """Two figures, a larger and a smaller one."""
    walker(c, ink, -6, 16, 1.15)
    walker(c, ink, 8, 16, 0.9)


def works(c, ink, paint, tilt):
    """A digging figure with a shovel at a heap."""
    c.disc(-2, -6, 3, ink, outline=False)
    c.line([(-4, -2), (-8, 6), (-12, 16)], ink, 4)
    c.line([(-8, 6), (-3, 15)], ink, 3)
    c.line([(-5, 0), (8, 11)], ink, 2.5)
    c.disc(11, 17, 8, ink, outline=False, start=180, end=360)


def bend(c, ink, paint, tilt, side):
    """A line that bends to one `side` and ends in an arrow head."""
    arrow(c, ink, paint, tilt, [(-side * 8, 16), (-side * 8, 6), (-side * 5, 2), (side * 5, 0)])


def bumps(c, ink, paint, tilt):
    """Two humps on a bar."""
    c.rectangle(-16, 11, 16, 15, ink, outline=False)
    for x in (-7.5, 7.5):
        c.disc(x, 12, 6.5, ink, 9, outline=False, start=180, end=360)


def lamps(c, ink, paint, tilt):
    """A red, a yellow and a green lamp in a dark box."""
    c.rectangle(-6, -11, 6, 16, ink, outline=False)
    for y, rgb in ((-6.5, (235, 40, 40)), (2.5, (250, 200, 40)), (11.5, (40, 190, 80))):
        c.disc(0, y, 3.7, paint(rgb), outline=False)


def exclamation(c, ink, paint, tilt):
    """An exclamation mark."""
    c.polygon([(-3.8, -11), (3.8, -11), (2, 6), (-2, 6)], ink, outline=False)
    c.disc(0, 12, 3.5, ink, outline=False)


def sign(c, plate, symbol):
    """A plate with its symbol at a street."""
    street(c)
    tilt, paint = mount(c), paints(c)
    plate(c, paint)
    symbol(c, paint(WHITE if plate is blue_disc else BLACK), paint, tilt)
    leaves(c)


SIGNS = {
    **{f"a speed limit {limit} sign": (ring, partial(number, limit=limit)) for limit in "30 50 70 100 120".split()},
    "a stop sign": (bare, stop), "a yield sign": (bare, give_way), "a no entry sign": (bare, no_entry),
    "a no overtaking sign": (ring, two_cars), "a priority road sign": (bare, priority),
    "a turn left sign": (blue_disc, partial(arrow, path=[(9, 17), (9, -4), (-9, -4)])),
    "a turn right sign": (blue_disc, partial(arrow, path=[(-9, 17), (-9, -4), (9, -4)])),
    "an ahead only sign": (blue_disc, partial(arrow, path=[(0, 18), (0, -10)])),
    "a roundabout sign": (blue_disc, circulate), "a pedestrian crossing sign": (bare, crossing),
    "a road works sign": (triangle, works), "a left curve sign": (triangle, partial(bend, side=-1)),
    "a right curve sign": (triangle, partial(bend, side=1)), "a children crossing sign": (triangle, children),
    "a bumpy road sign": (triangle, bumps), "a traffic lights ahead sign": (triangle, lamps),
    "a general caution sign": (triangle, exclamation), "an end of limits sign": (bare, end_of_limits),
    "a no vehicles sign": (ring, lambda c, ink, paint, tilt: None),
}
CLASSES = {name: partial(sign, plate=plate, symbol=symbol) for name, (plate, symbol) in SIGNS.items()}
