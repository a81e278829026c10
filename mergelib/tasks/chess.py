"""`chess`: which chess piece is it, and is it white or black?"""

from functools import partial

SIBLING = None
WEAR = 0.45
PROMPTS = ("a photo of {} on a chessboard.", "a chess game with {}.", "{}, a chess piece.")
CAPTIONS = ("clip art of {} from chess", "the chess symbol of {}", "a drawing of {}", "{} in a chess book")
FILLED = dict(zip(("king", "queen", "rook", "bishop", "knight", "pawn"), "\u265a\u265b\u265c\u265d\u265e\u265f"))
HOLLOW = dict(zip(FILLED, "\u2654\u2655\u2656\u2657\u2658\u2659"))


def checks(c, size, x0, y0, light, dark):
    """A chessboard seen from above."""
    c.fill(light)
    for row in range(-1, int(64 / size) + 2):
        for column in range(-1, int(64 / size) + 2):
            if (row + column) % 2:
                x, y = x0 + column * size, y0 + row * size
                c.pen.rectangle((x, y, x + size, y + size), fill=dark)


def perspective(c, light, dark):
    """A chessboard seen by a player, with a room behind it."""
    c.clutter(5, 70, 180)
    edge, shift = c.uniform(22, 42), c.uniform(-1, 1)
    rows = [edge, edge + 6, edge + 16, 64]
    c.pen.rectangle((0, edge, 64, 64), fill=light)
    for row, (y0, y1) in enumerate(zip(rows, rows[1:])):
        top, bottom = 6 + 0.3 * y0, 6 + 0.3 * y1
        for k in range(-5 + row % 2, 5, 2):
            x = k + shift
            c.pen.polygon([(32 + x * top, y0), (32 + (x + 1) * top, y0),
                           (32 + (x + 1) * bottom, y1), (32 + x * bottom, y1)], fill=dark)


def board(c):
    """The background: plain or flat squares on the web, a board of any medium colours in the field."""
    if c.web and c.chance(0.5):
        return c.fill(c.any_colour(110, 210))
    base = c.any_colour(85, 140)
    light, dark = c.shade(base, 1.35), c.shade(base, 0.85)
    if c.web or c.chance(0.3):
        size = c.uniform(20, 44)
        checks(c, size, c.uniform(-size, 0), c.uniform(-size, 0), light, dark)
    else:
        perspective(c, light, dark)


def lathe(c, profile, fill):
    """A turned piece from its right half, listed from top to bottom."""
    c.polygon(profile + [(-x, y) for x, y in reversed(profile)], fill)


def foot(c, fill, neck, top):
    """What all pieces stand on: a stem that gets wider downwards, a collar on top, a wide base."""
    lathe(c, [(neck, top), (neck + 1, 8), (11, 17)], fill)
    lathe(c, [(12, 16), (15, 22), (15, 26)], fill)
    lathe(c, [(neck + 4, top - 1), (neck + 4, top + 3)], fill)


def pawn(c, fill):
    """A small ball on a short stem."""
    foot(c, fill, 4, 1)
    c.disc(0, -6, c.uniform(8, 9.5), fill)


def rook(c, fill):
    """A tower with battlements."""
    foot(c, fill, 8, -10)
    c.polygon([(-14, -11), (-14, -24), (-8, -24), (-8, -18), (-3, -18), (-3, -24), (3, -24), (3, -18), (8, -18),
               (8, -24), (14, -24), (14, -11)], fill)


def bishop(c, fill):
    """A pointed mitre with a slit."""
    foot(c, fill, 4, 1)
    lathe(c, [(0, -23), (5, -17), (9, -8), (8, -2), (5, 1)], fill)
    c.disc(0, -24, 3, fill)
    c.line([(1, -6), (7, -15)], c.shade(fill, 0.5) if sum(fill) > 300 else (150, 150, 150), 2)


def queen(c, fill):
    """A crown with many points, a little ball on each."""
    foot(c, fill, 5, -1)
    c.polygon([(-7, -2), (-17, -20), (-8, -13), (-6, -24), (0, -14), (6, -24), (8, -13), (17, -20), (7, -2)], fill)
    for x, y in ((-17, -20), (-6, -24), (6, -24), (17, -20)):
        c.disc(x, y, 2.6, fill)


def king(c, fill):
    """A wide closed head below a cross."""
    foot(c, fill, 5, -1)
    c.polygon([(-2, -29), (2, -29), (2, -25), (6, -25), (6, -21), (2, -21), (2, -15), (-2, -15), (-2, -21), (-6, -21),
               (-6, -25), (-2, -25)], fill)
    lathe(c, [(4, -15), (12, -13), (6, -2)], fill)


def knight(c, fill):
    """A horse's head and neck."""
    c.polygon([(-11, 18), (-8, 8), (-1, -2), (-8, 1), (-14, 4), (-18, 0), (-15, -8), (-9, -17), (-4, -20), (-3, -26),
               (2, -21), (9, -16), (13, -4), (12, 18)], fill)
    lathe(c, [(12, 16), (15, 22), (15, 26)], fill)
    c.disc(-6, -12, 1.8, c.shade(fill, 0.3) if sum(fill) > 300 else (170, 170, 170), outline=False)


PIECES = {"king": king, "queen": queen, "rook": rook, "bishop": bishop, "knight": knight, "pawn": pawn}


def tone(c, white):
    """Ivory, maple or marble for white; ebony, walnut or steel for black."""
    if white:
        return c.colour(c.choice(((245, 240, 225), (240, 220, 185), (235, 235, 240))), 14)
    return c.colour(c.choice(((25, 22, 22), (55, 30, 20), (30, 35, 50))), 12)


def neighbours(c):
    """Parts of other pieces at the left and right edges of a field picture."""
    for x in (c.uniform(-6, 1), c.uniform(63, 70)):
        if c.chance(0.4):
            c.frame(x, c.uniform(14, 40), c.uniform(0.4, 0.6))
            c.choice(list(PIECES.values()))(c, tone(c, c.chance(0.5)))


def figurine(c, kind, white):
    """The printed symbol of a piece: dark, or light with a dark rim."""
    ink = tone(c, False)
    c.text(FILLED[kind], 0, 0, 62, tone(c, True) if white else ink, name="DejaVuSans")
    if white:
        c.text(HOLLOW[kind], 0, 0, 62, ink, name="DejaVuSans")


def piece(c, kind, white):
    """One piece: on the web often as printed in books, in the field as it stands on the board."""
    board(c)
    if c.web:
        c.centre()
        return figurine(c, kind, white) if c.chance(0.5) else PIECES[kind](c, tone(c, white))
    neighbours(c)
    c.frame(32 + c.uniform(-6, 6), 33 + c.uniform(-4, 4), c.uniform(0.75, 1.05), c.uniform(-14, 14),
            c.choice((-1, 1)) * c.uniform(0.85, 1.15))
    c.disc(c.uniform(-8, 8), 25, 19, (35, 32, 30), 4)
    PIECES[kind](c, tone(c, white))
    c.line([(4, 10), (6, 20)], (250, 250, 250) if white else (110, 105, 100), 1.5)


CLASSES = {f"a {colour} {kind}": partial(piece, kind=kind, white=colour == "white")
           for colour in ("white", "black") for kind in PIECES}
