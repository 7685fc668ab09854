"""Faces blurred, as img2dataset's BoundingBoxBlurrer does, after Yang et al. 2021 (A Study of Face Obfuscation in ImageNet).

Boxes are made larger by a tenth of their longer side and filled into a mask; picture and mask are blurred with a Gaussian whose
width goes by the largest box; the blurred picture shows where the mask does. Only what this can change is computed.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

_MARGIN = 0.1  # of a box's longer side, on each of its sides
_SIGMA = 0.1  # of the largest box's longer side
_MOST_WORK = 2 * 10**9  # pixels × kernel of a plane, about 1 s
BYTES_PER_PIXEL = 24  # that blurring takes at its peak: a copy; a plane, its blurred one, the mask, cv2's rows in float32

Box = tuple[int, int, int, int]


def blur(pixels: Any, boxes: Sequence[Sequence[float]]) -> Any:
    """(h, w[, 3]) uint8 with the boxes blurred: x0, y0, x1, y1 as parts of the width and height, 0 to 1.

    What reaches beyond the picture is cut off. Raises ValueError for what is no four finite numbers.
    """
    if not len(boxes):
        return pixels
    height, width = pixels.shape[:2]
    inner = [_pixels_of(box, width, height) for box in boxes]
    longest = max(0, *(max(right - left, bottom - top) for left, top, right, bottom in inner))
    kernel = max(3, 2 * math.ceil(_SIGMA * longest) + 1)
    grown = [_grown(box, width, height) for box in inner]
    grown = [box for box in grown if box[0] < box[2] and box[1] < box[3]]
    if not grown:
        return pixels
    return _blurred(pixels, grown, kernel)


def _pixels_of(box: Sequence[float], width: int, height: int) -> Box:
    if len(box) != 4 or not all(math.isfinite(part) for part in box):
        raise ValueError(f"box {list(box)!r}: must be four finite numbers")
    left, top, right, bottom = (min(1.0, max(0.0, part)) for part in box)
    return int(left * width), int(top * height), int(right * width), int(bottom * height)


def _grown(box: Box, width: int, height: int) -> Box:
    left, top, right, bottom = box
    margin = _MARGIN * max(right - left, bottom - top)
    corners = (int(left - margin), int(top - margin), int(right + margin), int(bottom + margin))
    mosts = (width - 1, height - 1, width - 1, height - 1)
    left, top, right, bottom = (min(most, max(0, corner)) for corner, most in zip(corners, mosts, strict=True))
    return left, top, right, bottom


def _blurred(pixels: Any, boxes: list[Box], kernel: int) -> Any:
    """The mask reaches half a kernel beyond the boxes, and what it shows comes from half a kernel further out."""
    height, width = pixels.shape[:2]
    reach = kernel  # twice the half, and one to spare
    top, bottom = max(0, min(box[1] for box in boxes) - reach), min(height, max(box[3] for box in boxes) + reach)
    left, right = max(0, min(box[0] for box in boxes) - reach), min(width, max(box[2] for box in boxes) + reach)
    mask = np.zeros((bottom - top, right - left), np.float32)
    for x0, y0, x1, y1 in boxes:
        mask[y0 - top : y1 - top, x0 - left : x1 - left] = 1
    mask = _soft(mask, kernel)
    done = pixels.copy()
    part = done[top:bottom, left:right].reshape(*mask.shape, -1)
    for channel in range(part.shape[2]):  # one at a time: pictures may be near the bound
        sharp = part[..., channel].astype(np.float32)
        soft = _soft(sharp, kernel)
        soft -= sharp
        soft *= mask
        soft += sharp
        part[..., channel] = soft
    return done


def _soft(plane: Any, kernel: int) -> Any:
    """(h, w) float32, blurred; where that would take seconds, as made small first: at such widths nobody sees it."""
    height, width = plane.shape
    step = math.ceil((height * width * kernel / _MOST_WORK) ** (1 / 3))
    if step <= 1:
        return _gaussian(plane, kernel)
    small = cv2.resize(plane, (max(1, width // step), max(1, height // step)), interpolation=cv2.INTER_AREA)
    return cv2.resize(_gaussian(small, max(3, kernel // step | 1)), (width, height), interpolation=cv2.INTER_LINEAR)


def _gaussian(plane: Any, kernel: int) -> Any:
    """As with a square kernel; but cv2 keeps as many rows as a kernel has, so beyond a far shorter side it is cut off."""
    height, width = plane.shape
    across, down = min(kernel, 2 * width + 1), min(kernel, 2 * height + 1)
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8  # cv2's own for the kernel
    return cv2.GaussianBlur(plane, (across, down), 0 if across == down == kernel else sigma)
