"""Bytes as served → the picture that is stored: decoded, oriented, resized, encoded; img2dataset's pixels where those are right.

Differences, on purpose: EXIF orientation is applied; 16-bit images are scaled to 8 bits (img2dataset's come out white); other
colours than sRGB are converted to it; a JPEG that needs no change keeps its bytes, less metadata.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2

from pipeline.download.images.blur import BYTES_PER_PIXEL, blur
from pipeline.download.images.colour import is_srgb, to_srgb
from pipeline.download.images.decode import BadImageError, check_scans, decode, is_decodable
from pipeline.download.images.encode import LONGEST_SIDE, encode
from pipeline.download.images.exif import read_exif
from pipeline.download.images.header import Header, TooComplexError, read_header
from pipeline.download.images.jpeg import stripped
from pipeline.download.images.modes import Interpolation, ResizeMode, StoredFormat
from pipeline.download.images.resize import keeps_its_size, resize, scaled_size
from pipeline.download.images.room import Room

__all__ = ["BadImageError", "ImageSettings", "Picture", "make_picture", "memory_of"]

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
# Per pixel that is stored, as turned and as encoded; libwebp has a picture of its own, and what it predicts.
_STORED_BYTES: dict[StoredFormat, int] = {"jpg": 6, "png": 6, "webp": 24}
_LONGEST_SERVED = max(LONGEST_SIDE.values())  # px; OpenCV reads no longer sides either, and what is per column stays small
_MOST_BYTES_PER_PIXEL, _METADATA_BYTES = 4, 4096  # of a JPEG that is stored as served; what is larger is no ordinary one


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How images are stored, and which are not: `size` px as `mode` understands it, `enlarge` smaller ones or leave them.

    `quality`: 1 to 100, of png the compression, 0 to 9. `reencode`: never store a JPEG's own bytes. `min_size`: px, of the
    shorter side; `max_area`: px; `max_aspect`: longer ÷ shorter side; all of the image as served.
    """

    size: int
    mode: ResizeMode
    enlarge: bool
    quality: int
    max_pixels: int
    format: StoredFormat = "jpg"
    reencode: bool = False
    min_size: int = 0
    max_area: int | None = None
    max_aspect: float | None = None
    upscale: Interpolation = "lanczos"
    downscale: Interpolation = "area"


class Picture(NamedTuple):
    """A stored image: its bytes, its size and the served one's (oriented) in px, EXIF as a JSON object.

    `passed`: the bytes are those that were served, less metadata.
    """

    data: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    exif: str | None
    passed: bool


def make_picture(
    body: bytes, settings: ImageSettings, *, boxes: Sequence[Sequence[float]] = (), room: Room | None = None
) -> Picture:
    """The picture to store. Raises BadImageError with the reason; what the header rules out is not decoded.

    `boxes`: faces to blur, x0, y0, x1, y1 as parts of the image as served, before it is turned; ValueError where they are no
    such numbers. Waits until `room` has place for what decoding takes.
    """
    header = _admitted(body, settings)
    orientation, exif = read_exif(header.exif)
    with room.taken(memory_of(header, settings, boxes)) if room else nullcontext():
        if orientation == 1 and not len(boxes) and _may_pass(header, settings):
            data = _passed(body, header)
            if data is not None:
                return Picture(data, header.width, header.height, header.width, header.height, exif, True)
        pixels, profile = decode(body, header)
        served_height, served_width = pixels.shape[:2]
        if _TURNS[orientation][0]:
            served_width, served_height = served_height, served_width
        stored = _turn(to_srgb(_resized(pixels, settings, boxes), profile), orientation)
        del pixels
        data = encode(stored, settings.format, settings.quality)
    if data is None:
        raise BadImageError("too_long")
    height, width = stored.shape[:2]
    return Picture(data, width, height, served_width, served_height, exif, False)


def memory_of(header: Header, settings: ImageSettings, boxes: Sequence[Sequence[float]]) -> int:
    """Bytes that making the picture takes at its peak, an estimate: what decoding takes, and the pixels that are stored."""
    scaled = scaled_size(header.width, header.height, settings.size, settings.mode, enlarge=settings.enlarge)
    width, height = scaled or (header.width, header.height)
    return header.memory + width * height * (_STORED_BYTES[settings.format] + (BYTES_PER_PIXEL if len(boxes) else 0))


def _admitted(body: bytes, settings: ImageSettings) -> Header:
    """The header of an image within all limits."""
    try:
        header = read_header(body)
    except TooComplexError as error:
        raise BadImageError("too_complex") from error
    if header is None:
        raise BadImageError("not_image")
    width, height = header.width, header.height
    if width * height > settings.max_pixels:
        raise BadImageError("too_many_pixels")
    if not width or not height:
        raise BadImageError("corrupt")
    if max(width, height) > _LONGEST_SERVED:
        raise BadImageError("too_long")
    if min(width, height) < settings.min_size:
        raise BadImageError("too_small")
    if settings.max_area is not None and width * height > settings.max_area:
        raise BadImageError("too_large_area")
    if settings.max_aspect is not None and max(width, height) / min(width, height) > settings.max_aspect:
        raise BadImageError("too_elongated")
    scaled = scaled_size(width, height, settings.size, settings.mode, enlarge=settings.enlarge)
    if scaled is not None and scaled[0] * scaled[1] > max(width * height, settings.max_pixels):
        raise BadImageError("too_many_pixels")
    return header


def _may_pass(header: Header, settings: ImageSettings) -> bool:
    """Whether nothing but its metadata would change. Orientation and boxes are the caller's."""
    jpeg = header.jpeg
    if jpeg is None or settings.format != "jpg" or settings.reencode or not jpeg.is_plain:
        return False
    if not keeps_its_size(header.width, header.height, settings.size, settings.mode, enlarge=settings.enlarge):
        return False
    return is_srgb(header.icc, "L" if len(jpeg.components) == 1 else "RGB")


def _passed(body: bytes, header: Header) -> bytes | None:
    """The bytes to store as they are, less metadata; None where they are not plainly a whole and sound JPEG."""
    data = stripped(body)
    if data is None or len(data) > header.width * header.height * _MOST_BYTES_PER_PIXEL + _METADATA_BYTES:
        return None
    check_scans(data, header)
    return data if is_decodable(data) else None


def _resized(pixels: Any, settings: ImageSettings, boxes: Sequence[Sequence[float]]) -> Any:
    return resize(
        pixels,
        settings.size,
        settings.mode,
        enlarge=settings.enlarge,
        upscale=settings.upscale,
        downscale=settings.downscale,
        between=partial(blur, boxes=boxes),
    )


def _turn(pixels: Any, orientation: int) -> Any:
    transposed, flip = _TURNS[orientation]
    if transposed:
        pixels = cv2.transpose(pixels)
    return pixels if flip is None else cv2.flip(pixels, flip)
