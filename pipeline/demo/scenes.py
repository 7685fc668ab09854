"""The demo's pictures: a Scene says what is to be seen, `draw` renders it; captions.py says it in English.

Everything follows from the scene's own fields: the same scene and size give the same pixels.
"""

import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops, ImageFilter

from pipeline.demo.backgrounds import BACKGROUNDS, add_grain
from pipeline.demo.shapes import DRAWINGS, PALETTE, draw_thing

SHAPES = tuple(DRAWINGS)
COLOURS = tuple(PALETTE)
BACKDROPS = tuple(BACKGROUNDS)
SIZES = {"small": 0.42, "medium": 0.6, "large": 0.8}

__all__ = ["BACKDROPS", "COLOURS", "SHAPES", "SIZES", "Scene", "Thing", "draw", "sample_scene"]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object in a scene: its centre in fractions of width and height, its side in fractions of the shorter side."""

    shape: str
    colour: str
    x: float
    y: float
    side: float
    turn_deg: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is to be seen. `size` is a key of SIZES (the main thing's), `light_deg` where the light comes from."""

    main: Thing
    size: str
    background: str
    light_deg: float
    detail_seed: int
    second: Thing | None = None


def sample_scene(rng: Random) -> Scene:
    """A random scene: any shape, colour and background; one in four has a second, smaller thing."""
    size = rng.choice(tuple(SIZES))
    side = SIZES[size] * rng.uniform(0.92, 1.08)
    room = max(0.0, 0.98 - side) / 2
    x, y = 0.5 + rng.uniform(-room, room), 0.5 + rng.uniform(-room, room)
    shape, colour = rng.choice(SHAPES), rng.choice(COLOURS)
    main = Thing(
        shape=shape,
        colour=colour,
        x=x,
        y=y,
        side=side,
        turn_deg=max(-40.0, min(40.0, rng.gauss(0, 11))),
        mirrored=rng.random() < 0.5,
    )
    return Scene(
        main=main,
        size=size,
        background=rng.choice(BACKDROPS),
        light_deg=rng.uniform(0, 360),
        detail_seed=rng.getrandbits(32),
        second=_sample_second(main, rng) if rng.random() < 0.25 and size != "large" else None,
    )


def _sample_second(main: Thing, rng: Random) -> Thing:
    """A small thing of another shape and colour, in the corner with most room."""
    return Thing(
        shape=rng.choice([shape for shape in SHAPES if shape != main.shape]),
        colour=rng.choice([colour for colour in COLOURS if colour != main.colour]),
        x=0.16 if main.x > 0.5 else 0.84,
        y=0.16 if main.y > 0.5 else 0.84,
        side=rng.uniform(0.2, 0.27),
        turn_deg=rng.gauss(0, 8),
    )


def draw(scene: Scene, width_px: int, height_px: int | None = None) -> Image.Image:
    """Render a scene as an RGB picture (square where no height is given)."""
    size = (width_px, height_px or width_px)
    rng = Random(scene.detail_seed)
    image = BACKGROUNDS[scene.background](size, rng)
    for thing in (scene.main, scene.second):
        if thing is not None:
            _place(image, thing, scene.light_deg, rng)
    return add_grain(image, rng)


def _place(image: Image.Image, thing: Thing, light_deg: float, rng: Random) -> None:
    """Draw a thing onto the picture, turned, lit from one side, its soft shadow on the other."""
    side = max(6, round(thing.side * min(image.size)))
    patch = draw_thing(thing.shape, thing.colour, side, rng)
    if thing.mirrored:
        patch = patch.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    # Turned after it is reduced: four times as fast, and hardly softer.
    patch = patch.reduce(2).rotate(thing.turn_deg, Image.Resampling.BICUBIC)
    left, top = round(thing.x * image.width - side / 2), round(thing.y * image.height - side / 2)
    alpha = patch.getchannel("A")
    _cast_shadow(image, alpha, (left, top), light_deg)
    image.paste(_light(patch.convert("RGB"), light_deg), (left, top), alpha)


def _cast_shadow(image: Image.Image, alpha: Image.Image, corner: tuple[int, int], light_deg: float) -> None:
    small = alpha.reduce(4).filter(ImageFilter.BoxBlur(1)).point(lambda value: value * 0.36)
    shift = 0.045 * alpha.width
    angle = math.radians(light_deg)
    left, top = round(corner[0] - shift * math.cos(angle)), round(corner[1] - shift * math.sin(angle))
    image.paste((16, 16, 24), (left, top), small.resize(alpha.size, Image.Resampling.BILINEAR))


def _light(patch: Image.Image, light_deg: float) -> Image.Image:
    """Multiply by a brightness that falls from 1 on the lit side to 0.68 on the other."""
    fall = Image.linear_gradient("L").resize((32, 32)).rotate(90 - light_deg, Image.Resampling.BILINEAR, fillcolor=128)
    level = fall.point(lambda value: 174 + value * 81 / 255).resize(patch.size, Image.Resampling.BILINEAR)
    return ImageChops.multiply(patch, Image.merge("RGB", (level, level, level)))
