"""The chunks of a PNG (3rd edition, §5 and §11): what they say, and the file without any that do not make its pixels."""

import struct
import zlib
from typing import NamedTuple

from pipeline.download.images import MOST_ICC_BYTES

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BITS_AT = 24  # of a sample
_MOST_CHUNKS = 100_000
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
# Bytes per pixel that decoding takes, by colour type: two copies; of 16 bits Pillow's and ours.
_EIGHT_BITS, _KEYED = {0: 2, 2: 6, 3: 6, 4: 8, 6: 8}, 8
_SIXTEEN_BITS = 8


class Png(NamedTuple):
    """Size in px, bytes per pixel that decoding takes, EXIF with its mark, ICC profile."""

    width: int
    height: int
    pixel_bytes: int
    exif: bytes
    icc: bytes


class TooManyChunksError(Exception):
    """More chunks than any writer makes."""


def read_png(body: bytes) -> Png | None:
    """What stands before the pixels; None where that is no header. Raises struct.error, TooManyChunksError."""
    if body[12:16] != b"IHDR":
        return None
    width, height, bits, colour = struct.unpack_from(">IIBB", body, 16)
    exif = icc = b""
    known = keyed = False
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(body):
            break
        (length,) = struct.unpack_from(">I", body, at)
        kind = body[at + 4 : at + 8]
        if kind == b"eXIf":
            exif = b"Exif\0\0" + body[at + 8 : at + 8 + length]
        elif kind == b"iCCP":
            icc = _profile(body[at + 8 : at + 8 + length])
        elif kind == b"tRNS":
            keyed = True
        known |= kind in (b"sRGB", b"cICP")  # either says more than a profile
        if kind in (b"IDAT", b"IEND"):
            break
        at += 12 + length
    else:
        raise TooManyChunksError
    pixel_bytes = _SIXTEEN_BITS if bits == 16 else _KEYED if keyed else _EIGHT_BITS.get(colour, 8)
    return Png(width, height, pixel_bytes, exif, b"" if known else icc)


def pixels_only(body: bytes) -> bytes | None:
    """The PNG with the chunks that make its (first) picture; None where one of them is cut, or has another checksum.

    libpng is given no text, profile or animation to inflate, and nothing to warn of.
    """
    kept, at = [SIGNATURE], 8
    for _ in range(_MOST_CHUNKS):
        kind, length = body[at + 4 : at + 8], int.from_bytes(body[at : at + 4], "big")
        end = at + 12 + length
        if end > len(body) or not kind.isalpha():
            return None
        if kind in _PIXELS:
            if zlib.crc32(memoryview(body)[at + 4 : end - 4]) != int.from_bytes(body[end - 4 : end], "big"):
                return None
            kept.append(body[at:end])
        elif kind[:1].isupper():  # critical, and unknown
            return None
        if kind == b"IEND":
            return b"".join(kept)
        at = end
    raise TooManyChunksError


def _profile(chunk: bytes) -> bytes:
    """An iCCP chunk's profile, b"" where it cannot be inflated within bounds."""
    _name, _, rest = chunk[:81].partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(chunk[len(chunk[:81]) - len(rest) + 1 :], MOST_ICC_BYTES)
    except zlib.error:
        return b""
    return profile if inflater.eof else b""
