"""Decoded pixels with 16 bits or alpha → 8 bits, on white; alpha in the memory that it is in: pictures may be near the bound."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

_STRIP_PIXELS = 2**18  # of an image that are converted at a time


def strips(height: int, width: int) -> Iterator[slice]:
    """An image's rows, few at a time."""
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def to_eight_bits(pixels: Any) -> Any:
    """uint16 → uint8, `value / 257` rounded."""
    return cv2.convertScaleAbs(pixels, alpha=1 / 257)


def on_white(pixels: Any) -> Any:
    """(h, w, 4) uint8 → (h, w, 3), blended with white; others as they are. The array given is overwritten.

    `(a·c + (255 - a)·255) / 255`, rounded, as img2dataset computes in float64. 255 less `a·(255 - c) / 255` is the same, which
    OpenCV computes in float32: exact, since no such quotient comes closer to a half than 1/510.
    """
    if pixels.ndim == 2 or pixels.shape[2] != 4:
        return pixels
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    flat = pixels.reshape(-1)[: height * width * 3].reshape(height, width, 3)
    for rows in strips(height, width):
        flat[rows] = _blended(pixels[rows])
    return flat


def _blended(rows: Any) -> Any:
    colours, alpha = cv2.cvtColor(rows, cv2.COLOR_BGRA2BGR), cv2.extractChannel(rows, 3)
    if cv2.minMaxLoc(alpha)[0] == 255:
        return colours
    return ~cv2.multiply(~colours, cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255)
