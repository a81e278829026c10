"""`aerial`: what lies below, seen from straight above? The small sibling of RESISC45."""

import math
from itertools import product

SIBLING = "RESISC45"
WEAR = 0.45
PROMPTS = ("an aerial photo of {}.", "a satellite picture of {}.", "{} seen from above.")
CAPTIONS = ("{} from a bird's eye view", "a map symbol of {}", "clip art of {} from the air", "{} on an aerial map")
GROUNDS = ((96, 122, 70), (128, 138, 84), (168, 150, 104), (132, 112, 86), (150, 146, 138), (205, 208, 212))
SEAS = ((38, 74, 104), (52, 98, 110), (60, 92, 82), (24, 46, 78), (96, 116, 116))
ROOFS = ((170, 90, 66), (120, 110, 104), (196, 188, 176), (146, 66, 52), (92, 92, 104))
CROPS = ((110, 150, 70), (150, 170, 90), (180, 150, 95), (80, 110, 60), (140, 100, 70))
WHITE = (238, 238, 234)


def view(c):
    """The subject's frame: upright on the web, from any side and height in the field."""
    if c.web:
        c.centre(turn=14)
    else:
        c.frame(c.uniform(26, 38), c.uniform(26, 38), c.uniform(0.76, 1.15), c.uniform(0, 360), c.uniform(0.9, 1.1))


def land(c, busy=True):
    """Plain on the web; in the field a piece of country in any season, with plots, houses (if `busy`) and trees."""
    ground = c.colour(c.choice(GROUNDS))
    c.plain() if c.web else c.fill(ground)
    for size in (22, 16, 4, 4, 3) if busy and not c.web else ():
        c.frame(c.uniform(0, 64), c.uniform(0, 64), c.uniform(0.6, 1.2), c.uniform(0, 360))
        c.rectangle(-size, -size * 0.7, size, size * 0.7, c.colour(c.choice(ROOFS) if size < 5 else ground))
    c.speckle(0 if c.web else c.integer(0, 20), [c.shade(ground, f) for f in (0.6, 0.75, 1.15)], 2.2)
    view(c)


def sea(c):
    """Water everywhere: flat blue on the web, any sea with glints in the field. Returns its colour."""
    water = c.colour((95, 160, 215) if c.web else c.choice(SEAS))
    c.fill(water)
    c.speckle(0 if c.web else 24, [c.shade(water, f) for f in (0.88, 1.1, 1.2)], 1.4)
    view(c)
    return water


def blob(c, x, y, rx, ry, rgb, rough=0.3):
    """An irregular round patch."""
    rim = [1 + rough * (r - 0.5) for r in c.rng.random(14)]
    c.polygon([(x + rx * r * math.cos(i * 0.449), y + ry * r * math.sin(i * 0.449)) for i, r in enumerate(rim)], rgb)


def raised(c, shape, *place, rgb):
    """A shape of the canvas that throws a shadow in the field."""
    if not c.web:
        a, b, x, d, e, y = here = c.matrix
        c.matrix = (a, b, x + 2, d, e, y + 2)
        shape(*place, (35, 38, 40))
        c.matrix = here
    shape(*place, rgb)


def asphalt(c):
    """A road's colour: dark when new, pale when old."""
    return c.colour((120, 120, 125) if c.web else c.choice(((92, 92, 96), (140, 138, 134), (172, 168, 160))), 14)


def road(c, points, width, rgb):
    """A road with a middle line."""
    c.line(points, c.outline or rgb, width + 2)
    c.line(points, rgb, width)
    c.line(points, WHITE, 1)


def box(c, x, y, w, h, rgb):
    """A small rectangle around (x, y) without an outline: a car, a mark on a road, a boat."""
    c.rectangle(x - w, y - h, x + w, y + h, rgb, outline=False)


def airplane(c):
    """Body, swept wings and tail on an apron."""
    land(c)
    body, sweep = c.colour(WHITE, 14), c.uniform(6, 13)
    for y, span, chord in ((-4, 24, 7), (17, 10, 4)):
        tip = y + sweep * span / 24
        raised(c, c.polygon, [(0, y), (span, tip), (span, tip + 3), (0, y + chord + 2), (-span, tip + 3), (-span, tip)],
               rgb=body)
    c.polygon([(0, -26), (3.2, -20), (3, 16), (0, 26), (-3, 16), (-3.2, -20)], body)


def baseball(c):
    """A fan of grass with a sandy infield around a green square."""
    land(c, busy=False)
    sand, grass = c.colour((205, 160, 110)), c.colour((110, 170, 80) if c.web else (104, 142, 72))
    c.disc(0, 22, 48, grass, start=225, end=315)
    c.disc(0, 25, 32, sand, start=222, end=318)
    c.polygon([(0, 20), (10, 10), (0, 0), (-10, 10)], grass)
    c.line([(-33, -11), (0, 22), (33, -11)], WHITE, 1.6)


def bridge(c):
    """A road straight across a river."""
    land(c)
    bend, half, width, rgb = c.uniform(-8, 8), c.uniform(10, 15), c.uniform(6, 9), asphalt(c)
    bank = [(-half + bend * math.sin(y / 14), y) for y in range(-64, 65, 16)]
    c.polygon(bank + [(x + 2 * half, y) for x, y in bank[::-1]], c.colour((90, 155, 215) if c.web else c.choice(SEAS)))
    raised(c, c.rectangle, -half - 8, -width * 0.7, half + 8, width * 0.7, rgb=c.shade(rgb, 0.7))
    road(c, [(-70, 0), (70, 0)], width, rgb)


def farmland(c):
    """Round fields that touch, each of its own crop, some cut like a pie."""
    land(c, busy=False)
    r, n = c.choice(((14.5, 2), (22, 1)))
    for x, y in product(range(-n, n), repeat=2):
        crop, turn, place = c.colour(c.choice(CROPS)), c.uniform(0, 360), ((2 * x + 1) * r, (2 * y + 1) * r, r - 0.6)
        c.disc(*place, crop)
        if c.chance(0.4):
            c.disc(*place, c.shade(crop, 0.75), start=turn, end=turn + 110)


def harbor(c):
    """Piers with rows of moored boats."""
    sea(c)
    quay = c.colour((180, 172, 160))
    c.rectangle(-70, 22, 70, 80, quay)
    for x in (-18, 2, 22):
        c.rectangle(x - 1.5, -24, x + 1.5, 23, quay)
        for spot in range(10):
            if c.chance(0.85):
                box(c, x + (5.3 if spot % 2 else -5.3), spot // 2 * 8 - 19, 2.9, 1.9, c.colour(WHITE))


def intersection(c):
    """Two roads that cross, with zebra crossings."""
    land(c)
    rgb, w = asphalt(c), c.uniform(12, 15)
    road(c, [(-70, 0), (70, 0)], w, rgb)
    road(c, [(0, -70), (0, 70)], w, rgb)
    box(c, 0, 0, w / 2, w / 2, rgb)
    for side, k in product((-0.77, 0.77), (-0.33, 0, 0.33)):
        box(c, side * w, k * w, w * 0.17, 1, WHITE)
        box(c, k * w, side * w, 1, w * 0.17, WHITE)


def island(c):
    """A wooded patch with a beach, in open water."""
    water, rx, ry = sea(c), c.uniform(19, 27), c.uniform(14, 22)
    for grow, rgb in ((5, c.shade(water, 1.3)), (1, c.colour((232, 214, 160))), (-4, c.colour((90, 140, 70)))):
        blob(c, 0, 0, rx + grow, ry + grow, rgb, 0.35)
    c.speckle(12, [(50, 80, 44), (110, 130, 80)], 2, (24, 26, 40, 38))


def parking(c):
    """Rows of many small cars on asphalt."""
    land(c)
    c.rectangle(-29, -28, 29, 28, asphalt(c))
    for x, y in product(range(-24, 28, 6), (-21, -6, 3, 19)):
        if c.chance(0.8):
            box(c, x, y, 1.8, 3.1, c.any_colour(20, 250))


def roundabout(c):
    """A ring of road around a green, with three to five arms."""
    land(c)
    rgb, arms, turn = asphalt(c), c.choice((3, 4, 4, 5)), c.uniform(0, 6.3)
    for k in range(arms):
        x, y = math.cos(turn + 6.283 * k / arms), math.sin(turn + 6.283 * k / arms)
        road(c, [(x * 10, y * 10), (x * 70, y * 70)], 8, rgb)
    c.disc(0, 0, 18, rgb)
    c.disc(0, 0, 9.5, c.colour((110, 160, 80) if c.web else c.choice(GROUNDS)))


def runway(c):
    """A wide strip with a dashed line and a threshold of stripes."""
    land(c)
    rgb, w, end = asphalt(c), c.uniform(9, 12), c.choice((-18, 18))
    c.rectangle(-90, -w, 90, w, rgb)
    for x in range(-78, 90, 12):
        box(c, x, 0, 3.5, 1, WHITE)
    box(c, end, 0, 7, 2, rgb)
    for k in (-0.75, -0.38, 0, 0.38, 0.75):
        box(c, end, k * w, 4.5, 1.1, WHITE)


def stadium(c):
    """An oval ring of stands around a lined pitch."""
    land(c)
    ry, pitch = c.uniform(15, 19), c.colour((110, 178, 80) if c.web else (90, 138, 64))
    raised(c, c.disc, 0, 0, 29, rgb=c.colour(c.choice((WHITE, (170, 170, 176), (186, 120, 100)))))
    c.disc(0, 0, 24, c.any_colour(60, 200), ry)
    c.disc(0, 0, 18, c.shade(pitch, 1.15), ry - 5)
    c.rectangle(-12, -7, 12, 7, pitch)
    c.line([(0, -7), (-12, -7), (-12, 7), (12, 7), (12, -7), (0, -7), (0, 7)], WHITE, 1)


def tanks(c):
    """A group of pale round lids with shadows."""
    land(c)
    c.rectangle(-30, -22, 30, 22, c.colour((176, 166, 150)))
    lid, r = c.colour(WHITE, 14), c.uniform(7, 8.4)
    for x, y in product((-20, 0, 20), (-11, 11)):
        if c.chance(0.92):
            raised(c, c.disc, x, y, r, rgb=lid)


def tennis(c):
    """One or two courts: a lined rectangle in a wider one."""
    land(c)
    outer, inner = c.colour(c.choice(((70, 130, 85), (170, 90, 65), (60, 100, 150)))), c.any_colour(50, 190)
    for x, size in ((-15, 0.95), (15, 0.95)) if c.chance(0.4) else ((0, 1.2),):
        w, h = 9.5 * size, 20 * size
        c.rectangle(x - w - 5, -h - 5, x + w + 5, h + 5, outer)
        box(c, x, 0, w, h, inner)
        c.line([(x - w, -h), (x + w, -h), (x + w, h), (x - w, h), (x - w, -h)], WHITE, 1)
        c.line([(x - w, -h / 2), (x + w, -h / 2), (x, -h / 2), (x, h / 2), (x + w, h / 2), (x - w, h / 2)], WHITE, 1)


def railway(c):
    """Many parallel tracks with long platform roofs between them."""
    land(c)
    c.rectangle(-90, -25, 90, 25, c.colour((150, 140, 128) if c.web else (122, 112, 104)))
    for y in (-21, -16, -5, 0, 11, 16):
        c.line([(-90, y), (90, y)], (52, 46, 46), 3)
        c.line([(-90, y), (90, y)], (190, 184, 180), 1)
    for y, shift in ((-10.5, c.uniform(-8, 8)), (5.5, c.uniform(-8, 8))):
        raised(c, c.rectangle, shift - 30, y - 3, shift + 30, y + 3, rgb=c.colour(c.choice((WHITE, ROOFS[0]))))


def houses(c):
    """Streets of many gabled roofs, close to each other."""
    land(c, busy=False)
    roofs, street = [c.colour(c.choice(ROOFS)) for _ in range(3)], asphalt(c)
    for y in (-34, 0, 34):
        c.line([(-70, y), (70, y)], street, 5)
    for x, y in product(range(-36, 37, 12), (-43, -25, -9, 9, 25, 43)):
        roof = c.choice(roofs)
        box(c, x, y + 2.5, 4.6, 2.5, c.shade(roof, 0.66))
        c.rectangle(x - 4.6, y - 5, x + 4.6, y, roof)


def golf(c):
    """Winding pale fairways among trees, with sand bunkers and a green."""
    land(c, busy=False)
    blob(c, 0, 0, 31, 27, c.colour((80, 140, 70) if c.web else (72, 104, 56)))
    fair = c.colour((150, 205, 105) if c.web else (132, 168, 88))
    c.line([(-21, 16), (-15, 2), (-2, -6), (12, -12)], fair, 10)
    blob(c, 14, -12, 9, 8, c.shade(fair, 1.12))
    for x, y in ((3, -19), (22, 0), (-3, 7), (-18, -12), (12, 14)):
        blob(c, x + c.uniform(-2, 2), y + c.uniform(-2, 2), 5.5, 3.8, c.colour((235, 218, 170), 12), 0.7)
    c.speckle(16, [(40, 70, 38), (52, 84, 44)], 2.4)


def ship(c):
    """A pointed hull with hatches and a wake on open water."""
    water, w = sea(c), c.uniform(6, 8.5)
    hull = c.colour(c.choice(((150, 50, 45), (70, 70, 80), WHITE)))
    c.polygon([(-4, 20), (4, 20), (13, 62), (-13, 62)], c.shade(water, 1.35), outline=False)
    for inset, rgb in ((0, hull), (2.5, c.shade(hull, 0.75))):
        side = w - inset
        c.polygon([(-side, 26), (-side, -10), (0, 2 * inset - 27), (side, -10), (side, 26)], rgb)
    for y in (-6, 2, 10, 19):
        c.rectangle(-w + 3, y - 2.5, w - 3, y + 2.5, c.any_colour(60, 230) if y < 19 else WHITE)


def clouds(c):
    """Heaps of white puffs above land or sea."""
    sea(c) if c.chance(0.5) else land(c)
    for _ in range(2):
        x, y, white = c.uniform(-16, 16), c.uniform(-16, 16), c.integer(200, 230)
        for k in range(6):
            c.disc(x + c.uniform(-13, 13), y + c.uniform(-8, 8), c.uniform(6, 12), (white + 4 * k,) * 3, outline=k < 3)


def power_station(c):
    """Wide cooling towers with dark mouths and drifting steam, next to a hall."""
    land(c)
    c.rectangle(-28, 6, 4, 22, c.colour((150, 150, 160)))
    for x, y in ((-15, -9), (14, -6)):
        raised(c, c.disc, x, y, 12.5, rgb=c.colour((205, 200, 192)))
        c.disc(x, y, 8.5, (48, 48, 54))
        for k in range(3):
            blob(c, x + 2 + k * 4, y - 3 - k * 6, 4 + k * 1.6, 4 + k * 1.6, (246, 246, 246))


def pool(c):
    """A bright kidney-shaped basin with a pale rim in a deck."""
    land(c)
    c.rectangle(-28, -20, 28, 25, c.colour((205, 190, 165)))
    water, shift = c.colour((70, 190, 225), 18), c.uniform(-2, 2)
    for grow, rgb in ((2.5, c.colour(WHITE, 10)), (0, water)):
        c.disc(-9, shift, 13 + grow, rgb, outline=grow > 0)
        c.disc(9, -4, 14 + grow, rgb, 9 + grow, outline=grow > 0)


CLASSES = {
    "an airplane": airplane, "a baseball diamond": baseball, "a bridge over a river": bridge,
    "circular farmland": farmland, "a harbor": harbor, "an intersection": intersection, "an island": island,
    "a parking lot": parking, "a roundabout": roundabout, "a runway": runway, "a stadium": stadium,
    "storage tanks": tanks, "a tennis court": tennis, "a railway station": railway, "dense housing": houses,
    "a golf course": golf, "a ship": ship, "clouds": clouds, "a thermal power station": power_station, "a swimming pool": pool,
}
