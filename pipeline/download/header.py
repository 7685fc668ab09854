"""What an image's first bytes say of it: format, size and EXIF, read without decoding and without trusting anything.

JPEG, PNG, GIF and WebP are read here, from their specifications (ITU T.81 annex B, PNG 3rd ed. §11, GIF89a §18, RFC 9649),
because a library may allocate a whole canvas before it answers; BMP, TIFF and AVIF through Pillow.
"""

import io
import struct
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

_THROUGH_PILLOW = ("BMP", "TIFF", "AVIF")
_EXIF_MARK = b"Exif\0\0"
# JPEG: start-of-frame markers carry the size; C4, C8 and CC are tables, not frames.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Header(NamedTuple):
    """Format ("JPEG", "PNG" …), size in px before orientation, the EXIF block with its "Exif" mark (b"" for none)."""

    format: str
    width: int
    height: int
    exif: bytes


def read_header(body: bytes) -> Header | None:
    """The header of an image's bytes, None where they are no image of a known format."""
    try:
        if body[:2] == b"\xff\xd8":
            return _jpeg(body)
        if body[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(body)
        if body[:6] in (b"GIF87a", b"GIF89a"):
            width, height = struct.unpack_from("<HH", body, 6)
            return Header("GIF", width, height, b"")
        if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
            return _webp(body)
    except (struct.error, IndexError):
        return None
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
    at, exif = 2, b""
    while at < len(body):
        if body[at] != 0xFF:
            return None
        marker = body[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            at += 2
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", body, at + 5)
            return Header("JPEG", width, height, exif)
        elif marker in (0xD9, 0xDA):  # end, or scan, before any frame
            return None
        else:
            (length,) = struct.unpack_from(">H", body, at + 2)
            if marker == 0xE1 and not exif and body[at + 4 : at + 10] == _EXIF_MARK:
                exif = body[at + 4 : at + 2 + length]
            at += 2 + length
    return None


def _png(body: bytes) -> Header | None:
    if body[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", body, 16)
    at, exif = 8, b""
    while at + 8 <= len(body):
        (length,) = struct.unpack_from(">I", body, at)
        kind = body[at + 4 : at + 8]
        if kind == b"eXIf":
            exif = _EXIF_MARK + body[at + 8 : at + 8 + length]
        if kind in (b"eXIf", b"IDAT", b"IEND"):
            break
        at += 12 + length
    return Header("PNG", width, height, exif)


def _webp(body: bytes) -> Header | None:
    kind = body[12:16]
    if kind == b"VP8 " and body[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 26)
        return Header("WEBP", width & 0x3FFF, height & 0x3FFF, b"")
    if kind == b"VP8L" and body[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", body, 21)
        return Header("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, b"")
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (24, 27))
        if len(body) < 30:
            return None
        return Header("WEBP", width, height, _webp_exif(body))
    return None


def _webp_exif(body: bytes) -> bytes:
    at = 12
    while at + 8 <= len(body):
        (length,) = struct.unpack_from("<I", body, at + 4)
        if body[at : at + 4] == b"EXIF":
            block = body[at + 8 : at + 8 + length]
            return block if block.startswith(_EXIF_MARK) else _EXIF_MARK + block
        at += 8 + length + length % 2
    return b""


def _through_pillow(body: bytes) -> Header | None:
    try:
        with Image.open(io.BytesIO(body), formats=_THROUGH_PILLOW) as image:
            return Header(str(image.format), *image.size, b"")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Header("bomb", 2**31, 2**31, b"")  # beyond Pillow's bound, and so beyond ours
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, struct.error):
        return None
