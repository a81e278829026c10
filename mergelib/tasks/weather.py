"""`weather`: which weather does the symbol stand for?"""

import math
from collections import namedtuple
from functools import partial

SIBLING = None
WEAR = 0.55
PROMPTS = ("a weather symbol for {}.", "a weather app that shows {}.", "an icon for {}.")
CAPTIONS = ("the forecast says {}", "clip art of {}", "a drawing that stands for {}", "expect {} today", "{}")

SUN, CLOUD, DARK, DROP, ICE = (250, 200, 50), (235, 238, 242), (150, 155, 170), (120, 190, 250), (190, 225, 250)
FLASH, MOON = (255, 220, 40), (245, 235, 170)
RAINBOW = ((220, 60, 60), (240, 220, 70), (70, 110, 220))

# How an icon is drawn: `rim` is the colour around its areas, `area` and `stroke` give the colour to use for a colour.
Style = namedtuple("Style", "rim area stroke")


def weather(c, symbol):
    """A clean icon on the web; in the field an icon on an app's tile over a photo, in one of four styles."""
    style = web_style(c) if c.web else c.choice((coloured, filled, filled, lined))(c)
    c.centre(0.95 if c.web else c.uniform(0.7, 0.95), wobble=2 if c.web else 6, turn=2 if c.web else 12)
    symbol(c, style)
    if not c.web and c.chance(0.5):
        caption(c)


def web_style(c):
    """Coloured areas with an outline and darker strokes on a plain ground."""
    c.plain()
    return Style(c.outline, c.colour, lambda rgb: c.shade(c.colour(rgb), 0.55))


def coloured(c):
    """Natural colours on a blue or dark tile."""
    tile(c, c.shade(c.colour((80, 130, 190), 35), c.uniform(0.35, 0.75)))
    rim = c.shade(c.image.getpixel((32, 4)), 0.8)
    return Style(rim, c.colour, c.colour)


def filled(c):
    """One colour for everything, bright on dark or dark on bright."""
    paper, ink = papers(c)
    tile(c, paper)
    return Style(paper, lambda rgb: ink, lambda rgb: ink)


def lined(c):
    """Thin contours without filling."""
    paper, ink = papers(c)
    tile(c, paper)
    return Style(ink, lambda rgb: paper, lambda rgb: ink)


def papers(c):
    """Two colours that differ in brightness."""
    pair = c.any_colour(15, 95), c.any_colour(160, 255)
    return pair if c.chance(0.5) else pair[::-1]


def tile(c, rgb):
    """A photo with a tile of one colour in its middle, square or round."""
    c.clutter(5)
    edge = c.uniform(-3, 5)
    if c.chance(0.2):
        c.pen.ellipse((edge - 5, edge - 5, 69 - edge, 69 - edge), fill=rgb)
    else:
        c.pen.rectangle((edge, c.uniform(-3, 3), 64 - edge, 64 - c.uniform(-3, 3)), fill=rgb)


def rare(c):
    """True for the variants of a symbol that the web does not know."""
    return not c.web and c.chance(0.45)


def caption(c):
    """A degree reading or a bar at a corner of the screen, as apps have it."""
    c.frame()
    if c.chance(0.6):
        c.text(f"{c.integer(-9, 35)}°", c.choice((11, 53)), c.choice((6, 59)), 11, c.any_colour(90, 255))
    else:
        y = c.choice((2, 61))
        c.line([(c.uniform(4, 20), y), (c.uniform(40, 60), y)], c.any_colour(40, 240), 3)


def area(c, style, discs, rgb):
    """A shape made of `discs` (x, y, radius) with one rim around all of them."""
    for x, y, radius in discs:
        c.disc(x, y, radius + 1.4, style.rim, outline=False)
    fill = style.area(rgb)
    for x, y, radius in discs:
        c.disc(x, y, radius - 0.6, fill, outline=False)


def cloud(c, style, x=0.0, y=-7.0, size=1.0, rgb=CLOUD):
    """A cloud: a big bump, two small ones, a filled middle."""
    lean = c.choice((-1, 1))
    bumps = ((-13 * lean, 3, 8), (-1, -4, 11), (12 * lean, 2, 9), (-6, 4, 7), (4, 4, 7))
    area(c, style, [(x + dx * size, y + dy * size, r * size) for dx, dy, r in bumps], rgb)


def sun(c, style, x=0.0, y=0.0, size=1.0):
    """A disc with rays."""
    rays, stroke = c.choice((8, 8, 10)), style.stroke(SUN)
    for k in range(rays):
        dx, dy = math.cos(k * 2 * math.pi / rays), math.sin(k * 2 * math.pi / rays)
        c.line([(x + dx * 15 * size, y + dy * 15 * size), (x + dx * 24 * size, y + dy * 24 * size)], stroke, 3.5 * size)
    area(c, style, [(x, y, 11 * size)], SUN)


def sunny(c, style):
    """The sun alone."""
    sun(c, style)


def cloudy(c, style):
    """Two clouds, or one and nothing else."""
    if rare(c):
        cloud(c, style, 0, 0, 1.15)
        return
    side = c.choice((-1, 1))
    cloud(c, style, 8 * side, -9, 0.85, DARK)
    cloud(c, style, -4 * side, 6, 1.0)


def partly_cloudy(c, style):
    """The sun behind a cloud."""
    sun(c, style, c.choice((-9, 9)), -10, 0.85)
    cloud(c, style, 0, 9, 0.95)


def rainy(c, style):
    """A cloud with slanted streaks of rain, or with three drops."""
    cloud(c, style, rgb=DARK)
    stroke, slant = style.stroke(DROP), c.choice((-5, -3, 3))
    if rare(c):
        for x, y in ((-13, 13), (0, 16), (13, 13)):
            c.polygon([(x, y - 7), (x + 4, y + 2), (x + 3, y + 5), (x - 3, y + 5), (x - 4, y + 2)], stroke)
        return
    for x in (-13, -4, 5, 14):
        c.line([(x, 8), (x + slant, 22)], stroke, 3)


def snowy(c, style):
    """One large flake, or two small ones."""
    if rare(c):
        flake(c, style, -11, -9, 0.6)
        flake(c, style, 11, 10, 0.6)
    else:
        flake(c, style, 0, 0, 1)


def flake(c, style, x, y, size):
    """Six branched arms."""
    stroke = style.stroke(ICE)
    for k in range(6):
        dx, dy = math.sin(k * math.pi / 3), math.cos(k * math.pi / 3)
        c.line([(x, y), (x + dx * 25 * size, y + dy * 25 * size)], stroke, 3)
        for side in (-1, 1):
            u, v = math.sin(k * math.pi / 3 + side * 0.42), math.cos(k * math.pi / 3 + side * 0.42)
            c.line([(x + dx * 14 * size, y + dy * 14 * size), (x + u * 22 * size, y + v * 22 * size)], stroke, 2)


def stormy(c, style):
    """A big flash of lightning below a cloud, or alone."""
    alone, side = rare(c), c.choice((-1, 1))
    if not alone:
        cloud(c, style, y=-10, rgb=DARK)
    x, y, size = (0, -17, 1.5) if alone else (c.uniform(-3, 3), 0, 1)
    bolt = [(3, -3), (-8, 13), (-1, 13), (-6, 27), (9, 8), (2, 8), (9, -3)]
    points = [(x + side * px * size, y + py * size) for px, py in bolt]
    c.polygon(points, style.stroke(FLASH))


def foggy(c, style):
    """A stack of level bars, or fewer of them below a cloud."""
    stroke, below = style.stroke(CLOUD), rare(c)
    if below:
        cloud(c, style, y=-11, size=0.9)
    for y in range(6 if below else -18, 25 if below else 19, 9):
        shift = c.uniform(-4, 4)
        c.line([(shift - 20, y), (shift + 20, y)], stroke, 4)


def windy(c, style):
    """Lines that curl up at their ends."""
    stroke, side = style.stroke(ICE), c.choice((-1, 1))
    for y, end, up in ((-5, 6, -1), (3, 14, -1), (11, 4, 1)):
        curl = [(end + 7 * math.sin(t), y + up * 7 * (1 - math.cos(t))) for t in (0, 0.7, 1.4, 2.1, 2.8, 3.5, 4.2)]
        c.line([(side * x, v) for x, v in [(-23, y), *curl]], stroke, 3)


def hail(c, style):
    """A cloud with big round grains."""
    cloud(c, style, y=-9, rgb=DARK)
    for x, y in ((-14, 12), (0, 12), (14, 12), (-7, 22), (7, 22)):
        c.disc(x, y, 4, style.stroke(ICE))


def rainbow(c, style):
    """Concentric arches, some with a cloud at one foot."""
    for radius, rgb in zip((25, 18, 11), RAINBOW):
        c.arc(0, 12, radius, style.stroke(rgb), 4.5, start=180, end=360)
    if rare(c):
        cloud(c, style, c.choice((-17, 17)), 13, 0.6)


def moonlit(c, style):
    """A crescent and two stars."""
    side = c.choice((-1, 1))
    outer = [(math.cos(t), math.sin(t)) for t in (0.7 + k * 0.3254 for k in range(16))]
    inner = [(8 + 15 * math.cos(t), 15 * math.sin(t) - 1) for t in (5.2 - k * 0.27 for k in range(16))]
    c.polygon([(side * x, y) for x, y in [*((21 * x - 3, 21 * y) for x, y in outer), *inner]], style.stroke(MOON))
    for x, y, size in ((11, -9, 5), (15, 7, 4)):
        star = [(0, -1), (0.3, -0.3), (1, 0), (0.3, 0.3), (0, 1), (-0.3, 0.3), (-1, 0), (-0.3, -0.3)]
        c.polygon([(side * (x + dx * size), y + dy * size) for dx, dy in star], style.stroke(MOON))


def tornado(c, style):
    """A funnel of bars that get shorter downwards."""
    stroke, side = style.stroke(DARK if c.web else ICE), c.choice((-1, 1))
    for k, (half, shift) in enumerate(((24, 0), (18, 2), (12, 4), (8, 2), (4, -2), (2, -5))):
        y = k * 8 - 21
        c.line([(side * (shift - half), y), (side * (shift + half), y + 2)], stroke, 4.5)


SYMBOLS = {
    "sunny weather": sunny, "cloudy weather": cloudy, "partly cloudy weather": partly_cloudy, "rainy weather": rainy,
    "snowy weather": snowy, "a thunderstorm": stormy, "foggy weather": foggy, "windy weather": windy, "hail": hail,
    "a rainbow": rainbow, "a clear night": moonlit, "a tornado": tornado}
CLASSES = {name: partial(weather, symbol=symbol) for name, symbol in SYMBOLS.items()}
