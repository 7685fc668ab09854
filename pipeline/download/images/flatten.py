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

    `(a·c + (255 - a)·255) / 255`, rounded, as img2dataset computes in float64; exact in uint16, since 255² + 127 < 2^16.
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
    if rows[..., 3].min() == 255:
        return rows[..., :3].copy()
    wide = rows.astype(np.uint16)
    alpha = wide[..., 3:]
    return (alpha * wide[..., :3] + (255 - alpha) * 255 + 127) // 255
