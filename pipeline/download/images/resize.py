"""Resize modes, as img2dataset defines them (and albumentations rounds): decoded pixels in, decoded pixels out."""

from collections.abc import Callable
from typing import Any

import cv2

from pipeline.download.images.compiled.area import shrink
from pipeline.download.images.modes import Interpolation, ResizeMode

_METHODS: dict[Interpolation, int] = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "bilinear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
    "lanczos4": cv2.INTER_LANCZOS4,
}


def resize(
    pixels: Any,
    size: int,
    mode: ResizeMode,
    *,
    enlarge: bool,
    upscale: Interpolation = "lanczos",
    downscale: Interpolation = "area",
    between: Callable[[Any], Any] = lambda pixels: pixels,
) -> Any:
    """(h, w[, 3]) uint8 resized so that one side is `size` px; `between` is called before pixels are cut off or added.

    keep_ratio_largest: the longer side; border: the same, padded with white to a square; keep_ratio: the shorter side;
    center_crop: the same, cropped to a square; no: unchanged. An image that is not larger stays as it is unless `enlarge`.
    """
    height, width = pixels.shape[:2]
    to = scaled_size(width, height, size, mode, enlarge=enlarge)
    if to is None:
        return between(pixels)
    resized = between(_scale(pixels, *to, downscale if _side(width, height, mode) > size else upscale))
    if mode == "border":
        return _pad(resized, size)
    return _crop(resized, size) if mode == "center_crop" else resized


def scaled_size(width: int, height: int, size: int, mode: ResizeMode, *, enlarge: bool) -> tuple[int, int] | None:
    """(width, height) before anything is cut off or added, in px; None for an image that stays as it is."""
    side = _side(width, height, mode)
    if mode == "no" or (side <= size and not enlarge):
        return None
    return max(1, round(width * (size / side))), max(1, round(height * (size / side)))


def keeps_its_size(width: int, height: int, size: int, mode: ResizeMode, *, enlarge: bool) -> bool:
    """Whether `resize` would give back the pixels of an image of that size as they are."""
    to = scaled_size(width, height, size, mode, enlarge=enlarge)
    return to is None or (to == (width, height) and (width == height or mode in ("keep_ratio", "keep_ratio_largest")))


def _side(width: int, height: int, mode: ResizeMode) -> int:
    return max(width, height) if mode in ("keep_ratio_largest", "border") else min(width, height)


def _scale(pixels: Any, width: int, height: int, how: Interpolation) -> Any:
    if (height, width) == pixels.shape[:2]:
        return pixels
    # Where both sides shrink by whole numbers OpenCV is fast; where one grows, its "area" is something else.
    fractional = pixels.shape[0] % height or pixels.shape[1] % width
    if how == "area" and pixels.ndim == 3 and fractional and height <= pixels.shape[0] and width <= pixels.shape[1]:
        return shrink(pixels, width, height)
    return cv2.resize(pixels, (width, height), interpolation=_METHODS[how])


def _pad(pixels: Any, size: int) -> Any:
    above, left = ((size - length) // 2 for length in pixels.shape[:2])
    below, right = size - pixels.shape[0] - above, size - pixels.shape[1] - left
    return cv2.copyMakeBorder(pixels, above, below, left, right, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _crop(pixels: Any, size: int) -> Any:
    top, left = ((length - size) // 2 for length in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]
