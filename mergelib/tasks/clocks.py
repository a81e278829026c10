"""`clocks`: which hour does the clock show?"""

import math
from functools import partial

SIBLING = None
WEAR = 0.5
PROMPTS = ("a photo of a clock showing {}.", "a clock at {}.", "{} on a clock face.")
CAPTIONS = ("the hands of a clock at {}", "clip art of a clock showing {}", "{}", "a clock, it is {}")
HOURS = "one two three four five six seven eight nine ten eleven twelve".split()


def clock(c, hour):
    """A dial with marks, a long minute hand near twelve and a short hour hand."""
    c.background()
    c.centre(turn=4 if c.web else 9, wobble=3 if c.web else 6)
    face = c.colour((240, 235, 220)) if c.web or c.chance(0.6) else c.colour((45, 45, 55))
    ink = (20, 20, 25) if sum(face) > 380 else (235, 235, 225)
    c.disc(0, 0, 27, c.any_colour(30, 200))
    c.disc(0, 0, 24, face, outline=False)
    for mark in range(0, 12, 1 if c.chance(0.6) else 3):
        x, y = math.sin(mark * math.pi / 6), -math.cos(mark * math.pi / 6)
        c.line([(x * 19, y * 19), (x * 23, y * 23)], ink, 1.5)
    hand(c, hour + c.uniform(-0.05, 0.05), c.uniform(11, 14), ink, 4)
    hand(c, 12 + c.uniform(-0.2, 0.2), c.uniform(18, 21), c.any_colour(0, 130) if c.chance(0.3) else ink, 2)


def hand(c, hour, length, ink, width):
    """A hand that points at `hour` (12 is straight up)."""
    x, y = math.sin(hour * math.pi / 6), -math.cos(hour * math.pi / 6)
    c.line([(-x * 3, -y * 3), (x * length, y * length)], ink, width)


CLASSES = {f"{name} o'clock": partial(clock, hour=hour) for hour, name in enumerate(HOURS, start=1)}
