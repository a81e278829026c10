"""`textures`: what is the pattern of this surface like? The small sibling of DTD."""

import math
from functools import partial

SIBLING = "DTD"
WEAR = 0.4
PROMPTS = ("a photo of a {} texture.", "a photo of a {} surface.", "a {} pattern.")
CAPTIONS = ("a close-up of something {}", "clip art of a {} pattern", "{} wallpaper", "the material looks {}")
REACH = 58      # half the width of a surface: enough to cover the picture at any angle


class Surface:
    """A sheet with its own scale, angle and slant (its far side looks smaller), and three colours."""

    def __init__(self, c):
        self.c = c
        self.slant = 0.0 if c.web else c.uniform(-0.007, 0.007)
        if c.web:
            c.frame(32 + c.uniform(-6, 6), 32 + c.uniform(-6, 6), c.uniform(0.95, 1.15), c.uniform(-5, 5))
        else:
            c.frame(32 + c.uniform(-6, 6), 32 + c.uniform(-6, 6), c.uniform(0.85, 1.35), c.uniform(0, 360),
                    c.uniform(0.85, 1.15))
        self.base, self.ink = contrast(c)
        self.third = c.any_colour(20, 235)
        c.fill(self.base)

    def bend(self, points):
        """The points as the slanted sheet shows them."""
        return [(x * (1 + self.slant * y), y * (1 + self.slant * y / 2)) for x, y in points]

    def patch(self, points, rgb, outline=True):
        """A filled polygon."""
        self.c.polygon(self.bend(points), rgb, outline)

    def line(self, points, rgb, width):
        """A broken line."""
        self.c.line(self.bend(points), rgb, width)

    def dot(self, x, y, radius, rgb, outline=True):
        """A disc."""
        self.patch(ring(x, y, radius, 10), rgb, outline)

    def cells(self, wide, high, shift=0.0):
        """Places (x, y, column + row) of a lattice whose odd rows move by `shift`, if they are in the picture."""
        rows, columns = int(REACH / high) + 1, int(REACH / wide) + 1
        for j in range(-rows, rows + 1):
            for i in range(-columns, columns + 1):
                x, y = (i + j % 2 * shift) * wide, j * high
                px, py = self.c.points(self.bend([(x, y)]))[0]
                if -wide < px < 64 + wide and -wide < py < 64 + wide:
                    yield x, y, i + j

    def anywhere(self, count, numbers=1):
        """`count` random places on the sheet, each with some random `numbers` of 0 to 1."""
        for x, y, *more in self.c.rng.random((count, 2 + numbers)).tolist():
            yield 90 * x - 45, 90 * y - 45, *more


def texture(c, pattern):
    """A whole picture of one pattern."""
    pattern(Surface(c))


def contrast(c):
    """Two colours that differ in brightness: strongly on the web, by little or much in the field."""
    gap = c.uniform(110, 170) if c.web else c.uniform(75, 140)
    dark = [c.uniform(20, 235 - gap) for _ in range(3)]
    pair = tuple(map(int, dark)), tuple(int(v + gap * c.uniform(0.75, 1.15)) for v in dark)
    return pair if c.chance(0.5) else pair[::-1]


def ring(x, y, radius, corners, turn=0.0):
    """Corners of a regular polygon."""
    angles = [turn + k * 2 * math.pi / corners for k in range(corners)]
    return [(x + radius * math.cos(t), y + radius * math.sin(t)) for t in angles]


def square(x, y, wide, high):
    """Corners of a rectangle around (x, y)."""
    return [(x - wide / 2, y - high / 2), (x + wide / 2, y - high / 2),
            (x + wide / 2, y + high / 2), (x - wide / 2, y + high / 2)]


def striped(s):
    """Straight broad stripes."""
    for x in range(-REACH, REACH, 12):
        s.patch(square(x, 0, 6, 2 * REACH), s.ink)


def dotted(s):
    """Rows of dots."""
    for x, y, _ in s.cells(14, 12, 0.5):
        s.dot(x, y, 3.6, s.ink)


def checkered(s):
    """A chessboard."""
    for x, y, k in s.cells(11, 11):
        if k % 2:
            s.patch(square(x, y, 11, 11), s.ink)


def woven(s):
    """Strips that pass over and under each other."""
    for x, y, k in s.cells(15, 15):
        wide, high = (16, 9) if k % 2 else (9, 16)
        s.patch(square(x, y, wide, high), s.ink)
        s.line([(x - 7, y), (x + 7, y)] if k % 2 else [(x, y - 7), (x, y + 7)], s.c.shade(s.ink, 0.6), 1.5)


def cracked(s):
    """Thin jagged cracks between plates of all shapes."""
    knots = {(i, j): (i * 17 + s.c.uniform(-6, 6), j * 17 + s.c.uniform(-6, 6))
             for i in range(-4, 5) for j in range(-4, 5)}
    for (i, j), (x, y) in knots.items():
        for other in ((i + 1, j), (i, j + 1)):
            if other in knots and s.c.chance(0.85):
                u, v = knots[other]
                middle = ((x + u) / 2 + s.c.uniform(-3, 3), (y + v) / 2 + s.c.uniform(-3, 3))
                s.line([(x, y), middle, (u, v)], s.ink, 1.6)


def bubbly(s):
    """Bubbles of all sizes with a rim and a gleam."""
    for x, y, size in s.anywhere(26):
        size = 4 + 8 * size * size
        s.dot(x, y, size, s.ink)
        s.dot(x, y, size - 2, s.base, False)
        s.dot(x - size * 0.3, y - size * 0.3, size * 0.22, s.ink, False)


def zigzagged(s):
    """Parallel zigzag lines with sharp corners."""
    for y in range(-REACH, REACH, 13):
        s.line([(k * 8, y + k % 2 * 10) for k in range(-8, 9)], s.ink, 4)


def wavy(s):
    """Parallel long waves."""
    phase = s.c.uniform(0, 6)
    for y in range(-REACH, REACH, 9):
        s.line([(x, y + 5 * math.sin(x * 0.2 + phase)) for x in range(-REACH, REACH, 4)], s.ink, 3)


def grid(s):
    """Thin lines in both directions."""
    for k in range(-REACH, REACH, 11):
        s.line([(k, -REACH), (k, REACH)], s.ink, 2)
        s.line([(-REACH, k), (REACH, k)], s.ink, 2)


def plaid(s):
    """Broad crossing bands, darker where they overlap, with a thin line between."""
    blend = tuple((a + b) // 2 for a, b in zip(s.base, s.ink))
    for k in range(-54, 55, 27):
        s.patch(square(k, 0, 12, 2 * REACH), blend, False)
        s.patch(square(0, k, 2 * REACH, 12), blend, False)
    for x, y, _ in s.cells(27, 27):
        s.patch(square(x, y, 12, 12), s.ink)
    for k in range(-40, 41, 27):
        s.line([(k, -REACH), (k, REACH)], s.third, 1.5)
        s.line([(-REACH, k), (REACH, k)], s.third, 1.5)


def spiralled(s):
    """Rows of spirals."""
    turn = s.c.uniform(0, 6)
    for x, y, _ in s.cells(27, 27, 0.5):
        steps = [(1.3 + k * 0.5, turn + k * 0.6) for k in range(24)]
        s.line([(x + r * math.cos(t), y + r * math.sin(t)) for r, t in steps], s.ink, 2.4)


def ringed(s):
    """Rings around one centre."""
    x, y = s.c.uniform(-14, 14), s.c.uniform(-14, 14)
    for radius in range(60, 0, -5):
        s.dot(x, y, radius, s.ink if radius % 10 else s.base)


def honeycombed(s):
    """Six-sided cells with thin walls."""
    for x, y, _ in s.cells(15.6, 13.5, 0.5):
        s.patch(ring(x, y, 7.4, 6, math.pi / 6), s.ink)


def scaly(s):
    """Rows of round scales that overlap like tiles."""
    for x, y, _ in reversed(list(s.cells(17, 8.5, 0.5))):
        s.dot(x, y, 9.2, s.ink)
        s.dot(x, y - 1.2, 7.4, s.base, False)


def marbled(s):
    """Soft meandering veins of two colours, broad and fine."""
    for y, _, a, b, width in s.anywhere(9, 3):
        bow = [(x, y * 1.2 + 11 * math.sin(x * 0.07 + 6 * a) + 6 * math.sin(x * 0.19 + 6 * b))
               for x in range(-REACH, REACH, 5)]
        s.line(bow, s.ink if a < 0.7 else s.third, 1 + 6 * width * width)


def fibrous(s):
    """Many fine hairs in nearly the same direction."""
    tones = [s.ink, s.ink, s.c.shade(s.ink, 0.7), s.c.shade(s.base, 0.8)]
    for x, y, lean, k in s.anywhere(75, 2):
        dx = 7 * (lean - 0.5)
        s.line([(x - dx, y - 16), (x + dx, y + 16)], tones[int(4 * k)], 1)


def bricked(s):
    """Courses of bricks with joints between."""
    for x, y, _ in s.cells(21, 11, 0.5):
        s.patch(square(x, y, 18.4, 8.4), s.c.shade(s.ink, s.c.uniform(0.85, 1.1)))


def starry(s):
    """Rows of five-pointed stars."""
    turn = s.c.uniform(0, 1)
    for x, y, _ in s.cells(21, 19, 0.5):
        tips, dents = ring(x, y, 9, 5, turn), ring(x, y, 3.6, 5, turn + math.pi / 5)
        s.patch([point for pair in zip(tips, dents) for point in pair], s.ink)


def blotchy(s):
    """Irregular stains of two colours."""
    for x, y, size, k in s.anywhere(17, 2):
        rim = [(x + (u - x) * (q := s.c.uniform(0.5, 1.2)), y + (v - y) * q) for u, v in ring(x, y, 6 + 9 * size, 9)]
        s.patch(rim, s.ink if k < 0.65 else s.third)


def sprinkled(s):
    """Short thick dashes in all directions and several colours."""
    tones = [s.ink, s.third, s.ink]
    for x, y, angle, k in s.anywhere(55, 2):
        dx, dy = 3.6 * math.cos(6.3 * angle), 3.6 * math.sin(6.3 * angle)
        s.line([(x - dx, y - dy), (x + dx, y + dy)], tones[int(3 * k)], 3)


PATTERNS = {
    "striped": striped, "dotted": dotted, "checkered": checkered, "woven": woven, "cracked": cracked, "bubbly": bubbly,
    "zigzagged": zigzagged, "wavy": wavy, "latticed": grid, "plaid": plaid, "spiralled": spiralled, "ringed": ringed,
    "honeycombed": honeycombed, "scaly": scaly, "marbled": marbled, "fibrous": fibrous, "bricked": bricked,
    "starry": starry, "blotchy": blotchy, "sprinkled": sprinkled}
CLASSES = {name: partial(texture, pattern=pattern) for name, pattern in PATTERNS.items()}
