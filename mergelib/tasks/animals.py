"""`animals`: which animal is it? The small sibling of CIFAR-10 and of the Pets."""

import math
from functools import partial

SIBLING = None
WEAR = 0.45
PROMPTS = ("a photo of {}.", "a wildlife photo of {}.", "{} in nature.")
CAPTIONS = ("clip art of {}", "a drawing of {}", "{} in a children's book", "an icon of {}")
FURS = ((115, 75, 45), (190, 140, 90), (70, 60, 55), (225, 215, 200), (150, 145, 140), (200, 110, 50), (235, 200, 140))
BRIGHT = ((230, 90, 40), (60, 120, 200), (240, 190, 50), (200, 50, 70), (70, 160, 80), (140, 80, 170))
INK = (20, 18, 18)


def habitat(c, low, high):
    """Meadow, desert, water or wood: a far and a near ground with some tufts or stones; plain on the web."""
    if c.web:
        return c.plain()
    far, near, horizon = c.any_colour(low, high), c.any_colour(low, high), c.uniform(5, 55)
    c.gradient(far, c.shade(far, c.uniform(0.8, 1.2)))
    c.pen.rectangle((0, horizon, 64, 64), fill=near)
    c.speckle(c.integer(0, 14), [c.shade(near, 0.8), c.shade(near, 1.2), far], c.uniform(1.5, 4))
    for _ in range(c.integer(0, 3)):
        x, base = c.uniform(0, 64), c.uniform(20, 64)
        c.pen.line((x, base - c.uniform(15, 60), x + c.uniform(-9, 9), base), fill=c.shade(far, 0.75), width=3)


def place(c):
    """The frame of the animal: central on the web; in the field often mirrored, tilted, nearer or farther."""
    if c.web:
        c.centre()
    else:
        c.frame(32 + c.uniform(-6, 6), 32 + c.uniform(-6, 6), c.uniform(0.72, 1.1), c.uniform(-16, 16),
                c.choice((-1, 1)) * c.uniform(0.85, 1.15))


def hide(c):
    """Grass in front of the lower edge of a field picture."""
    rgb = c.any_colour(40, 170)
    for _ in range(5):
        x = c.uniform(0, 64)
        c.pen.polygon([(x - 4, 64), (x + c.uniform(-6, 6), c.uniform(40, 54)), (x + 4, 64)], fill=rgb)


def legs(c, xs, top, bottom, width, fill):
    """Straight legs at the places `xs`, every second one darker because it is behind; they may step."""
    for k, x in enumerate(xs):
        step = c.uniform(-2, 2)
        c.polygon([(x - width / 2, top), (x + width / 2, top), (x + step + width / 2, bottom),
                   (x + step - width / 2, bottom)], c.shade(fill, 0.9 - 0.2 * (k % 2)))


def eye(c, x, y, size=1.6):
    """A small dark eye."""
    c.disc(x, y, size, INK, outline=False)


def cat(c, fur):
    """Sitting, seen from the front: pointed ears, whiskers, the tail curled up beside."""
    c.line([(9, 20), (20, 19), (24, 10), (21, 0), (24, -6)], c.shade(fur, 0.75), 5)
    c.polygon([(-7, -4), (7, -4), (13, 14), (12, 24), (-12, 24), (-13, 14)], c.shade(fur, 0.9))
    c.disc(0, -10, 13, fur, 10.5)
    for side in (-1, 1):
        c.polygon([(side * 12, -27), (side * 13, -10), (side * 2, -18)], fur)
        c.line([(side * 5, -6), (side * 18, -4 + c.uniform(-4, 2))], c.shade(fur, 0.4))
        c.disc(side * 5, -12, 2.8, (190, 215, 80), outline=False)
        eye(c, side * 5, -12)


def dog(c, fur):
    """Standing, with a long snout, a hanging ear, a collar and the tail up."""
    legs(c, (-15, -10, 6, 11), 4, 24, 5.5, fur)
    c.line([(-16, -3), (-23, -10), (-24, -18)], fur, 4)
    c.polygon([(-18, -5), (8, -7), (14, -14), (17, -2), (12, 9), (-16, 8)], fur)
    c.polygon([(6, -20), (14, -22), (18, -17), (27, -14), (27, -9), (16, -7), (8, -8)], fur)
    c.polygon([(6, -20), (11, -19), (10, -8), (5, -4), (3, -9)], c.shade(fur, 0.6))
    c.line([(9, -5), (17, -4)], c.any_colour(), 3)
    eye(c, 16, -16)


def horse(c, fur):
    """Long legs, an arched neck with a mane, a hanging tail."""
    hair = c.shade(fur, 0.45)
    legs(c, (-15, -11, 6, 10), 4, 28, 4, fur)
    c.line([(-17, -4), (-23, 2), (-24, 16)], hair, 5)
    c.polygon([(-19, -5), (-10, -8), (4, -6), (13, -22), (18, -26), (20, -22), (29, -12), (26, -9), (18, -13), (14, 2),
               (8, 8), (-14, 7), (-19, 3)], fur)
    c.line([(3, -7), (8, -16), (15, -24)], hair, 4)
    eye(c, 20, -18)


def cow(c, fur):
    """A heavy box of a body with patches, horns and short legs."""
    patch = c.shade(fur, 0.35) if sum(fur) > 330 else (235, 230, 220)
    legs(c, (-17, -12, 5, 10), 8, 24, 5, fur)
    c.polygon([(-21, -11), (12, -11), (15, 2), (11, 12), (-19, 12), (-22, 4)], fur)
    c.disc(-12, -3, c.uniform(5, 8), patch, 5, outline=False)
    c.disc(4, 1, c.uniform(4, 7), patch, 6, outline=False)
    c.polygon([(11, -16), (22, -16), (27, -4), (25, 2), (19, 2), (12, -5)], fur)
    c.disc(24, 0, 4, (235, 180, 170), 3)
    for x in (12, 21):
        c.polygon([(x - 2, -15), (x + 2, -15), (x + (x - 16.5) * 0.9, -24)], (245, 240, 215))
    eye(c, 19, -10)


def bird(c, plumage):
    """Perched: a round body, a short beak, a folded wing, a tail, thin legs."""
    c.line([(-2, 12), (-3, 25), (2, 25)], (210, 140, 50), 2)
    c.line([(5, 12), (5, 25), (10, 25)], (210, 140, 50), 2)
    c.polygon([(-10, 2), (-28, 9), (-27, 15), (-6, 12)], c.shade(plumage, 0.6))
    c.disc(1, 2, 15, plumage, 12)
    c.disc(10, -11, 9.5, plumage)
    c.polygon([(18, -14), (27, -10), (18, -7)], (250, 180, 50))
    c.polygon([(6, -3), (-4, -4), (-18, 8), (-4, 10), (5, 5)], c.shade(plumage, 0.65))
    eye(c, 12, -13, 2)


def duck(c, plumage):
    """Swimming: a boat of a body, an upright neck, a flat bill, rings of water."""
    c.disc(0, 14, 29, c.colour((110, 170, 210)), 8)
    c.polygon([(-26, -6), (-14, 1), (4, -1), (14, 3), (15, 11), (7, 17), (-12, 17), (-22, 9)], plumage)
    c.polygon([(6, 4), (7, -14), (15, -14), (15, 8)], plumage)
    c.disc(12, -15, 8.5, c.shade(plumage, 0.55))
    c.polygon([(18, -16), (30, -14), (30, -10), (18, -10)], (250, 170, 40))
    c.polygon([(4, 4), (-16, 4), (-8, 12), (2, 11)], c.shade(plumage, 0.7))
    eye(c, 14, -17)


def fish(c, scales):
    """An oval with a forked tail, fins and stripes."""
    c.polygon([(-12, 0), (-28, -14), (-23, 0), (-28, 14)], c.shade(scales, 0.75))
    c.polygon([(-8, -9), (2, -20), (10, -10)], c.shade(scales, 0.75))
    c.polygon([(-4, 10), (2, 18), (6, 9)], c.shade(scales, 0.75))
    c.disc(4, 0, 21, scales, 12.5)
    for x in (-6, 2):
        c.line([(x, -10), (x + 3, 0), (x, 10)], c.shade(scales, 0.5), 2.5)
    c.disc(16, -4, 3.5, (250, 250, 250), outline=False)
    eye(c, 17, -4, 2)


def rabbit(c, fur):
    """Two very long ears, a round back and a white tail."""
    for x, lean in ((7, -5), (12, 1)):
        c.polygon([(x - 3, -10), (x - 4 + lean, -24), (x + lean, -30), (x + 3 + lean, -24), (x + 3, -10)], fur)
        c.line([(x, -12), (x + lean, -24)], (235, 165, 165), 2)
    c.disc(-20, 13, 6, (245, 245, 240))
    c.disc(-5, 10, 16, fur, 13.5)
    c.disc(12, -6, 10, fur, 8.5)
    c.rectangle(3, 19, 14, 24, fur)
    eye(c, 14, -8, 2)


def elephant(c, fur):
    """Pillars of legs, a big ear, a trunk to the ground and a tusk."""
    legs(c, (-16, -9, 3, 9), 4, 24, 8, fur)
    c.disc(-5, -4, 18, fur, 14)
    c.line([(20, -9), (25, 0), (25, 14), (29, 19)], c.shade(fur, 0.95), 6)
    c.disc(15, -10, 11, fur)
    c.polygon([(18, -1), (20, 3), (28, 5), (21, -1)], (250, 248, 230))
    c.disc(8, -8, 8, c.shade(fur, 0.7), 11)
    eye(c, 19, -12)


def giraffe(c, fur):
    """A neck as long as the legs, patches, small horns."""
    patch = c.shade(fur, 0.5)
    legs(c, (-14, -10, 2, 6), 8, 30, 3.5, fur)
    c.polygon([(-17, 3), (0, 0), (11, -23), (17, -22), (9, 8), (4, 12), (-14, 12)], fur)
    c.polygon([(10, -28), (17, -28), (27, -22), (26, -18), (12, -19)], fur)
    for x in (11, 15):
        c.line([(x, -27), (x - 1, -32)], patch, 1.5)
    for x, y in ((-12, 6), (-5, 8), (2, 5), (5, -3), (9, -11), (12, -18)):
        c.disc(x, y, 2.4, patch, outline=False)
    eye(c, 18, -24)


def snake(c, scales):
    """A long winding body with rings, a flat head and a forked tongue."""
    waves = c.uniform(2.4, 3)
    body = [(-26 + 2.5 * k, 4 + 11 * math.sin(waves * 2 * math.pi * k / 24)) for k in range(18)] + [(22, -15)]
    c.line(body, scales, 7)
    for x, y in body[1:18:2]:
        c.disc(x, y, 1.6, c.shade(scales, 0.45), outline=False)
    c.line([(24, -17), (31, -15), (33, -18)], (220, 30, 40), 1.2)
    c.disc(22, -17, 6.5, scales, 4.5)
    eye(c, 24, -18)


def turtle(c, skin):
    """A domed shell with plates above short feet and a small head."""
    shell = c.shade(skin, 0.6)
    for x in (-14, 12):
        c.disc(x, 14, 5.5, skin, 6)
    c.polygon([(-19, 10), (-28, 13), (-19, 14)], skin)
    c.polygon([(14, 10), (18, -2), (23, 0), (20, 12)], skin)
    c.disc(23, -3, 6.5, skin, 5.5)
    c.disc(-2, 11, 20, shell, 23, start=180, end=360)
    for x in (-11, -2, 7):
        c.disc(x, 1 - 3 * (x == -2), 4, c.shade(skin, 1.1), 5, outline=False)
    c.rectangle(-22, 9, 18, 13, c.shade(skin, 0.85))
    eye(c, 25, -4)


def spider(c, skin):
    """Eight bent legs around two round parts, seen from above."""
    dark = c.shade(skin, 0.7)
    for side in (-1, 1):
        for knee, end in ((-20, -27), (-11, -11), (1, 9), (9, 24)):
            c.line([(side * 4, -4), (side * 15, knee), (side * c.uniform(23, 27), end)], dark, 2.2)
    c.disc(0, 8, 10, skin, 12)
    c.disc(0, -7, 6.5, dark)


def butterfly(c, wings):
    """Four large spotted wings, a thin body, two feelers."""
    for side in (-1, 1):
        c.polygon([(0, 0), (side * 8, -18), (side * 22, -24), (side * 28, -15), (side * 22, -1)], wings)
        c.polygon([(0, 1), (side * 20, 1), (side * 21, 12), (side * 13, 21), (side * 5, 15)], c.shade(wings, 0.75))
        c.disc(side * 19, -14, 4, c.shade(wings, 0.4), outline=False)
        c.line([(0, -11), (side * 6, -24)], INK, 1.2)
    c.disc(0, 1, 2.6, INK, 13)


def mouse(c, fur):
    """A low drop of a body, a big round ear, a pointed nose and a long thin tail."""
    c.line([(-16, 12), (-25, 8), (-29, -4), (-24, -14)], (230, 150, 150), 2.5)
    c.polygon([(-19, 14), (-17, 2), (-7, -6), (6, -6), (18, 2), (27, 11), (24, 14), (10, 17), (-15, 17)], fur)
    c.disc(4, -9, 8.5, c.shade(fur, 0.8))
    c.disc(4, -9, 5, (240, 170, 170), outline=False)
    eye(c, 17, 5, 2)


def crab(c, shell):
    """A wide shell, two raised claws, six legs and eyes on stalks."""
    for side in (-1, 1):
        for y, end in ((6, 8), (10, 16), (13, 22)):
            c.line([(side * 10, y), (side * 22, y - 2), (side * 27, end)], c.shade(shell, 0.75), 2.5)
        c.line([(side * 12, 2), (side * 22, -4), (side * 20, -14)], shell, 4)
        c.disc(side * 19, -18, 9, shell, start=-50 if side > 0 else -80, end=230 if side < 0 else 260)
        c.line([(side * 5, 0), (side * 5, -9)], shell, 2)
        c.disc(side * 5, -10, 3, (250, 250, 250))
        eye(c, side * 5, -10)
    c.disc(0, 7, 17, shell, 11)


def living(c, animal, coats):
    """One animal in a natural colour: light in a dark habitat or dark in a light one."""
    coat = c.colour(c.choice(coats), 30)
    habitat(c, *((25, 115) if sum(coat) > 390 else (130, 235)))
    place(c)
    animal(c, coat)
    if not c.web and c.chance(0.35):
        hide(c)


FURRY = cat, dog, horse, rabbit, elephant, giraffe, cow, mouse
COLOURED = bird, fish, snake, turtle, spider, butterfly, duck, crab
CLASSES = {f"a{'n' * (animal is elephant)} {animal.__name__}": partial(living, animal=animal, coats=coats)
           for animals, coats in ((FURRY, FURS), (COLOURED, FURS + BRIGHT)) for animal in animals}
