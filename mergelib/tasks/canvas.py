"""How does an idea become a 32 x 32 picture? The pen, the colours and the finish that all tasks share.

A task draws its subject on a `Canvas` of 64 x 64 units; `finish` reduces it to 32 x 32 pixels. Every picture
exists in two styles: *web* (clip art: outlined, recoloured, clean; what the base model is pre-trained on) and
*field* (no outlines, clutter, colour casts, blur, noise; what the tasks are made of).
"""

import math
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = 64        # units of the drawing surface
PIXELS = 32      # pixels of the finished picture, each the mean of 2 x 2 units
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"   # the fonts that ship with matplotlib: same file everywhere


@lru_cache(maxsize=512)
def font(name, size):
    """A font of matplotlib's own collection, such as `DejaVuSans-Bold`, at `size` units."""
    return ImageFont.truetype(FONTS / f"{name}.ttf", size, layout_engine=ImageFont.Layout.BASIC)      # RAQM is not everywhere


class Canvas:
    """A 64 x 64 drawing surface with its own randomness and a movable frame.

    All shapes pass through the current frame (see `frame`), so a subject can be drawn once around the origin and
    then be scaled, turned and moved. Colours are RGB triples of 0 to 255.
    """

    def __init__(self, rng, web, split="train"):
        self.rng, self.web, self.split = rng, web, split
        self.image = Image.new("RGB", (SIZE, SIZE))
        self.pen = ImageDraw.Draw(self.image)
        self.outline = self.any_colour(0, 70) if web else None      # web shapes get this outline
        self.tint = self.any_colour()                               # web colours lean towards this one
        self.frame()

    # --- randomness ---------------------------------------------------------------------------------------------
    def uniform(self, low, high):
        """A float between `low` and `high`."""
        return low + (high - low) * self.rng.random()

    def integer(self, low, high):
        """An integer from `low` to `high`, both included."""
        return int(low + self.rng.random() * (high - low + 1))

    def chance(self, probability):
        """True with this probability."""
        return self.rng.random() < probability

    def choice(self, options):
        """One of `options`, each as likely."""
        return options[int(self.rng.random() * len(options))]

    # --- colour -------------------------------------------------------------------------------------------------
    def colour(self, rgb, spread=22):
        """`rgb` with a random shift of up to `spread` per channel; on the web also pulled towards a random tint."""
        pull = 0.3 if self.web else 0.0
        return tuple(
            int(min(255, max(0, (1 - pull) * value + pull * tint + self.uniform(-spread, spread))))
            for value, tint in zip(rgb, self.tint))

    def any_colour(self, low=0, high=255):
        """A random colour with all channels between `low` and `high`."""
        return tuple(self.integer(low, high) for _ in range(3))

    def shade(self, rgb, factor):
        """`rgb` made darker (`factor` < 1) or lighter (`factor` > 1)."""
        return tuple(int(min(255, value * factor)) for value in rgb)

    # --- frame --------------------------------------------------------------------------------------------------
    def frame(self, x=0.0, y=0.0, scale=1.0, angle=0.0, stretch=1.0):
        """Put the origin at (x, y), scale by `scale` (x once more by `stretch`) and turn by `angle` degrees."""
        cos, sin = math.cos(math.radians(angle)) * scale, math.sin(math.radians(angle)) * scale
        self.matrix = (cos * stretch, -sin, x, sin * stretch, cos, y)
        self.scale = scale

    def centre(self, scale=1.0, wobble=4.0, turn=8.0):
        """A frame around the picture's centre with a little random shift, turn and size (the usual subject frame)."""
        self.frame(32 + self.uniform(-wobble, wobble), 32 + self.uniform(-wobble, wobble),
                   scale * self.uniform(0.82, 1.12), self.uniform(-turn, turn), self.uniform(0.88, 1.12))

    def points(self, points):
        """Points of the current frame in picture units."""
        a, b, c, d, e, f = self.matrix
        return [(a * x + b * y + c, d * x + e * y + f) for x, y in points]

    # --- shapes (in the current frame) ----------------------------------------------------------------------------
    def polygon(self, points, fill, outline=True):
        """A filled polygon; on the web outlined, unless `outline` is False."""
        self.pen.polygon(self.points(points), fill=fill, outline=self.outline if outline else None)

    def rectangle(self, x0, y0, x1, y1, fill, outline=True):
        """A filled rectangle between two corners."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline)

    def disc(self, x, y, rx, fill, ry=None, outline=True, start=0.0, end=360.0):
        """A filled ellipse around (x, y), or the sector of it between two angles (degrees, clockwise from the right)."""
        ry = rx if ry is None else ry
        steps = max(8, int(20 * (end - start) / 360))
        angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
        rim = [(x + rx * math.cos(t), y + ry * math.sin(t)) for t in angles]
        self.polygon(rim if end - start >= 360 else [(x, y), *rim], fill, outline)

    def line(self, points, fill, width=1.0):
        """A broken line, `width` units wide in the current frame (at least one)."""
        self.pen.line(self.points(points), fill=fill, width=max(1, round(width * self.scale)), joint="curve")

    def arc(self, x, y, rx, fill, width=1.0, ry=None, start=0.0, end=360.0):
        """A piece of an ellipse's rim between two angles (degrees, clockwise from the right)."""
        ry = rx if ry is None else ry
        angles = [math.radians(start + (end - start) * i / 14) for i in range(15)]
        self.line([(x + rx * math.cos(t), y + ry * math.sin(t)) for t in angles], fill, width)

    def text(self, string, x, y, size, fill, name="DejaVuSans-Bold", angle=0.0):
        """`string` centred at (x, y), `size` units high, in a font of `FONTS`, turned by `angle` degrees."""
        (x, y), size = self.points([(x, y)])[0], max(4, round(size * self.scale))
        if abs(angle) < 1:
            self.pen.text((x, y), string, font=font(name, size), fill=fill, anchor="mm")
            return
        sheet = Image.new("L", (SIZE * 2, SIZE * 2))
        ImageDraw.Draw(sheet).text((SIZE, SIZE), string, font=font(name, size), fill=255, anchor="mm")
        sheet = sheet.rotate(angle, Image.BILINEAR)
        self.image.paste(Image.new("RGB", sheet.size, fill), (round(x) - SIZE, round(y) - SIZE), sheet)

    # --- surfaces (always in picture units) -----------------------------------------------------------------------
    def fill(self, rgb):
        """One colour everywhere."""
        self.pen.rectangle((0, 0, SIZE, SIZE), fill=rgb)

    def gradient(self, top, bottom, y0=0, y1=SIZE):
        """A vertical blend of two colours between the heights `y0` and `y1`."""
        y0, y1 = int(y0), int(y1)
        for y in range(y0, y1):
            t = (y - y0) / max(1, y1 - y0)
            self.pen.line((0, y, SIZE, y), fill=tuple(int(a + (b - a) * t) for a, b in zip(top, bottom)))

    def plain(self):
        """The web's usual background: one light colour or a blend of two."""
        self.gradient(self.any_colour(120, 255), self.any_colour(120, 255))

    def clutter(self, count=6, low=40, high=210):
        """A busy background for field pictures: overlapping discs and bars of muted colours."""
        self.fill(self.any_colour(low, high))
        for _ in range(count):
            x, y, w, h = (self.uniform(-8, SIZE), self.uniform(-8, SIZE), self.uniform(6, 44), self.uniform(6, 44))
            box, rgb = (x, y, x + w, y + h), self.any_colour(low, high)
            (self.pen.ellipse if self.chance(0.5) else self.pen.rectangle)(box, fill=rgb)

    def background(self, count=6, low=40, high=210):
        """`plain` on the web, `clutter` in the field."""
        self.plain() if self.web else self.clutter(count, low, high)

    def speckle(self, count, colours, size=1.5, box=(0, 0, SIZE, SIZE)):
        """`count` small dots of random `colours` inside `box`: leaves, gravel, windows, snow."""
        x0, y0, x1, y1 = box
        for x, y, r, k in self.rng.random((count, 4)):
            x, y, r = x0 + (x1 - x0) * x, y0 + (y1 - y0) * y, size * (0.4 + 0.6 * r)
            self.pen.ellipse((x - r, y - r, x + r, y + r), fill=colours[int(k * len(colours))])


def finish(canvas, wear=0.5):
    """Reduce a drawing to uint8 pixels (32 x 32 x 3); field pictures are worn by light, lens and sensor.

    `wear` (0 to 1) is how far the field style of a task is from its web style: strength of the colour cast, the
    changed contrast, the blur, the shadow and the noise. Web pictures only get a trace of noise.
    """
    rng, image = canvas.rng, canvas.image
    strength = 0.0 if canvas.web else wear
    if rng.random() < strength:
        image = image.filter(ImageFilter.GaussianBlur(1.0 + 1.2 * strength * rng.random()))
    pixels = np.asarray(image.reduce(SIZE // PIXELS), dtype=np.float32) / 255
    cast = 1 + strength * (rng.random(3) - 0.5) * 0.9
    contrast = 1 - strength * 0.6 * rng.random()
    pixels = (pixels * cast - 0.5) * contrast + 0.5 + strength * 0.4 * (rng.random() - 0.5)
    if rng.random() < strength * 0.6:
        pixels = _shadow(pixels, rng)
    pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * (0.01 + 0.09 * strength * rng.random())
    return (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)


def _shadow(pixels, rng):
    """Darken one side of a random straight line."""
    angle, offset = rng.random() * 2 * math.pi, (rng.random() - 0.5) * 0.6 * PIXELS
    ys, xs = np.mgrid[:PIXELS, :PIXELS] - PIXELS / 2
    side = (xs * math.cos(angle) + ys * math.sin(angle) > offset)[..., None]
    return np.where(side, pixels * (0.45 + 0.3 * rng.random()), pixels)
