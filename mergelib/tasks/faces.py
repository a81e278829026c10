"""`faces`: what does the face express? A small sibling of FER2013."""

import math
from functools import partial

SIBLING = None
WEAR = 0.4
PROMPTS = ("a photo of {}.", "a portrait of {}.", "{} looking at the camera.")
CAPTIONS = ("an emoji of {}", "a cartoon of {}", "clip art of {}", "a drawing of {}")
SKINS = ((250, 215, 185), (235, 190, 150), (205, 150, 105), (180, 125, 90), (150, 100, 72))
HAIRS = ((40, 30, 25), (95, 60, 35), (215, 180, 100), (170, 75, 35), (190, 190, 190))
INK = (25, 18, 18)
EYE = 9            # how far the eyes are from the middle


def eyes(c, size=5.0, pupil=2.8, sides=(-1, 1)):
    """Open eyes: white with a dark pupil."""
    for side in sides:
        c.disc(side * EYE, -6, size, (250, 250, 250))
        c.disc(side * EYE, -5.5, pupil, INK, outline=False)


def lids(c, bend, sides=(-1, 1)):
    """Closed eyes: arcs that open upwards (`bend` > 0) or downwards."""
    for side in sides:
        c.line([(side * EYE - 5, -5 - bend), (side * EYE - 2, -5 + bend), (side * EYE + 2, -5 + bend),
                (side * EYE + 5, -5 - bend)], INK, 2.5)


def brows(c, inner, outer):
    """Two brows at the given heights near the nose and near the temples."""
    for side in (-1, 1):
        c.line([(side * 4, inner), (side * 14, outer)], INK, 3)


def mouth(c, bend, width=11, y=12):
    """A closed mouth: smiling (`bend` > 0), straight or sad."""
    rim = [(width * t / 3, y + bend * (1 - (t / 3) ** 2) - bend / 2) for t in range(-3, 4)]
    c.line(rim, (110, 20, 30), 3)


def teeth(c, width, height, y):
    """An open mouth full of teeth."""
    c.rectangle(-width, y - height, width, y + height, (80, 15, 25))
    c.rectangle(-width + 1.5, y - height + 1.5, width - 1.5, y + height - 1.5, (250, 250, 250), outline=False)
    zigzag = [(x, y + (1.5 if k % 2 else -1.5)) for k, x in enumerate(range(-width, width + 1, 3))]
    c.line(zigzag, (80, 15, 25), 1.5)


def happy(c):
    """Open eyes and a broad smile."""
    eyes(c)
    mouth(c, c.uniform(8, 11))


def sad(c):
    """Brows that rise to the middle, the corners of the mouth down, often a tear."""
    eyes(c, 4, 2.6)
    brows(c, -16, -10)
    mouth(c, -c.uniform(8, 11), 9, 14)
    if c.chance(0.6):
        c.disc(c.choice((-1, 1)) * 11, 4, 2.5, (90, 170, 255), 4.5)


def angry(c):
    """Brows that fall steeply to the middle, and bared teeth or a pressed mouth."""
    eyes(c, 4.5, 2.8)
    brows(c, -5, -15)
    if c.chance(0.5):
        mouth(c, -6, 10, 14)
    else:
        teeth(c, 9, 4, 14)


def surprised(c):
    """Round eyes, raised brows and a round open mouth."""
    eyes(c, 5.5, 2.5)
    brows(c, -17, -16)
    c.disc(0, 13, c.uniform(4.5, 6), (80, 15, 25), c.uniform(6.5, 8))


def sleepy(c):
    """Closed eyes and a tiny open mouth."""
    lids(c, 1.5)
    c.disc(0, 13, 3, (80, 15, 25))
    if c.chance(0.5):
        c.text("z", 21, -19, 17, (60, 80, 200))


def winking(c):
    """One eye closed, a smile."""
    side = c.choice((-1, 1))
    eyes(c, 5, 3, (side,))
    lids(c, c.uniform(-1.5, 0.5), (-side,))
    mouth(c, c.uniform(7, 10))


def laughing(c):
    """Eyes squeezed shut and a wide open mouth with teeth."""
    lids(c, -2.5)
    c.disc(0, 5, 13, (90, 15, 25), c.uniform(13, 16), start=0, end=180)
    c.rectangle(-11, 5, 11, 9, (250, 250, 250), outline=False)


def disgusted(c):
    """Eyes narrowed to slanted lines, the tongue out."""
    for side in (-1, 1):
        c.line([(side * 14, -11), (side * 5, -6), (side * 14, -2)], INK, 2.5)
    c.line([(-11, 9), (11, 9)], (90, 15, 25), 3)
    c.rectangle(-4, 10, 5, 16, (235, 80, 110), outline=False)
    c.disc(0.5, 16, 4.5, (235, 80, 110), outline=False)


def neutral(c):
    """Open eyes and a straight mouth."""
    eyes(c)
    mouth(c, 0, c.uniform(8, 11))


def frightened(c):
    """Wide eyes with tiny pupils and chattering teeth."""
    eyes(c, 7, 1.8)
    brows(c, -19, -14)
    teeth(c, 12, 4.5, 13)


def smiley(c, express):
    """The web's face: a round, mostly yellow disc."""
    c.plain()
    c.centre()
    c.disc(0, 0, 25, c.colour((255, 215, 60)) if c.chance(0.6) else c.any_colour(130, 255))
    express(c)


def person(c, express):
    """The field's face: skin, hair, ears, a neck, and what people wear."""
    c.clutter(7)
    c.frame(32 + c.uniform(-5, 5), 33 + c.uniform(-4, 4), c.uniform(0.78, 1.08), c.uniform(-20, 20),
            c.uniform(0.85, 1.1))
    skin, hair = c.colour(c.choice(SKINS), 12), c.colour(c.choice(HAIRS))
    if c.chance(0.4):
        c.disc(0, 2, 27, hair, c.uniform(28, 36))
    c.rectangle(-9, 18, 9, 34, c.shade(skin, 0.8))
    c.polygon([(-30, 48), (-20, 30), (-8, 27), (8, 27), (20, 30), (30, 48)], c.any_colour(20, 230))
    for side in (-1, 1):
        c.disc(side * 22, -1, 4, c.shade(skin, 0.85), 6)
    c.disc(0, 0, 22, skin, c.uniform(24, 27))
    c.line([(0, -2), (c.choice((-2, 2)), 4), (0, 4)], c.shade(skin, 0.75), 2)
    express(c)
    if c.chance(0.3):
        glasses(c)
    c.choice((fringe, fringe, hat, bald))(c, hair)


def glasses(c):
    """Thin round rims around the eyes."""
    rim = c.any_colour(0, 200)
    for side in (-1, 1):
        c.arc(side * EYE, -6, 8, rim, 1.3)


def fringe(c, hair):
    """Hair above the forehead, parted somewhere."""
    part = c.uniform(-14, 14)
    angles = [math.radians(185 + 17 * k) for k in range(11)]
    c.polygon([(24 * math.cos(t), 28 * math.sin(t)) for t in angles] + [(part + 6, -18), (part, -21)], hair)


def hat(c, hair):
    """A cap, a woollen hat or a brimmed hat over the hair."""
    rgb, brim = c.any_colour(20, 230), c.uniform(22, 31)
    c.disc(0, -17, 22, rgb, c.uniform(11, 17), start=180, end=360)
    c.rectangle(-brim, -21, brim, -17, c.shade(rgb, 0.7))
    for side in (-1, 1):
        c.rectangle(side * 20, -17, side * 24, -8, hair)


def bald(c, hair):
    """Hair at the sides only."""
    for side in (-1, 1):
        c.disc(side * 22, -9, 3, hair, 7)


def face(c, express):
    """A face with this expression in the style of the canvas."""
    (smiley if c.web else person)(c, express)


CLASSES = {f"{'an' if express is angry else 'a'} {express.__name__} face": partial(face, express=express)
           for express in (happy, sad, angry, surprised, sleepy, winking, laughing, disgusted, neutral, frightened)}
