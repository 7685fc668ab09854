"""What stands behind the things of the demo's scenes: twelve kinds, each a function (size, rng) → RGB picture."""

import math
from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from pipeline.demo.shapes import Rgb, mix

# Pale and greyish, so that no background's colour is mistaken for the thing's.
_PASTELS: tuple[Rgb, ...] = (
    (226, 220, 206),
    (206, 218, 226),
    (218, 208, 224),
    (208, 224, 210),
    (230, 212, 206),
    (190, 194, 202),
    (232, 228, 196),
    (172, 180, 172),
)
Size = tuple[int, int]


def vertical(size: Size, top: Rgb, bottom: Rgb) -> Image.Image:
    """A smooth change of colour from top to bottom."""
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), Image.linear_gradient("L").resize(size))


def _plain(size: Size, rng: Random) -> Image.Image:
    return Image.new("RGB", size, rng.choice(_PASTELS))


def _gradient(size: Size, rng: Random) -> Image.Image:
    first, second = rng.sample(_PASTELS, 2)
    return vertical(size, mix(first, (255, 255, 255), 0.4), mix(second, (0, 0, 0), 0.28))


def _stripes(size: Size, rng: Random) -> Image.Image:
    first, second = rng.sample(_PASTELS, 2)
    image, step = Image.new("RGB", size, mix(first, (255, 255, 255), 0.35)), min(size) / rng.uniform(5, 10)
    draw, slope = ImageDraw.Draw(image), rng.choice((0.0, 0.0, 0.6, -0.6)) * size[1]
    x = -abs(slope)
    while x < size[0] + abs(slope):
        draw.polygon(
            [(x, 0), (x + step, 0), (x + step + slope, size[1]), (x + slope, size[1])], fill=mix(second, (60, 60, 70), 0.25)
        )
        x += 2 * step
    return image


def _checker(size: Size, rng: Random) -> Image.Image:
    first, second = rng.sample(_PASTELS, 2)
    step = max(2, round(min(size) / rng.uniform(4, 8)))
    image = Image.new("RGB", size, mix(first, (255, 255, 255), 0.4))
    draw = ImageDraw.Draw(image)
    for row in range(size[1] // step + 1):
        for column in range(row % 2, size[0] // step + 1, 2):
            x, y = column * step, row * step
            draw.rectangle([x, y, x + step - 1, y + step - 1], fill=mix(second, (50, 50, 60), 0.3))
    return image


def _grass(size: Size, rng: Random) -> Image.Image:
    image = vertical(size, (150, 190, 96), (84, 138, 62))
    draw = ImageDraw.Draw(image)
    for _ in range(90):
        x, y, length = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(0.03, 0.08) * size[1]
        tone = mix((118, 164, 74), (60, 110, 48) if rng.random() < 0.6 else (190, 214, 120), rng.random())
        draw.line([(x, y), (x + rng.uniform(-0.4, 0.4) * length, y - length)], fill=tone, width=max(1, size[0] // 120))
    return image


def _sky(size: Size, rng: Random) -> Image.Image:
    image = vertical(size, (98, 164, 224), (206, 230, 246))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(2, 4)):
        x, y, width = rng.uniform(0, size[0]), rng.uniform(0.05, 0.9) * size[1], rng.uniform(0.09, 0.16) * min(size)
        for dx, dy, radius in ((-1.1, 0.25, 0.7), (0, 0, 1.0), (1.1, 0.2, 0.75), (0.4, 0.35, 0.8)):
            cx, cy, r = x + dx * width, y + dy * width, radius * width
            draw.ellipse([cx - r, cy - r * 0.7, cx + r, cy + r * 0.7], fill=(244, 248, 252))
    return image


def _sea(size: Size, rng: Random) -> Image.Image:
    image = vertical(size, (46, 124, 168), (14, 66, 112))
    horizon = round(size[1] * rng.uniform(0.2, 0.4))
    image.paste(vertical((size[0], horizon), (188, 216, 232), (232, 238, 232)), (0, 0))
    draw = ImageDraw.Draw(image)
    for _ in range(26):
        y = rng.uniform(horizon + 3, size[1])
        x, length = rng.uniform(-0.1, 1) * size[0], (0.05 + 0.15 * (y - horizon) / size[1]) * size[0]
        points = [(x + i * length / 6, y + math.sin(i * 1.4) * 0.1 * length) for i in range(7)]
        draw.line(points, fill=(142, 196, 216), width=max(1, size[0] // 130))
    return image


def _night(size: Size, rng: Random) -> Image.Image:
    image = vertical(size, (14, 16, 46), (48, 50, 96))
    draw = ImageDraw.Draw(image)
    for _ in range(55):
        x, y, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.choice((0.3, 0.4, 0.6, 0.9)) * size[0] / 200
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=mix((150, 156, 200), (255, 250, 226), rng.random()))
    return image


def _noise(size: Size, rng: Random) -> Image.Image:
    cells = rng.choice((6, 9, 13))
    values = np.random.default_rng(rng.getrandbits(32)).integers(90, 230, (cells, cells, 3), dtype=np.uint8)
    grey = np.uint8(0.7 * values.mean(axis=2, keepdims=True) + 0.3 * values)
    return Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC)


def _bricks(size: Size, rng: Random) -> Image.Image:
    image = Image.new("RGB", size, (206, 198, 188))
    draw, height = ImageDraw.Draw(image), min(size) / rng.uniform(8, 12)
    joint, width, base = max(1.0, height * 0.1), height * 2.2, rng.choice(((164, 100, 84), (150, 112, 92), (136, 124, 116)))
    for row in range(int(size[1] / height) + 1):
        for column in range(-1, int(size[0] / width) + 1):
            x, y = column * width + row % 2 * width / 2, row * height
            tone = mix(base, (60, 40, 40) if rng.random() < 0.5 else (220, 190, 170), rng.uniform(0, 0.25))
            draw.rectangle([x, y, x + width - joint, y + height - joint], fill=tone)
    return image


def _sand(size: Size, rng: Random) -> Image.Image:
    image = vertical(size, (246, 228, 182), (222, 188, 128))
    draw = ImageDraw.Draw(image)
    for i in range(9):
        y, phase = (i + rng.random()) * size[1] / 9, rng.uniform(0, 6)
        points = [(k * size[0] / 16, y + math.sin(k * 0.7 + phase) * size[1] * 0.02) for k in range(17)]
        draw.line(points, fill=(206, 170, 112), width=max(1, size[0] // 90), joint="curve")
    return image


def _wood(size: Size, rng: Random) -> Image.Image:
    image = Image.new("RGB", size, (90, 62, 40))
    draw, planks = ImageDraw.Draw(image), rng.randint(4, 6)
    height = size[1] / planks
    for plank in range(planks):
        top, tone = plank * height, mix((190, 148, 104), (148, 106, 70), rng.random())
        draw.rectangle([0, top, size[0], top + height - max(1.0, size[1] / 110)], fill=tone)
        for _ in range(4):
            y, phase = top + rng.uniform(0.1, 0.85) * height, rng.uniform(0, 6)
            points = [(k * size[0] / 10, y + math.sin(k * 0.8 + phase) * height * 0.05) for k in range(11)]
            draw.line(points, fill=mix(tone, (80, 50, 30), 0.35), width=1)
    return image


BACKGROUNDS: dict[str, Callable[[Size, Random], Image.Image]] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "checker": _checker,
    "grass": _grass,
    "sky": _sky,
    "sea": _sea,
    "night": _night,
    "noise": _noise,
    "bricks": _bricks,
    "sand": _sand,
    "wood": _wood,
}


@cache
def _grain() -> Image.Image:
    noise = np.random.default_rng(0).normal(128, 5, (512, 512))
    return Image.fromarray(np.uint8(np.clip(noise, 0, 255))).convert("RGB")


def add_grain(image: Image.Image, rng: Random) -> Image.Image:
    """The picture with a camera's fine noise (sd 5 of 255), cut from one fixed tile; at most 512 px a side gets it."""
    width, height = image.size
    if max(image.size) > 512:
        return image
    x, y = rng.randrange(513 - width), rng.randrange(513 - height)
    return ImageChops.add(image, _grain().crop((x, y, x + width, y + height)), 1, -128)
