"""Bytes of an image → pixels, 8 bits, on white, not turned: each format by the library that does it well (bench/decoders.py).

JPEG by simplejpeg (libjpeg-turbo), which says where data are damaged; PNG and WebP by OpenCV; the others by Pillow.
Of anything that moves the first frame is decoded, and no other. All of them let other threads run meanwhile.
"""

from typing import Any

import cv2
import numpy as np
import simplejpeg

from pipeline.download.images.flatten import on_white
from pipeline.download.images.header import Header, TooComplexError, is_cut_short
from pipeline.download.images.jpeg import MOST_SCANNED_PX, count_scans
from pipeline.download.images.png import BITS_AT, TooManyChunksError, pixels_only
from pipeline.download.images.through_pillow import decode_with_pillow

_ARITHMETIC = 8  # times as long as a Huffman code
_CMYK_COMPONENTS = 4

cv2.setNumThreads(1)  # the pool of decoders is the parallelism
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # broken images are counted, not logged


class BadImageError(Exception):
    """The bytes give no picture; the message is one of outcomes.RESIZE_FAILURES."""


def decode(body: bytes, header: Header) -> tuple[Any, bytes]:
    """(h, w) or (h, w, 3) uint8, BGR, and the ICC profile that is to be applied to it still. Raises BadImageError."""
    try:
        if header.format == "JPEG":
            return _jpeg(body, header)
        if header.format == "PNG":
            return _png(body, header)
        if header.format == "WEBP":
            return on_white(_opencv(body)), header.icc
        return decode_with_pillow(body, header.format, (header.width, header.height), header.icc)
    except (cv2.error, MemoryError, ValueError) as error:
        raise BadImageError("truncated" if is_cut_short(body, header.format) else "corrupt") from error
    except (TooComplexError, TooManyChunksError) as error:
        raise BadImageError("too_complex") from error


def is_decodable(body: bytes) -> bool:
    """Whether a JPEG is whole and sound: its codes are read to the end, but an eighth of its pixels made in each direction."""
    try:
        simplejpeg.decode_jpeg(body, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError:
        return False
    return True


def check_scans(body: bytes, header: Header) -> None:
    """Raises BadImageError where a JPEG's passes would keep a decoder busy."""
    weight = _ARITHMETIC if header.jpeg is not None and header.jpeg.arithmetic else 1
    each = header.width * header.height * weight
    if header.scans * each <= MOST_SCANNED_PX:  # of the file as served, from which metadata may have been taken since
        return
    if count_scans(body) * each > MOST_SCANNED_PX:
        raise BadImageError("too_complex")


def _jpeg(body: bytes, header: Header) -> tuple[Any, bytes]:
    assert header.jpeg is not None  # noqa: S101 - JPEGs have one
    check_scans(body, header)
    components = len(header.jpeg.components)
    if components == _CMYK_COMPONENTS and header.icc:
        return decode_with_pillow(body, header.format, (header.width, header.height), header.icc)
    if components not in (1, 3):
        return _opencv(body), b""
    space = "GRAY" if components == 1 else "BGR"
    try:
        pixels = simplejpeg.decode_jpeg(body, space)
    except ValueError:  # truncated, or damaged: then as much as can be made of it, as img2dataset does
        if is_cut_short(body, "JPEG"):
            raise
        pixels = _damaged_jpeg(body, space)
    return pixels[..., 0] if pixels.ndim == 3 and components == 1 else pixels, header.icc


def _damaged_jpeg(body: bytes, space: str) -> Any:
    try:
        return simplejpeg.decode_jpeg(body, space, strict=False)
    except ValueError:  # unusual subsampling
        return _opencv(body)


def _png(body: bytes, header: Header) -> tuple[Any, bytes]:
    """OpenCV keeps two copies: where samples have 16 bits Pillow, which makes 8 of them at once, takes a third of the memory."""
    pixels = pixels_only(body)
    if pixels is None:
        raise ValueError("a chunk is cut or damaged")
    if body[BITS_AT] == 16:
        return decode_with_pillow(pixels, "PNG", (header.width, header.height), b"")[0], header.icc
    return on_white(_opencv(pixels)), header.icc


def _opencv(body: bytes) -> Any:
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.size == 0 or pixels.dtype != np.uint8:
        raise ValueError("not decodable")
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        raise ValueError("neither three nor four channels")
    return pixels
