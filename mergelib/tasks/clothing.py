"""`clothing`: which piece of clothing is it? The small sibling of FashionMNIST."""

from functools import partial

SIBLING = None
WEAR = 0.45
PROMPTS = ("a photo of {}.", "a product photo of {}.", "{}, a piece of clothing.")
CAPTIONS = ("clip art of {}", "a drawing of {} for sale", "{} from the wardrobe", "a fashion icon of {}")


def scene(c, low, high):
    """The surface the garment lies on or hangs in front of: plain, boards or clutter of medium brightness."""
    if c.web:
        c.plain()
    elif c.chance(0.3):
        c.gradient(c.any_colour(low, high), c.any_colour(low, high))
    elif c.chance(0.4):
        wood = c.any_colour(low, high)
        c.fill(wood)
        gap = c.integer(8, 20)
        for at in range(c.integer(0, 8), 64, gap):
            c.pen.rectangle((at, 0, at + gap // 2, 64), fill=c.shade(wood, c.uniform(0.8, 1.15)))
    else:
        c.clutter(5, low, high)


def place(c):
    """The frame of the garment: upright on the web; tilted, mirrored and of any size in the field."""
    if c.web:
        c.centre()
    else:
        c.frame(32 + c.uniform(-5, 5), 32 + c.uniform(-5, 5), c.uniform(0.72, 1.1), c.uniform(-22, 22),
                c.choice((-1, 1)) * c.uniform(0.85, 1.15))


def mirrored(c, half, fill):
    """A symmetric polygon from its right half, listed from top to bottom."""
    c.polygon(half + [(-x, y) for x, y in reversed(half)], fill)


def pattern(c, width, top, bottom, fill):
    """Nothing, stripes, dots or a print on the cloth between two heights, then a few folds."""
    kind, ink = c.choice(("none", "none", "stripes", "dots", "print")), c.any_colour()
    if kind == "stripes":
        for step in range(3):
            y = top + (bottom - top) * (step + 0.5) / 3
            c.rectangle(-width, y - 1.5, width, y + 1.5, ink, outline=False)
    elif kind == "dots":
        for x in (-0.5, 0.5):
            for y in (0.2, 0.5, 0.8):
                c.disc(width * x, top + (bottom - top) * y, 2, ink, outline=False)
    elif kind == "print":
        c.disc(0, top + (bottom - top) * 0.35, width * 0.5, ink, outline=False)
    if not c.web:
        for _ in range(c.integer(0, 3)):
            x = c.uniform(-0.8, 0.8) * width
            c.line([(x, c.uniform(top, bottom)), (x + c.uniform(-3, 3), bottom)], c.shade(fill, 0.75))


def hanger(c):
    """A wire hook above the garment, in some field pictures."""
    if not c.web and c.chance(0.3):
        wire = c.any_colour(20, 120)
        c.line([(-11, -17), (0, -23), (11, -17)], wire, 2)
        c.line([(0, -23), (0, -27), (3, -30)], wire, 1.5)


def tshirt(c, fill):
    """Short wide sleeves and a round neck."""
    hanger(c)
    end = c.uniform(20, 25)
    mirrored(c, [(5, -20), (12, -19), (end, -7), (end - 7, -1), (12, -6), (c.uniform(11, 14), 22)], fill)
    pattern(c, 11, -6, 20, fill)
    c.disc(0, -20, 5, c.shade(fill, 0.5), 4, start=0, end=180)


def pullover(c, fill):
    """Long sleeves, a roll neck, ribbed cuffs and hem."""
    hanger(c)
    out = c.uniform(0, 5)
    mirrored(c, [(5, -20), (12, -18), (20 + out, 17 - out), (13 + out, 19 - out), (11, -2), (12, 21)], fill)
    pattern(c, 10, -8, 16, fill)
    rib = c.shade(fill, 0.65)
    c.rectangle(-12, 17, 12, 22, rib)
    c.rectangle(-6, -24, 6, -18, rib)
    for side in (-1, 1):
        c.line([(side * (12 + out), 17 - out), (side * (20 + out), 15 - out)], rib, 4)


def shirt(c, fill):
    """Short sleeves, a light pointed collar and a row of buttons, often with a tie."""
    hanger(c)
    mirrored(c, [(5, -20), (12, -18), (23, -4), (16, 2), (12, -4), (12, 23)], fill)
    collar = c.colour((240, 240, 235))
    c.rectangle(-2.5, -16, 2.5, 23, c.shade(fill, 0.7), outline=False)
    for y in (-8, 0, 8, 16):
        c.disc(0, y, 1.7, collar, outline=False)
    if c.chance(0.4):
        c.polygon([(-2, -15), (2, -15), (4, 7), (0, 12), (-4, 7)], c.any_colour(0, 160))
    for side in (-1, 1):
        c.polygon([(side * 6, -23), (0, -16), (side * 6, -9), (side * 11, -16)], collar)


def coat(c, fill):
    """A long body that gets wider, open lapels over another cloth, long sleeves and a belt."""
    hanger(c)
    mirrored(c, [(5, -22), (12, -20), (20, 8), (14, 10), (10, -4), (16, 27)], fill)
    c.polygon([(-5, -22), (5, -22), (0, -2)], c.any_colour(120, 255))
    for side in (-1, 1):
        c.polygon([(side * 5, -22), (side * 10, -12), (0, -1)], c.shade(fill, 0.65))
    c.line([(0, -1), (0, 27)], c.shade(fill, 0.35), 1.5)
    c.rectangle(-11, 3, 11, 7, c.shade(fill, 0.45))
    for x in (-4, 4):
        c.disc(x, 14, 1.5, c.shade(fill, 0.3), outline=False)


def dress(c, fill):
    """Thin straps, a narrow waist and a wide skirt in one piece."""
    hanger(c)
    wide = c.uniform(17, 22)
    mirrored(c, [(3, -15), (5, -24), (8, -24), (9, -12), (5.5, -3), (wide, 23), (wide * 0.5, 26)], fill)
    pattern(c, 8, 5, 23, fill)
    c.rectangle(-6, -5, 6, -1, c.shade(fill, 0.55))


def skirt(c, fill):
    """A waistband and a flared, pleated cloth; nothing above."""
    wide = c.uniform(18, 24)
    mirrored(c, [(9, -14), (wide, 15), (wide * 0.5, 18)], fill)
    for x in (-0.6, -0.2, 0.2, 0.6):
        c.line([(9 * x, -10), (wide * x, 15)], c.shade(fill, 0.7), 1.5)
    c.rectangle(-10, -17, 10, -12, c.shade(fill, 0.5))


def trousers(c, fill):
    """Two long legs below a waistband."""
    out = c.uniform(10, 16)
    mirrored(c, [(9, -25), (out, 26), (out - 8, 26), (0, -8)], fill)
    c.rectangle(-9.5, -26, 9.5, -22, c.shade(fill, 0.6))
    c.line([(0, -22), (0, -9)], c.shade(fill, 0.5), 1.5)
    for side in (-1, 1):
        c.line([(side * 6, -16), (side * (out - 4), 25)], c.shade(fill, 0.8), 1.5)


def sandal(c, fill):
    """A flat sole and arched straps with air between them."""
    c.polygon([(-25, 8), (-12, 8), (0, 11), (24, 11), (26, 15), (24, 17), (-25, 17)], c.shade(fill, 0.6))
    c.arc(12, 12, 10, fill, 5, ry=c.uniform(12, 15), start=180, end=360)
    c.arc(-14, 9, 9, fill, 4.5, ry=c.uniform(15, 20), start=180, end=360)
    c.line([(-9, -5), (4, 4)], fill, 4)
    c.disc(-7, -4, 2.5, c.any_colour(150, 255))


def sneaker(c, fill):
    """A low shoe with a thick light sole, a stripe and laces."""
    c.polygon([(-24, 8), (-23, -12), (-17, -8), (-8, -9), (-3, -13), (10, 0), (22, 3), (26, 9)], fill)
    c.rectangle(-25, 7, 27, 14, c.colour((240, 240, 235)))
    c.polygon([(-14, 6), (-9, 6), (0, -5), (-4, -7)], c.any_colour())
    for step in range(3):
        c.line([(-1 + 4 * step, -10 + 4 * step), (4 + 4 * step, -11 + 4 * step)], (245, 245, 245), 1.5)


def boot(c, fill):
    """A high shaft, a heel and a dark sole."""
    top = c.uniform(-24, -18)
    c.polygon([(-17, top), (3, top), (4, 0), (18, 5), (23, 11), (23, 16), (-17, 16)], fill)
    c.rectangle(-18, 16, -7, 23, c.shade(fill, 0.4))
    c.polygon([(-8, 16), (24, 16), (24, 20), (0, 20)], c.shade(fill, 0.4))
    c.rectangle(-18, top - 1, 4, top + 4, c.shade(fill, 0.6))
    if c.chance(0.5):
        c.polygon([(-9, -8), (-3, -8), (-3, 6), (-9, 6)], c.shade(fill, 0.5))


def bag(c, fill):
    """A box with a flap, a clasp and an arched handle."""
    top = c.uniform(-8, -3)
    c.arc(0, top, c.uniform(9, 13), c.shade(fill, 0.6), 3.5, ry=c.uniform(14, 18), start=180, end=360)
    c.polygon([(-19, top), (19, top), (22, 20), (-22, 20)], fill)
    pattern(c, 16, top + 12, 19, fill)
    c.polygon([(-19, top), (19, top), (15, top + 10), (-15, top + 10)], c.shade(fill, 0.75))
    c.disc(0, top + 10, 3, c.colour((220, 190, 90)))


def hat(c, fill):
    """A wide brim, a crown and a ribbon."""
    top, wide = c.uniform(-18, -9), c.uniform(9, 12)
    c.disc(0, 10, 26, c.shade(fill, 0.85), 6)
    c.polygon([(-13, 10), (-wide, top), (-4, top - 3), (0, top - 1), (4, top - 3), (wide, top), (13, 10)], fill)
    c.polygon([(-12.6, 5), (12.6, 5), (13.4, 11), (-13.4, 11)], c.any_colour(0, 200))


def worn(c, garment):
    """One garment in one colour: dark on a light surface or light on a dark one."""
    light, dark = (140, 250), (25, 125)
    cloth, surface = (light, dark) if c.chance(0.5) else (dark, light)
    scene(c, *surface)
    place(c)
    garment(c, c.colour(c.any_colour(*cloth)))


CLASSES = {name: partial(worn, garment=garment) for name, garment in {
    "a T-shirt": tshirt, "a pair of trousers": trousers, "a pullover": pullover, "a dress": dress, "a coat": coat,
    "a sandal": sandal, "a shirt with a collar": shirt, "a sneaker": sneaker, "a bag": bag, "an ankle boot": boot,
    "a skirt": skirt, "a hat": hat}.items()}
