"""Bytes as served → the JPEG that is stored: decoded, oriented, resized, encoded; img2dataset's pixels wherever those are right.

Differences, on purpose: EXIF orientation is applied; 16-bit images are scaled to 8 bits (img2dataset's come out white).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline.download.exif import read_exif
from pipeline.download.header import is_cut_short, read_header
from pipeline.download.resize import ResizeMode, resize

# (transpose first, then flip code of cv2.flip) for each EXIF orientation; None: no flip. TIFF 6.0 p. 36.
_TURNS: dict[int, tuple[bool, int | None]] = {
    1: (False, None),
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
_ROWS = 256  # rows of an image with alpha that are blended at a time

cv2.setNumThreads(1)  # the pool of decoders is the parallelism
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # broken images are counted, not logged


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How images are stored: `size` px as `mode` understands it, `enlarge` smaller ones or leave them, JPEG quality."""

    size: int
    mode: ResizeMode
    enlarge: bool
    quality: int
    max_pixels: int


class Picture(NamedTuple):
    """A stored image: JPEG bytes, its size and the served one's (oriented) in px, EXIF as a JSON object."""

    jpg: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    exif: str | None


class BadImageError(Exception):
    """The bytes give no picture; the message is one of outcomes.RESIZE_FAILURES."""


def make_picture(body: bytes, settings: ImageSettings) -> Picture:
    """The picture to store. Raises BadImageError with the reason; nothing is decoded beyond `settings.max_pixels`."""
    header = read_header(body)
    if header is None:
        raise BadImageError("not_image")
    if header.width * header.height > settings.max_pixels:
        raise BadImageError("too_many_pixels")
    pixels = _decode(body)
    if pixels is None:
        raise BadImageError("truncated" if is_cut_short(body, header.format) else "corrupt")
    orientation, exif = read_exif(header.exif)
    served_height, served_width = pixels.shape[:2]
    stored = _turn(resize(_flatten(pixels), settings.size, settings.mode, enlarge=settings.enlarge), orientation)
    _, jpg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, settings.quality])
    if _TURNS[orientation][0]:
        served_width, served_height = served_height, served_width
    height, width = stored.shape[:2]
    return Picture(jpg.tobytes(), width, height, served_width, served_height, exif)


def _decode(body: bytes) -> Any:
    """(h, w) or (h, w, 3 or 4) uint8, BGR(A), None for what cannot be decoded."""
    try:
        pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError):
        return None
    if pixels is None or pixels.size == 0 or pixels.dtype not in (np.uint8, np.uint16):
        return None
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    return pixels if pixels.ndim == 2 or pixels.shape[2] in (3, 4) else None


def _flatten(pixels: Any) -> Any:
    """Transparent images on white: (h, w, 4) → (h, w, 3); others as they are.

    `(a·c + (255 - a)·255) / 255`, rounded, as img2dataset computes in float64; exact in uint16, since 255² + 127 < 2^16.
    """
    if pixels.ndim == 2 or pixels.shape[2] != 4:
        return pixels
    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), _ROWS):
        rows = pixels[top : top + _ROWS].astype(np.uint16)
        alpha = rows[..., 3:]
        flat[top : top + _ROWS] = (alpha * rows[..., :3] + (255 - alpha) * 255 + 127) // 255
    return flat


def _turn(pixels: Any, orientation: int) -> Any:
    transposed, flip = _TURNS[orientation]
    if transposed:
        pixels = cv2.transpose(pixels)
    return pixels if flip is None else cv2.flip(pixels, flip)
