"""The things the demo's scenes show: each drawn in a square of 100 units by filled shapes in tones of one colour."""

import math
from collections.abc import Callable, Sequence
from random import Random

from PIL import Image, ImageDraw

Point = tuple[float, float]
Rgb = tuple[int, int, int]

PALETTE: dict[str, Rgb] = {
    "red": (214, 40, 40),
    "orange": (244, 130, 28),
    "yellow": (248, 208, 32),
    "green": (46, 158, 68),
    "blue": (38, 98, 214),
    "purple": (134, 62, 184),
    "pink": (246, 124, 178),
    "brown": (128, 82, 46),
    "white": (244, 244, 240),
    "black": (40, 40, 46),
}


def mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    """The colour that is `share` (0 to 1) of the way from a to b."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


class Pen:
    """Draws on a transparent square picture in units of a hundredth of its side, in tones of one colour."""

    def __init__(self, side_px: int, colour: str) -> None:
        base = PALETTE[colour]
        self.image = Image.new("RGBA", (side_px, side_px), (*base, 0))
        self._draw = ImageDraw.Draw(self.image)
        self._unit = side_px / 100
        self.body = base
        self.dark = mix(base, (0, 0, 0), 0.32) if colour != "black" else (78, 78, 88)
        self.light = mix(base, (255, 255, 255), 0.5) if colour != "white" else (208, 212, 218)
        self.ink = mix(base, (0, 0, 0), 0.68) if colour != "black" else (132, 132, 142)

    def polygon(self, points: Sequence[Point], fill: Rgb) -> None:
        """A filled polygon with a thin outline."""
        scaled = [(x * self._unit, y * self._unit) for x, y in points]
        self._draw.polygon(scaled, fill=fill)
        self._draw.line([*scaled, scaled[0]], fill=self.ink, width=max(1, round(1.6 * self._unit)), joint="curve")

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, fill: Rgb) -> None:
        """A filled ellipse around (x, y) with a thin outline."""
        box = self._box(x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        self._draw.ellipse(box, fill=fill, outline=self.ink, width=max(1, round(1.6 * self._unit)))

    def dot(self, x: float, y: float, radius: float, fill: Rgb) -> None:
        """A filled circle without an outline."""
        self._draw.ellipse(self._box(x - radius, y - radius, x + radius, y + radius), fill=fill)

    def block(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb, *, radius: float = 0.0) -> None:
        """A filled rectangle, its corners rounded by `radius`."""
        width = max(1, round(1.6 * self._unit))
        self._draw.rounded_rectangle(self._box(x0, y0, x1, y1), radius * self._unit, fill=fill, outline=self.ink, width=width)

    def stroke(self, points: Sequence[Point], fill: Rgb, width: float) -> None:
        """A line through points."""
        scaled = [(x * self._unit, y * self._unit) for x, y in points]
        self._draw.line(scaled, fill=fill, width=max(1, round(width * self._unit)), joint="curve")

    def arc(self, x: float, y: float, radius: float, span_deg: tuple[float, float], *, fill: Rgb, width: float) -> None:
        """Part of a circle's line, from one angle to the other, clockwise from three o'clock."""
        box = self._box(x - radius, y - radius, x + radius, y + radius)
        self._draw.arc(box, *span_deg, fill=fill, width=max(1, round(width * self._unit)))

    def erase(self, x: float, y: float, radius: float) -> None:
        """A transparent hole."""
        self._draw.ellipse(self._box(x - radius, y - radius, x + radius, y + radius), fill=(0, 0, 0, 0))

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> list[float]:
        return [x0 * self._unit, y0 * self._unit, x1 * self._unit, y1 * self._unit]


_GLASS: Rgb = (196, 226, 244)
_CREAM: Rgb = (252, 246, 228)
_WOOD: Rgb = (120, 78, 44)
_LEAF: Rgb = (64, 132, 56)
_COAL: Rgb = (44, 44, 50)


def _house(pen: Pen, rng: Random) -> None:
    if rng.random() < 0.6:
        pen.block(66, 12, 77, 40, pen.dark)
    pen.block(18, 44, 82, 92, pen.body)
    pen.polygon([(8, 48), (50, 10), (92, 48)], pen.dark)
    pen.block(43, 64, 58, 92, pen.ink)
    for x in (25, 64):
        pen.block(x, 56, x + 12, 70, _GLASS)
        pen.stroke([(x + 6, 56), (x + 6, 70)], pen.ink, 1.4)


def _tree(pen: Pen, rng: Random) -> None:
    pen.polygon([(44, 60), (56, 60), (60, 95), (40, 95)], _WOOD)
    for x, y, radius in ((30, 48, 20), (70, 48, 20), (50, 28, 23), (50, 52, 22)):
        pen.ellipse(x, y, radius, radius * 0.92, pen.body)
    for x, y, radius in ((34, 48, 16), (66, 48, 16), (50, 38, 22)):
        pen.dot(x, y, radius, pen.body)
    for _ in range(9):
        pen.dot(rng.uniform(24, 76), rng.uniform(18, 60), rng.uniform(2, 4), pen.light if rng.random() < 0.5 else pen.dark)


def _car(pen: Pen, rng: Random) -> None:
    pen.polygon([(22, 50), (34, 30), (66, 30), (80, 50)], pen.body)
    pen.polygon([(28, 49), (37, 34), (49, 34), (49, 49)], _GLASS)
    pen.polygon([(53, 49), (53, 34), (64, 34), (73, 49)], _GLASS)
    pen.block(6, 48, 94, 72, pen.body, radius=8)
    pen.stroke([(8, 61), (92, 61)], pen.dark, 2)
    pen.dot(89, 56, 3.4, (255, 236, 150))
    for x in (27, 73):
        pen.ellipse(x, 72, 12, 12, _COAL)
        pen.dot(x, 72, rng.uniform(4, 6), (200, 200, 206))


def _boat(pen: Pen, rng: Random) -> None:
    pen.stroke([(50, 6), (50, 70)], _WOOD, 3.5)
    pen.polygon([(53, 10), (53, 62), (90, 62)], pen.light)
    pen.polygon([(47, 18), (47, 62), (18, 62)], _CREAM if rng.random() < 0.5 else pen.light)
    pen.polygon([(6, 68), (94, 68), (78, 92), (22, 92)], pen.body)
    pen.stroke([(10, 75), (90, 75)], pen.dark, 3)


def _fish(pen: Pen, rng: Random) -> None:
    pen.polygon([(70, 50), (96, 26), (90, 50), (96, 74)], pen.dark)
    pen.polygon([(38, 30), (54, 12), (66, 32)], pen.dark)
    pen.polygon([(42, 70), (52, 86), (60, 68)], pen.dark)
    pen.ellipse(42, 50, 37, 24, pen.body)
    for x in (44, 54, 64)[: rng.randint(2, 3)]:
        pen.arc(x - 12, 50, 14, (300, 60), fill=pen.light, width=2.6)
    pen.dot(20, 45, 5, _CREAM)
    pen.dot(19, 45, 2.6, _COAL)
    pen.arc(12, 54, 8, (20, 90), fill=pen.ink, width=1.8)


def _star(pen: Pen, rng: Random) -> None:
    inner = rng.uniform(17, 22)
    points = []
    for i in range(10):
        radius, angle = (46 if i % 2 == 0 else inner), math.pi * (i / 5 - 0.5)
        points.append((50 + radius * math.cos(angle), 52 + radius * math.sin(angle)))
    pen.polygon(points, pen.body)
    for i in range(0, 10, 2):
        pen.polygon([(50, 52), points[i], points[i + 1]], pen.light)


def _heart(pen: Pen, rng: Random) -> None:
    points = []
    for i in range(60):
        t = i / 60 * 2 * math.pi
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((50 + 2.7 * x, 47 - 2.7 * y))
    pen.polygon(points, pen.body)
    if rng.random() < 0.7:
        pen.arc(32, 34, 13, (170, 270), fill=pen.light, width=4.5)


def _cup(pen: Pen, rng: Random) -> None:
    pen.arc(76, 54, 17, (0, 360), fill=pen.ink, width=8.5)
    pen.arc(76, 54, 16, (0, 360), fill=pen.body, width=6)
    pen.polygon([(16, 32), (76, 32), (70, 86), (62, 92), (30, 92), (22, 86)], pen.body)
    pen.ellipse(46, 32, 30, 7, (92, 58, 36))
    pen.stroke([(22, 50), (71, 50)], pen.light, 5)
    for x in (36, 52)[: rng.randint(0, 2)]:
        pen.stroke([(x, 22), (x + 4, 16), (x, 10), (x + 4, 4)], (232, 232, 236), 2.5)


def _flower(pen: Pen, rng: Random) -> None:
    pen.stroke([(50, 40), (50, 96)], _LEAF, 5)
    pen.polygon([(50, 82), (72, 64), (80, 70), (66, 84)], _LEAF)
    pen.polygon([(50, 88), (28, 72), (20, 78), (34, 90)], _LEAF)
    petals, turn = rng.choice((6, 7, 8)), rng.uniform(0, math.pi)
    for i in range(petals):
        angle = turn + 2 * math.pi * i / petals
        pen.ellipse(50 + 21 * math.cos(angle), 36 + 21 * math.sin(angle), 13, 13, pen.body)
    pen.ellipse(50, 36, 12, 12, (250, 214, 70) if pen.body != PALETTE["yellow"] else _WOOD)


def _key(pen: Pen, rng: Random) -> None:
    pen.block(42, 44, 94, 55, pen.body, radius=2)
    for x, length in ((72, rng.uniform(66, 72)), (84, rng.uniform(70, 78))):
        pen.block(x, 54, x + 8, length, pen.body)
    pen.ellipse(26, 50, 22, 22, pen.body)
    pen.ellipse(26, 50, 12, 12, pen.dark)
    pen.erase(26, 50, 10)
    pen.arc(26, 50, 18, (180, 270), fill=pen.light, width=3)


def _umbrella(pen: Pen, rng: Random) -> None:
    pen.stroke([(50, 10), (50, 84)], _COAL, 4)
    pen.arc(42, 84, 10, (0, 180), fill=_COAL, width=4)
    rim = [(50 + 44 * math.cos(math.pi * (1 + i / 24)), 54 + 42 * math.sin(math.pi * (1 + i / 24))) for i in range(25)]
    pen.polygon([*rim, (79, 46), (65, 54), (50, 46), (35, 54), (21, 46)], pen.body)
    for x, tone in ((21, pen.dark), (50, pen.light)):
        pen.polygon([(50, 12), (x, 46), (x + 14, 54), (x + 29, 46)], tone)
    pen.stroke([(50, 5), (50, 13)], _COAL, rng.uniform(3, 5))


def _balloon(pen: Pen, rng: Random) -> None:
    sway = rng.uniform(-7, 7)
    pen.stroke([(50, 70), (50 + sway, 78), (50 - sway, 87), (50, 97)], pen.ink, 2)
    pen.polygon([(50, 66), (44, 75), (56, 75)], pen.dark)
    pen.ellipse(50, 37, 30, 34, pen.body)
    pen.arc(46, 33, 20, (185, 265), fill=pen.light, width=5)


def _moon(pen: Pen, rng: Random) -> None:
    outer = [(50 + 42 * math.cos(a), 50 + 42 * math.sin(a)) for a in (math.radians(d) for d in range(50, 311, 6))]
    inner = [(66 + 33 * math.cos(a), 50 + 33 * math.sin(a)) for a in (math.radians(d) for d in range(282, 77, -6))]
    pen.polygon(outer + inner, pen.body)
    for x, y in ((20, 46), (27, 68), (31, 30)):
        pen.dot(x + rng.uniform(-2, 2), y, rng.uniform(2.5, 4.5), pen.dark)


def _mushroom(pen: Pen, rng: Random) -> None:
    pen.polygon([(40, 50), (60, 50), (66, 92), (34, 92)], _CREAM)
    cap = [(50 + 44 * math.cos(math.pi * (1 + i / 24)), 56 + 46 * math.sin(math.pi * (1 + i / 24))) for i in range(25)]
    pen.polygon([*cap, (74, 62), (26, 62)], pen.body)
    for x, y, radius in ((30, 40, 7), (52, 26, 8), (70, 44, 7), (48, 48, 5)):
        pen.dot(x + rng.uniform(-3, 3), y + rng.uniform(-2, 2), radius, _CREAM if pen.body != PALETTE["white"] else pen.light)


def _cat(pen: Pen, rng: Random) -> None:
    for side in (-1, 1):
        pen.polygon([(50 + side * 42, 8), (50 + side * 36, 54), (50 + side * 8, 30)], pen.body)
        pen.polygon([(50 + side * 37, 18), (50 + side * 33, 38), (50 + side * 20, 29)], (244, 168, 176))
    pen.ellipse(50, 57, 40, 35, pen.body)
    iris = (186, 222, 110) if rng.random() < 0.5 else (150, 206, 232)
    for x in (34, 66):
        pen.ellipse(x, 50, 8, 9, iris)
        pen.dot(x, 50, 4, _COAL)
    pen.polygon([(45, 64), (55, 64), (50, 70)], (240, 130, 150))
    pen.stroke([(41, 74), (45, 78), (50, 75), (55, 78), (59, 74)], pen.ink, 2)
    for side in (-1, 1):
        for y in (64, 70):
            pen.stroke([(50 + side * 18, 67), (50 + side * 46, y)], pen.ink, 1.4)


def _clock(pen: Pen, rng: Random) -> None:
    pen.ellipse(50, 50, 45, 45, pen.body)
    pen.ellipse(50, 50, 35, 35, _CREAM)
    for i in range(12):
        angle = math.pi * i / 6
        pen.dot(50 + 29 * math.cos(angle), 50 + 29 * math.sin(angle), 2.4 if i % 3 == 0 else 1.4, _COAL)
    for length, width in ((17, 4.0), (26, 2.8)):
        angle = rng.uniform(0, 2 * math.pi)
        pen.stroke([(50, 50), (50 + length * math.cos(angle), 50 + length * math.sin(angle))], _COAL, width)
    pen.dot(50, 50, 3.4, pen.dark)


DRAWINGS: dict[str, Callable[[Pen, Random], None]] = {
    "house": _house,
    "tree": _tree,
    "car": _car,
    "boat": _boat,
    "fish": _fish,
    "star": _star,
    "heart": _heart,
    "cup": _cup,
    "flower": _flower,
    "key": _key,
    "umbrella": _umbrella,
    "balloon": _balloon,
    "moon": _moon,
    "mushroom": _mushroom,
    "cat": _cat,
    "clock": _clock,
}


def draw_thing(shape: str, colour: str, side_px: int, rng: Random) -> Image.Image:
    """The thing alone: (side_px, side_px) RGBA, smooth edges; `rng` decides its small details."""
    pen = Pen(side_px * 2, colour)
    DRAWINGS[shape](pen, rng)
    return pen.image
