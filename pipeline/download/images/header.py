"""What an image's first bytes say of it, read without decoding and without trusting anything.

JPEG, PNG, GIF and WebP are read here, from their specifications (ITU T.81 annex B, PNG 3rd ed. §11, GIF89a §18, RFC 9649),
because a library may allocate a whole canvas before it answers; BMP, TIFF and AVIF through Pillow.
"""

import io
import math
import struct
import warnings
from typing import Any, NamedTuple

from PIL import AvifImagePlugin, Image

from pipeline.download.images import MOST_ICC_BYTES
from pipeline.download.images.jpeg import Jpeg, count_scans, read_jpeg
from pipeline.download.images.png import SIGNATURE, TooManyChunksError, read_png

THROUGH_PILLOW = ("BMP", "TIFF", "AVIF")
_EXIF_MARK = b"Exif\0\0"
_MOST_BLOCKS = 1_000_000  # of a GIF before its first picture, or of a WebP
_TILE_PIXELS = 2**24  # that a tile of a TIFF may have whatever the size of its picture
# Bytes per pixel that decoding takes at its peak, the decoder's own and ours.
_WEBP_BYTES, _WEBP_MOVING_BYTES, _GIF_BYTES, _PILLOW_BYTES, _AVIF_BYTES = 8, 12, 8, 8, 16
_TILE_TAGS, _SAMPLES_TAG, _BITS_TAG, _COMPRESSION_TAG = (0x0142, 0x0143), 0x0115, 0x0102, 0x0103
_JPEG_IN_TIFF = 7

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the pool of decoders is the parallelism
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # broken images are counted, not logged
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # we have a bound of our own


class Header(NamedTuple):
    """Format ("JPEG", "PNG" …), size in px before orientation, the EXIF block with its "Exif" mark (b"" for none).

    `icc`: the profile, b"" for none; `memory`: bytes that decoding takes at its peak, an estimate; `jpeg`: more of a JPEG;
    `scans`: its passes at most.
    """

    format: str
    width: int
    height: int
    exif: bytes = b""
    icc: bytes = b""
    memory: int = 0
    jpeg: Jpeg | None = None
    scans: int = 0


class TooComplexError(Exception):
    """More parts than any writer makes."""


def read_header(body: bytes) -> Header | None:
    """The header of an image's bytes, None where they are no image of a known format. Raises TooComplexError."""
    try:
        if body[:2] == b"\xff\xd8":
            return _jpeg(body)
        if body[:8] == SIGNATURE:
            return _png(body)
        if body[:6] in (b"GIF87a", b"GIF89a"):
            return _gif(body)
        if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
            return _webp(body)
    except (struct.error, IndexError):
        return None
    except TooManyChunksError as error:
        raise TooComplexError from error
    return _through_pillow(body)


def is_cut_short(body: bytes, image_format: str) -> bool:
    """Whether the end that the format prescribes is missing; False where the format prescribes none."""
    if image_format == "JPEG":
        return b"\xff\xd9" not in body[-1024:]
    if image_format == "PNG":
        return b"IEND" not in body[-1024:]
    if image_format == "GIF":
        return b"\x3b" not in body[-16:]
    if image_format == "WEBP":
        return len(body) < int.from_bytes(body[4:8], "little") + 8
    return False


def _jpeg(body: bytes) -> Header | None:
    found = read_jpeg(body)
    if found is None:
        return None
    pixels = found.width * found.height
    # Stored samples, and for several scans two bytes for each coefficient; CMYK in a copy too, and whatever OpenCV must read.
    each = 1 if len(found.components) == 1 else 3 if len(found.components) == 3 else 7
    scans = count_scans(body)
    several = found.progressive or scans > 1
    memory = int(pixels * max(min(2 * each, 7), each + (2 * found.samples_per_pixel if several else 0)))
    return Header("JPEG", found.width, found.height, found.exif, found.icc, memory, found, scans)


def _png(body: bytes) -> Header | None:
    found = read_png(body)
    if found is None:
        return None
    pixels = found.width * found.height
    return Header("PNG", found.width, found.height, found.exif, found.icc, pixels * found.pixel_bytes)


def _gif(body: bytes) -> Header | None:
    """The canvas, or the first picture where that is larger: Pillow then makes the canvas larger."""
    width, height, flags = struct.unpack_from("<HHB", body, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    blocks = False  # inside an extension, before one of its blocks
    for _ in range(_MOST_BLOCKS):
        kind = body[at : at + 1]
        if blocks:
            blocks = kind not in (b"", b"\0")
            at += 1 + (kind[0] if kind else 0)
        elif kind == b"\x21":
            blocks = True
            at += 2
        else:
            if kind == b"\x2c":
                left, top, wide, high = struct.unpack_from("<HHHH", body, at + 1)
                width, height = max(width, left + wide), max(height, top + high)
            return Header("GIF", width, height, memory=width * height * _GIF_BYTES)
    raise TooComplexError


def _webp(body: bytes) -> Header | None:
    kind = body[12:16]
    if kind == b"VP8 " and body[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 26)
        return _webp_header(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and body[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", body, 21)
        return _webp_header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (24, 27))
        if len(body) < 30:
            return None
        moving = bool(body[20] & 2)
        exif, icc = (_webp_chunk(body, name) for name in (b"EXIF", b"ICCP"))
        if exif and not exif.startswith(_EXIF_MARK):
            exif = _EXIF_MARK + exif
        return _webp_header(width, height, _WEBP_MOVING_BYTES if moving else _WEBP_BYTES, exif, icc)
    return None


def _webp_header(width: int, height: int, pixel_bytes: int = _WEBP_BYTES, exif: bytes = b"", icc: bytes = b"") -> Header:
    return Header("WEBP", width, height, exif, _bounded(icc), width * height * pixel_bytes)


def _webp_chunk(body: bytes, name: bytes) -> bytes:
    at = 12
    for _ in range(_MOST_BLOCKS):
        if at + 8 > len(body):
            return b""
        (length,) = struct.unpack_from("<I", body, at + 4)
        if body[at : at + 4] == name:
            return body[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    raise TooComplexError


def _through_pillow(body: bytes) -> Header | None:
    try:
        with Image.open(io.BytesIO(body), formats=THROUGH_PILLOW) as image:
            return _pillow_header(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Header("bomb", 2**31, 2**31)  # beyond Pillow's bound, and so beyond ours
    except TooComplexError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises many types on malformed files
        return None


def _pillow_header(image: Any) -> Header:
    width, height = image.size
    exif, icc = image.info.get("exif", b""), image.info.get("icc_profile") or b""
    if exif and not exif.startswith(_EXIF_MARK):
        exif = _EXIF_MARK + exif
    if image.format == "TIFF":
        return Header("TIFF", width, height, b"", _bounded(icc), _tiff_memory(image))  # Pillow turns it itself: no EXIF
    memory = width * height * (_AVIF_BYTES if image.format == "AVIF" else _PILLOW_BYTES)
    return Header(image.format, width, height, exif, _bounded(icc), memory)


def _tiff_memory(image: Any) -> int:
    """Pillow's pixels and either ours or libtiff's: a strip, which may be the picture, or a tile, which may be larger."""
    pixels, tags = image.width * image.height, image.tag_v2
    tile = math.prod(int(tags.get(tag, 0)) for tag in _TILE_TAGS)
    if tile > max(_TILE_PIXELS, 4 * pixels):
        raise TooComplexError
    samples, bits = tags.get(_SAMPLES_TAG, 1), max(tags.get(_BITS_TAG, (1,)))
    each = max(_PILLOW_BYTES, 4 + samples * bits // 8)
    if tags.get(_COMPRESSION_TAG) == _JPEG_IN_TIFF:  # which may be progressive
        each += 2 * samples
    return int(pixels * each + tile * max(_PILLOW_BYTES, samples * bits // 8))


def _bounded(icc: bytes) -> bytes:
    return icc if len(icc) <= MOST_ICC_BYTES else b""
