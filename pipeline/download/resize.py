"""Resize modes, as img2dataset defines them (and albumentations rounds): decoded pixels in, decoded pixels out."""

from typing import Any

import cv2

from pipeline.download.config import ResizeMode

__all__ = ["ResizeMode", "resize"]


def resize(pixels: Any, size: int, mode: ResizeMode, *, enlarge: bool) -> Any:
    """(h, w[, 3]) uint8 resized so that one side is `size` px.

    keep_ratio_largest: the longer side; border: the same, padded with white to a square; keep_ratio: the shorter side;
    center_crop: the same, cropped to a square; no: unchanged. An image that is not larger stays as it is unless `enlarge`.
    """
    if mode == "no":
        return pixels
    longest = mode in ("keep_ratio_largest", "border")
    side = max(pixels.shape[:2]) if longest else min(pixels.shape[:2])
    if side <= size and not enlarge:
        return pixels
    resized = _scale(pixels, size, side)
    if mode == "border":
        return _pad(resized, size)
    return _crop(resized, size) if mode == "center_crop" else resized


def _scale(pixels: Any, size: int, side: int) -> Any:
    height, width = (max(1, round(length * (size / side))) for length in pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    method = cv2.INTER_AREA if side > size else cv2.INTER_LANCZOS4
    return cv2.resize(pixels, (width, height), interpolation=method)


def _pad(pixels: Any, size: int) -> Any:
    above, left = ((size - length) // 2 for length in pixels.shape[:2])
    below, right = size - pixels.shape[0] - above, size - pixels.shape[1] - left
    return cv2.copyMakeBorder(pixels, above, below, left, right, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _crop(pixels: Any, size: int) -> Any:
    top, left = ((length - size) // 2 for length in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]
