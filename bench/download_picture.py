"""A seed and a size → the pixels of a synthetic picture that compresses as photographs do; drawn anew wherever it is needed.

Patches of smooth colour with hard edges, and over them noise of equal strength in every octave, as natural images have it
(Field 1987: amplitude falls as 1/f), stronger in some places than in others. A graphic has the patches alone.
"""

from collections.abc import Sequence

import cv2
import numpy as np

_OCTAVES = 8  # from single pixels to 128 px
_SHAPES = 24
_COLOURS = 5  # across: the grid of random colours that the background runs through
_COLOUR_NOISE = 0.25  # of the noise in brightness

cv2.setNumThreads(1)  # pictures are drawn side by side


def picture(seed: Sequence[int], width: int, height: int, detail: float) -> np.ndarray:
    """Pixels, (height, width, 3) uint8 RGB; `detail` is the noise per octave in grey levels, 0 for a graphic."""
    draw = np.random.default_rng(seed)
    pixels = _patches(draw, width, height)
    if detail:
        pixels += detail * (_noise(draw, width, height, 0) * _places(draw, width, height))[:, :, None]
        for channel in range(3):
            pixels[:, :, channel] += _COLOUR_NOISE * detail * _noise(draw, width, height, 2)
    return np.rint(pixels.clip(0, 255)).astype(np.uint8)


def opacity(seed: Sequence[int], width: int, height: int) -> np.ndarray:
    """An alpha channel, (height, width) uint8: an ellipse with a soft edge, nothing around it."""
    draw = np.random.default_rng([*seed, 1])
    alpha = np.zeros((height, width), np.float32)
    axes = draw.uniform(0.3, 0.55, 2) * (width, height)
    cv2.ellipse(alpha, ((width / 2, height / 2), tuple(2 * axes), 0.0), 255.0, -1)
    return np.rint(cv2.GaussianBlur(alpha, (0, 0), 2)).astype(np.uint8)


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What a viewer shows of pixels with an alpha channel on a white page, (height, width, 3) float32."""
    share = alpha[:, :, None].astype(np.float32) / 255
    return pixels * share + 255 * (1 - share)


def _patches(draw: np.random.Generator, width: int, height: int) -> np.ndarray:
    grid = draw.uniform(20, 235, (_COLOURS, _COLOURS, 3)).astype(np.float32)
    pixels = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(_SHAPES):
        centre, colour = draw.uniform(0, 1, 2) * (width, height), draw.uniform(10, 245, 3)
        radius = max(2.0, draw.uniform(0.02, 0.22) * max(width, height))
        if draw.random() < 0.5:
            axes = (radius, radius * draw.uniform(0.3, 1))
            cv2.ellipse(pixels, (tuple(centre), tuple(axes), float(draw.uniform(0, 180))), tuple(colour), -1, cv2.LINE_AA)
        else:
            corners = centre + draw.uniform(-radius, radius, (4, 2))
            cv2.fillPoly(pixels, [corners.astype(np.int32)], tuple(colour), cv2.LINE_AA)
    return pixels


def _noise(draw: np.random.Generator, width: int, height: int, first: int) -> np.ndarray:
    """Noise of about unit deviation in each octave from `first` on (single pixels: half, as behind a lens), (height, width)."""
    total = np.zeros((height, width), np.float32)
    for octave in range(first, _OCTAVES):
        across, down = max(2, width >> octave), max(2, height >> octave)
        grains = draw.standard_normal((down, across), np.float32)
        total += grains / 2 if octave == 0 else cv2.resize(grains, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def _places(draw: np.random.Generator, width: int, height: int) -> np.ndarray:
    """How strong the noise is where: sky and walls beside leaves and cloth, (height, width) float32 of mean about 1."""
    coarse = np.exp(draw.normal(-0.4, 0.9, (6, 6))).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
