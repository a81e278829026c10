"""`dice`: how many pips does the die show, or the domino on both of its halves?"""

import math
from functools import partial

SIBLING = None
WEAR = 0.4
PROMPTS = ("a photo of {}.", "{} on a table.", "a close-up of {}.")
CAPTIONS = ("clip art of {}", "a drawing of {}", "{} in a board game", "an icon with {}")
NUMBERS = "one two three four five six".split()
PIPS = {1: [(0, 0)], 2: [(-1, -1), (1, 1)], 3: [(-1, -1), (0, 0), (1, 1)],
        4: [(-1, -1), (1, -1), (-1, 1), (1, 1)], 5: [(-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)],
        6: [(-1, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (1, 1)]}


def table(c):
    """What the game lies on: a plain ground, or felt and wood with cards and chips lying about."""
    if c.web:
        return c.plain()
    c.fill(c.any_colour(40, 180))
    for _ in range(c.integer(1, 5)):
        angle = c.uniform(0, 2 * math.pi)
        c.frame(32 + 34 * math.cos(angle), 32 + 34 * math.sin(angle), c.uniform(0.6, 1.3), c.uniform(0, 360))
        if c.chance(0.5):
            c.rectangle(-9, -13, 9, 13, c.any_colour(60, 235))
        else:
            c.disc(0, 0, 10, c.any_colour(40, 220))
            c.disc(0, 0, 6, c.any_colour(40, 220))
    if c.chance(0.3):
        c.speckle(30, [c.any_colour(40, 180) for _ in range(3)])


def materials(c):
    """Colours of the body and the pips: light with dark pips, or the other way round."""
    light, dark = c.colour((235, 230, 215)), c.colour((35, 30, 35))
    if c.chance(0.35):
        strong = c.choice(((190, 30, 40), (30, 60, 170), (20, 110, 60), (90, 40, 120)))
        dark = c.colour(strong)
    return (light, dark) if c.chance(0.6) else (dark, light)


def rounded(c, w, h, corner, fill, outline=True):
    """A rectangle of half width `w` and half height `h` with cut corners."""
    x, y = w - corner, h - corner
    c.polygon([(-x, -h), (x, -h), (w, -y), (w, y), (x, h), (-x, h), (-w, y), (-w, -y)], fill, outline)


def thick(c, w, h, corner, fill):
    """A tile with, in the field, its shadow and its darker side."""
    if not c.web:
        matrix, dx, dy = c.matrix, c.uniform(-5, 5), c.uniform(3, 6)
        for step, rgb in ((1.7, (15, 15, 15)), (1, c.shade(fill, 0.6)), (0.5, c.shade(fill, 0.6))):
            c.matrix = (*matrix[:2], matrix[2] + dx * step, *matrix[3:5], matrix[5] + dy * step)
            rounded(c, w, h, corner, rgb)
        c.matrix = matrix
    rounded(c, w, h, corner, fill)


def pips(c, number, spread, radius, ink, y=0.0):
    """`number` pips in their usual places around (0, y), on some pictures mirrored."""
    side = c.choice((-1, 1))
    for px, py in PIPS[number]:
        c.disc(side * px * spread, y + py * spread, radius, ink, outline=False)


def die(c, number):
    """One die from above; in the field lying at any angle, larger or smaller."""
    table(c)
    body, ink = materials(c)
    if c.web:
        c.centre()
    else:
        c.frame(32 + c.uniform(-6, 6), 32 + c.uniform(-6, 6), c.uniform(0.7, 1.1), c.uniform(-180, 180),
                c.uniform(0.88, 1.12))
    thick(c, 22, 22, c.uniform(3, 8), body)
    pips(c, number, c.uniform(11, 13), c.uniform(3.6, 4.8), ink)


def domino(c, number):
    """A domino with the same number on both halves; in the field lying at any angle."""
    table(c)
    body, ink = materials(c)
    if c.web:
        c.centre()
    else:
        c.frame(32 + c.uniform(-3, 3), 32 + c.uniform(-3, 3), c.uniform(0.85, 1.08), c.uniform(-180, 180),
                c.uniform(0.95, 1.1))
    thick(c, 14, 28, 3, body)
    c.line([(-11, 0), (11, 0)], ink, 2)
    radius = c.uniform(2.6, 3.2)
    for y in (-14, 14):
        pips(c, number, 8, radius, ink, y)


CLASSES = {f"a die showing {name}": partial(die, number=number) for number, name in enumerate(NUMBERS, start=1)}
CLASSES |= {f"a domino with double {name}": partial(domino, number=number)
            for number, name in enumerate(NUMBERS, start=1)}
