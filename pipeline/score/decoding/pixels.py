"""Pixels → what a CLIP-like model sees: resized and cropped as open_clip does, uint8. Normalising is left to the device.

Two ways. The fast one resizes RGB by torch; on real images it is 0.01 grey levels from Pillow's result on average, 0.5 at most
for an image. The exact one is open_clip's own transform. Given the image as its file has it, that resizes what has a palette
without smoothing and makes it RGB afterwards; given RGB, as open_clip's training does, it smooths.
"""

import functools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image

from pipeline.score.decoding.image import BrokenImageError, decode, decode_jpeg, open_image, to_rgb

ResizeMode = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]

# Pillow holds a resized image whole, 4 bytes a pixel: beyond this open_clip's own transform is not run.
_MOST_RESIZED_PX = 2**26

_REACH_PX = 2  # of a bicubic filter to either side, in the coarser of the two grids
_MOST_WASTED = 4  # targets that may be made, and thrown away, to either side of the crop
_PLACES = 256  # tried for a cut, in px of the resized strip


@dataclass(frozen=True)
class Recipe:
    """What one model's images must be."""

    size_px: tuple[int, int]  # height, width
    resize_mode: ResizeMode
    interpolation: Interpolation
    fill_color: int  # of each channel, where `longest` leaves a border
    exact: bool


class Picture(NamedTuple):
    """An image as it is, (H, W, 3) uint8 RGB, and as each model sees it, (h, w, 3) uint8, perhaps a view."""

    rgb: np.ndarray
    seen: tuple[np.ndarray, ...]


class _Axis(NamedTuple):
    """One direction of a resize and crop, in px: source[begin:end] gives `made`, of which [skip : skip + kept] stays."""

    begin: int
    end: int
    made: int
    skip: int
    kept: int
    before: int  # border of the target in front of what was kept
    factor: float  # px made per px of source


def recipe_of(preprocess_cfg: Mapping[str, Any], *, exact: bool) -> Recipe:
    """The recipe in open_clip's `model.visual.preprocess_cfg`."""
    size = preprocess_cfg["size"]
    height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
    mode: ResizeMode = preprocess_cfg.get("resize_mode") or "shortest"
    bilinear = preprocess_cfg.get("interpolation") == "bilinear"
    if mode == "shortest" and height != width:
        bilinear = False  # there open_clip does not hand the interpolation on
    return Recipe(
        size_px=(int(height), int(width)),
        resize_mode=mode,
        interpolation="bilinear" if bilinear else "bicubic",
        fill_color=int(preprocess_cfg.get("fill_color") or 0),
        exact=exact,
    )


def picture_of(encoded: bytes, recipes: Sequence[Recipe]) -> Picture:
    """Decode an image and prepare it for each recipe. Raises BrokenImageError.

    Unlike `decode` and `prepare` in turn, this hands open_clip's own transform an image in the mode that its file has.
    """
    rgb = decode_jpeg(encoded)
    if rgb is not None:
        return Picture(rgb, tuple(prepare(rgb, recipe) for recipe in recipes))
    image = open_image(encoded)
    rgb = to_rgb(image)
    ways = (prepare_exactly(image, recipe) if recipe.exact else prepare_fast(rgb, recipe) for recipe in recipes)
    return Picture(rgb, tuple(ways))


def prepare(rgb: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(H, W, 3) → (h, w, 3) uint8, perhaps a view, in the recipe's way."""
    return prepare_exactly(Image.fromarray(rgb), recipe) if recipe.exact else prepare_fast(rgb, recipe)


def prepare_fast(rgb: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(H, W, 3) → (h, w, 3) uint8, perhaps a view. Of a long strip only what can be seen is resized."""
    (height, width), (resized_height, resized_width) = rgb.shape[:2], _resized_px(rgb.shape[0], rgb.shape[1], recipe)
    down = _axis(height, max(1, resized_height), recipe.size_px[0])
    across = _axis(width, max(1, resized_width), recipe.size_px[1])
    kept = _resized(rgb[down.begin : down.end, across.begin : across.end], down, across, recipe.interpolation)
    if kept.shape[:2] == recipe.size_px:
        return kept
    framed = np.full((*recipe.size_px, 3), recipe.fill_color, np.uint8)
    framed[down.before : down.before + down.kept, across.before : across.before + across.kept] = kept
    return framed


def prepare_exactly(image: Image.Image, recipe: Recipe) -> np.ndarray:
    """(h, w, 3) uint8: what open_clip's transform makes of the image in its own mode, bit for bit.

    Of a strip so thin that open_clip fails on it, or would need gigabytes, it is the fast way's result.
    """
    height, width = _resized_px(image.height, image.width, recipe)
    if not 0 < height * width <= _MOST_RESIZED_PX:
        return prepare_fast(to_rgb(image), recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transparency that is lost
        for step in _open_clips_steps(recipe):
            image = step(image)
    return np.asarray(image)


def _resized_px(height: int, width: int, recipe: Recipe) -> tuple[int, int]:
    """The whole image's height and width after resizing, rounded as torchvision and open_clip do; `longest` may come to 0."""
    target_height, target_width = recipe.size_px
    if recipe.resize_mode == "squash":
        return recipe.size_px
    if recipe.resize_mode == "shortest" and target_height == target_width:
        longer = int(target_height * max(height, width) / min(height, width))
        return (longer, target_width) if width <= height else (target_height, longer)
    choose = max if recipe.resize_mode == "longest" else min
    ratio = choose(height / target_height, width / target_width)
    return round(height / ratio), round(width / ratio)


def _axis(source: int, resized: int, target: int) -> _Axis:
    """What is made of `source` px, which come to `resized`, for the `target` in their middle: all of it, but of a long strip.

    There the source is cut to what can be seen, from a place where the two grids all but coincide, so that the filter falls
    on it as it would have. Elsewhere a cut saves nothing: torch would copy what is left before it resizes it.
    """
    start = round((resized - target) / 2) if resized > target else 0
    kept = min(resized, target)
    before = max(0, target - resized) // 2
    if start <= _MOST_WASTED * target:
        return _Axis(0, source, resized, start, kept, before, resized / source)
    per_px = source / resized
    reach = _REACH_PX * max(1.0, per_px) + 1
    end = min(source, math.ceil((start + kept) * per_px + reach))
    last = int((start * per_px - reach) / per_px)
    firsts = np.arange(max(0, last - _PLACES), last + 1)
    first = int(firsts[np.argmin(np.abs(firsts * per_px - np.round(firsts * per_px)))])
    return _Axis(round(first * per_px), end, start + kept - first, start - first, kept, before, resized / source)


def _resized(window: np.ndarray, down: _Axis, across: _Axis, interpolation: Interpolation) -> np.ndarray:
    resize = torch.ops.aten._upsample_bicubic2d_aa if interpolation == "bicubic" else torch.ops.aten._upsample_bilinear2d_aa
    # In this order the strides say channels last, for which torch has its fastest code. F.interpolate takes no size with factors.
    planes = torch.from_numpy(window).unsqueeze(0).permute(0, 3, 1, 2)
    made = resize.default(planes, [down.made, across.made], False, down.factor, across.factor)
    kept: np.ndarray = made[0].permute(1, 2, 0).numpy()
    return kept[down.skip : down.skip + down.kept, across.skip : across.skip + across.kept]


@functools.lru_cache(maxsize=8)
def _open_clips_steps(recipe: Recipe) -> list[Callable[[Any], Any]]:
    """open_clip's transform up to where the image becomes a tensor."""
    import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

    # isort: split
    from open_clip.transform import MaybeToTensor, PreprocessCfg, image_transform_v2

    cfg = PreprocessCfg(
        size=recipe.size_px,
        interpolation=recipe.interpolation,
        resize_mode=recipe.resize_mode,
        fill_color=recipe.fill_color,
    )
    steps: list[Callable[[Any], Any]] = image_transform_v2(cfg, is_train=False).transforms
    return steps[: next(i for i, step in enumerate(steps) if isinstance(step, MaybeToTensor))]


__all__ = [
    "BrokenImageError",
    "Picture",
    "Recipe",
    "decode",
    "picture_of",
    "prepare",
    "prepare_exactly",
    "prepare_fast",
    "recipe_of",
]
