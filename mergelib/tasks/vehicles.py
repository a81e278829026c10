"""`vehicles`: which kind of vehicle is this, seen from the side? The small sibling of Cars."""

from functools import partial

SIBLING = "Cars"
WEAR = 0.4
PROMPTS = ("a photo of {}.", "a street photo of {}.", "{} on the road.")
CAPTIONS = ("a side view of {}", "clip art of {}", "a drawing of {}", "{} drives by", "an icon of {}")

PAINTS = ((200, 45, 40), (40, 80, 170), (225, 225, 225), (60, 62, 68), (150, 155, 160), (225, 190, 50), (60, 120, 70))
GLASS, RUBBER, STEEL, LAMP = (165, 195, 210), (32, 32, 36), (165, 168, 172), (245, 225, 130)
GROUND = 15      # height on which wheels stand

# Bodies and windows of vehicles that drive to the right; wheels are (x, radius).
SEDAN = ([(-28, 9), (-28, 0), (-18, -2), (-11, -11), (6, -11), (14, -2), (27, 1), (28, 9)],
         ([(-14, -2), (-9, -9), (-3, -9), (-3, -2)], [(0, -2), (0, -9), (5, -9), (11, -2)]), ((-17, 6), (17, 6)))
HATCHBACK = ([(-19, 9), (-20, -3), (-14, -15), (5, -15), (12, -3), (19, 0), (20, 9)],
             ([(-15, -3), (-11, -12), (-5, -12), (-5, -3)], [(-2, -3), (-2, -12), (4, -12), (9, -3)]),
             ((-12, 6), (12, 6)))
SPORTS_CAR = ([(-29, 10), (-29, 2), (-14, -1), (-6, -6), (2, -6), (12, 1), (30, 6), (30, 10)],
              ([(-8, 1), (-4, -4), (1, -4), (8, 1)],), ((-18, 6), (18, 6)))
CONVERTIBLE = ([(-28, 9), (-28, -1), (-15, -2), (-13, 2), (5, 2), (7, -1), (27, 2), (28, 9)], (), ((-17, 6), (17, 6)))
JEEP = ([(-21, 6), (-21, -18), (6, -18), (9, -6), (23, -6), (24, 6)],
        ([(-17, -7), (-17, -15), (-9, -15), (-9, -7)], [(-6, -7), (-6, -15), (3, -15), (5, -7)]), ((-13, 9), (15, 9)))
PICKUP = ([(-29, 8), (-29, -1), (-4, -1), (-4, -14), (8, -14), (14, -3), (28, -1), (28, 8)],
          ([(-1, -3), (-1, -11), (6, -11), (10, -3)],), ((-18, 7), (18, 7)))
VAN = ([(-27, 9), (-27, -20), (11, -20), (21, -4), (27, -1), (27, 9)], ([(7, -4), (7, -15), (11, -15), (17, -4)],),
       ((-17, 6), (17, 6)))
BUS = ([(-31, 10), (-31, -17), (30, -17), (31, 10)],
       tuple([(x, -3), (x, -12), (x + 7, -12), (x + 7, -3)] for x in range(-27, 20, 10)), ((-18, 6), (17, 6)))
CAB = ([(12, 9), (12, -12), (22, -12), (27, -3), (27, 9)], ([(15, -3), (15, -9), (21, -9), (24, -3)],),
       ((-20, 6), (-8, 6), (19, 6)))


def vehicle(c, draw):
    """A street, then what `draw` adds in one paint, then whatever stands before it."""
    c.plain() if c.web else street(c)
    turn, wide = (3, 3) if c.web else (5, 5)
    scale = c.uniform(0.82, 0.95) if c.web else c.uniform(0.86, 1.06)
    c.frame(32 + c.uniform(-wide, wide), 34 + c.uniform(-wide, wide), scale, c.uniform(-turn, turn),
            c.choice((-1, 1)) * c.uniform(0.92, 1.06))
    if not c.web:
        c.disc(0, GROUND, 30, c.any_colour(30, 70), 3)
    draw(c, c.any_colour(60, 255) if c.web else c.colour(c.choice(PAINTS)))
    if not c.web and c.chance(0.35):
        obstacle(c)


def street(c):
    """Sky, houses or trees, and the road."""
    c.gradient(c.colour((150, 180, 215), 50), c.colour((205, 210, 215), 30), 0, 40)
    for _ in range(c.integer(1, 3)):
        x, y, wide = c.uniform(-10, 60), c.uniform(0, 30), c.uniform(8, 26)
        rgb = c.colour(c.choice(((165, 110, 90), (180, 170, 150), (70, 105, 65), (120, 125, 130))))
        (c.pen.rectangle if c.chance(0.6) else c.pen.ellipse)((x, y, x + wide, 60), fill=rgb)
    c.pen.rectangle((0, c.integer(38, 46), 64, 64), fill=c.colour((105, 105, 108), 35))
    c.speckle(6, [c.colour((130, 130, 130), 40)], 1.8, (0, 46, 64, 64))


def obstacle(c):
    """A post, or a bush or a kerb stone in a lower corner."""
    x = c.choice((-1, 1)) * c.uniform(3, 28)
    if c.chance(0.5):
        c.line([(x, -50), (x, 40)], c.any_colour(40, 160), 2.5)
    else:
        c.disc(x, 23, c.uniform(6, 11), c.colour((60, 100, 50)), 8)


def wheel(c, x, radius):
    """A wheel on the ground at `x`."""
    y = GROUND - radius
    c.disc(x, y, radius, c.colour(RUBBER, 12))
    c.disc(x, y, radius * 0.45, c.colour(STEEL), outline=False)


def body(c, paint, shape):
    """A `shape` of the tables above: body, windows, a lamp in front, wheels."""
    outline, windows, wheels = shape
    c.polygon(outline, paint)
    glass = c.colour(GLASS if c.chance(0.6) else (50, 60, 72))
    for window in windows:
        c.polygon(window, glass)
    front = outline[-1][0]
    c.rectangle(front - 3, 2, front, 5, c.colour(LAMP), False)
    for x, radius in wheels:
        wheel(c, x, radius)


def sports_car(c, paint):
    """A flat wedge with a spoiler."""
    c.line([(-25, 2), (-27, -5)], paint, 2)
    c.line([(-31, -6), (-22, -5)], paint, 2.5)
    body(c, paint, SPORTS_CAR)


def convertible(c, paint):
    """An open car: a windscreen, seats, and people in them."""
    for x in (-9, -1) if c.chance(0.7) else (-1,):
        c.rectangle(x - 3, -3, x - 1, 4, c.colour((90, 60, 45)))
        c.disc(x + 1, -6, 3.2, c.colour((200, 150, 120)))
    body(c, paint, CONVERTIBLE)
    c.line([(8, -1), (3, -11)], c.colour((60, 65, 75)), 2)


def jeep(c, paint):
    """A tall off-road car with a spare wheel behind and bars on the roof."""
    c.rectangle(-26, -9, -21, 3, c.colour(RUBBER, 12))
    c.line([(-19, -21), (3, -21)], c.colour((60, 60, 64)), 2)
    body(c, paint, JEEP)


def truck(c, paint, load):
    """A cab and a chassis with a `load` on it."""
    c.rectangle(-29, 5, 14, 10, c.colour((60, 60, 64)))
    load(c, c.any_colour(70, 250) if c.web or c.chance(0.5) else c.colour((200, 202, 205)))
    body(c, paint, CAB)


def box(c, rgb):
    """The high closed box of a lorry."""
    c.rectangle(-30, -21, 9, 6, rgb)


def tank(c, rgb):
    """A lying tank with hoops and a lid."""
    c.rectangle(-13, -15, -7, -11, c.shade(rgb, 0.7))
    c.disc(-10, -3, 20, rgb, 9)
    for x in (-18, -2):
        c.line([(x, -11), (x, 5)], c.shade(rgb, 0.6), 1.5)


def mixer(c, rgb):
    """The tilted drum of a concrete mixer."""
    c.polygon([(-31, -19), (-25, -23), (-8, -17), (9, -5), (9, 5), (-8, 6), (-22, -6)], rgb)
    c.line([(-16, -18), (-12, 3)], c.shade(rgb, 0.55), 3)
    c.line([(-1, -12), (0, 5)], c.shade(rgb, 0.55), 3)


def ladder(c, rgb):
    """The low body of a fire engine below its raised ladder."""
    c.rectangle(-30, -4, 11, 7, rgb)
    rail = c.colour((62, 62, 68))
    c.line([(-26, -7), (28, -25)], rail, 2.5)
    c.line([(-26, -1), (28, -19)], rail, 2.5)
    for k in range(6):
        x = -24 + k * 10
        c.line([(x, -8 - k * 3.3), (x, -2 - k * 3.3)], rail, 1.5)


def tractor(c, paint):
    """A huge wheel behind, a small one in front, a cab, a bonnet with a chimney."""
    c.line([(13, -6), (13, -19)], c.colour(RUBBER), 2.5)
    c.rectangle(-3, -7, 22, 6, paint)
    c.rectangle(-17, -22, 1, 2, c.colour(GLASS))
    c.rectangle(-19, -25, 3, -21, paint)
    wheel(c, -10, 13)
    wheel(c, 17, 7)


def motorcycle(c, paint):
    """Two fat wheels, a tank, a saddle, an engine and a fork."""
    for x in (-17, 17):
        wheel(c, x, 9.5)
    c.line([(17, 5), (9, -14), (4, -15)], c.colour(STEEL), 2.5)
    c.polygon([(-22, -6), (-18, -9), (-6, -5), (10, -10), (12, -2), (2, 3), (-10, 2)], paint)
    c.rectangle(-6, 1, 6, 10, c.colour((70, 70, 75)))
    c.line([(2, 9), (-24, 9)], c.colour(STEEL), 2.5)
    c.disc(13, -8, 3, c.colour(LAMP))


def bicycle(c, paint):
    """Two thin wheels, a frame of tubes, a saddle and a handlebar."""
    for x in (-15, 15):
        c.arc(x, 4, 10.5, c.colour(RUBBER, 12), 2)
    c.line([(-15, 4), (-7, -10), (9, -10), (-1, 4), (-15, 4)], paint, 2.5)
    c.line([(-1, 4), (-8, -14)], paint, 2.5)
    c.line([(15, 4), (8, -16), (13, -17)], paint, 2.5)
    c.line([(-12, -15), (-4, -15)], c.colour(RUBBER, 12), 3)


def tram(c, paint):
    """A long car with slanted ends on rails, below a wire that its bow touches."""
    steel = c.colour((55, 55, 60))
    c.line([(-60, -26), (60, -26)], steel, 1)
    c.line([(-2, -16), (6, -21), (-2, -26)], steel, 2)
    c.line([(-60, 15), (60, 15)], c.colour(STEEL), 2)
    c.polygon([(-31, 11), (-28, -15), (28, -15), (31, 11)], paint)
    c.polygon([(-27, 0), (-25, -11), (25, -11), (27, 0)], c.colour(GLASS if c.chance(0.5) else (50, 60, 72)))
    for x in (-13, 0, 13):
        c.rectangle(x - 1.2, -11, x + 1.2, 11, c.shade(paint, 0.7), False)
    for x in (-22, -14, 14, 22):
        wheel(c, x, 3)


VEHICLES = {
    "a sedan": partial(body, shape=SEDAN), "a hatchback": partial(body, shape=HATCHBACK), "a sports car": sports_car,
    "a convertible": convertible, "a jeep": jeep, "a pickup truck": partial(body, shape=PICKUP),
    "a van": partial(body, shape=VAN), "a bus": partial(body, shape=BUS), "a lorry": partial(truck, load=box),
    "a tank truck": partial(truck, load=tank), "a concrete mixer": partial(truck, load=mixer),
    "a fire engine": partial(truck, load=ladder), "a tractor": tractor, "a motorcycle": motorcycle,
    "a bicycle": bicycle, "a tram": tram}
CLASSES = {name: partial(vehicle, draw=draw) for name, draw in VEHICLES.items()}
