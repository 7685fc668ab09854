"""The segments of a JPEG: what they say, and the file without any that are not needed to decode it (ITU T.81 annex B)."""

import re
import struct
from typing import NamedTuple

import numpy as np

from pipeline.download.images import MOST_ICC_BYTES

# Start-of-frame markers carry the size; C4, C8 and CC are tables, not frames.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_PLAIN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # Huffman coded, not lossless, not hierarchical
_NEEDED = frozenset({0xC4, 0xDB, 0xDD})  # tables of Huffman codes and of quantization, restart interval
_DROPPED = frozenset({*range(0xE0, 0xF0), 0xFE})  # applications' segments, comments
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # neither a stuffed byte nor a restart marker
_FILL = re.compile(rb"\xff+")  # a marker's first byte may be repeated
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_MOST_SEGMENTS = 10_000
# Passes × pixels that are decoded, each about 2 ns; a usual file has 10 passes, and so at most 9 × 10^8.
MOST_SCANNED_PX = 2 * 10**9
# JFIF 1.1, no thumbnail: says that three components are YCbCr.
_JFIF = bytes.fromhex("ffe0 0010 4a46494600 0101 00 0001 0001 00 00")


class Jpeg(NamedTuple):
    """What a JPEG says before its first scan: size in px, the frame's marker, bits, (id, horizontal, vertical) per component."""

    width: int
    height: int
    frame: int
    bits: int
    components: tuple[tuple[int, int, int], ...]
    exif: bytes
    icc: bytes
    jfif: bool
    adobe: int | None  # the transform that Adobe's segment names

    @property
    def progressive(self) -> bool:
        """Whether the picture comes in several passes, whose coefficients the decoder keeps."""
        return self.frame in _PROGRESSIVE

    @property
    def arithmetic(self) -> bool:
        """Whether its codes are arithmetic, which take several times as long."""
        return self.frame > 0xC8

    @property
    def samples_per_pixel(self) -> float:
        """Coefficients per pixel, all components."""
        most = max((h * v for _, h, v in self.components), default=1)
        return sum(h * v for _, h, v in self.components) / max(1, most)

    @property
    def is_plain(self) -> bool:
        """Huffman coded, 8 bits, grey or YCbCr: what every reader understands in the same way."""
        if self.frame not in _PLAIN_FRAMES or self.bits != 8 or len(self.components) not in (1, 3):
            return False
        if len(self.components) == 1 or self.jfif or self.adobe == 1:
            return True
        return self.adobe is None and [number for number, _, _ in self.components] == [1, 2, 3]


def read_jpeg(body: bytes) -> Jpeg | None:
    """What stands before the first frame; None where there is none. Raises IndexError or struct.error where the bytes end."""
    at, exif, jfif, adobe = 2, b"", False, None
    icc: list[bytes] = []
    for _ in range(_MOST_SEGMENTS):
        fill = _FILL.match(body, at)
        if fill is None:
            return None
        at = fill.end() - 1
        marker = body[at + 1]
        if marker == 0x01 or 0xD0 <= marker <= _START:  # markers without a segment
            at += 2
            continue
        if marker in (_END, _SCAN):
            return None
        (length,) = struct.unpack_from(">H", body, at + 2)
        if marker in _FRAMES:
            bits, height, width, count = struct.unpack_from(">BHHB", body, at + 4)
            parts = tuple((body[i], body[i + 1] >> 4, body[i + 1] & 15) for i in range(at + 10, at + 10 + 3 * count, 3))
            return Jpeg(width, height, marker, bits, parts, exif, _joined(icc), jfif, adobe)
        start = at + 4
        if marker == 0xE0:
            jfif = jfif or body.startswith(b"JFIF\0", start)
        elif marker == 0xE1 and not exif and body.startswith(_EXIF, start):
            exif = body[start : at + 2 + length]
        elif marker == 0xE2 and body.startswith(_ICC, start):
            icc.append(body[start + len(_ICC) : at + 2 + length])
        elif marker == 0xEE and length >= 14 and body.startswith(b"Adobe", start):
            adobe = body[start + 11]
        at += 2 + length
    return None


def count_scans(body: bytes) -> int:
    """At least as many as there are: where the bytes of a marker stand, in metadata too."""
    found = np.frombuffer(body, np.uint8)  # bytes.count takes three times as long
    return int(np.count_nonzero((found[:-1] == 0xFF) & (found[1:] == _SCAN)))


def stripped(body: bytes) -> bytes | None:
    """The JPEG with what its decoder needs and nothing else; None where anything about its structure is out of the ordinary.

    Left out: EXIF with place and thumbnail, XMP, IPTC, ICC, comments, further pictures, fill bytes, what follows the end.
    """
    kept, at, scanned = [b"\xff\xd8", _JFIF], 2, False
    for _ in range(_MOST_SEGMENTS):
        fill = _FILL.match(body, at)
        if fill is None or fill.end() == len(body):
            return None
        found = fill.end()
        marker = body[found]
        if marker == _END:
            return b"".join([*kept, b"\xff\xd9"]) if scanned else None
        end = found + 1 + int.from_bytes(body[found + 1 : found + 3], "big")
        if marker == _SCAN:
            after = _AFTER_SCAN.search(body, end)
            if after is None:
                return None
            end, scanned = after.start(), True
        elif marker not in _NEEDED and marker not in _PLAIN_FRAMES and marker not in _DROPPED:
            return None
        if marker not in _DROPPED:
            kept += (b"\xff", body[found:end])
        at = end
    return None


def _joined(pieces: list[bytes]) -> bytes:
    """An ICC profile from its numbered pieces; b"" where one is missing (ICC.1 annex B.4)."""
    if not pieces or any(len(piece) < 2 for piece in pieces) or sum(map(len, pieces)) > MOST_ICC_BYTES:
        return b""
    pieces = sorted(pieces, key=lambda piece: piece[0])
    whole = [piece[0] for piece in pieces] == list(range(1, pieces[0][1] + 1))
    return b"".join(piece[2:] for piece in pieces) if whole else b""
