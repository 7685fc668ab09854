"""Pictures → damaged ones, as decoders' bugs are found by: what the fuzz run of `download` feeds on. All from one Random.

Parts (segments, chunks, boxes) are moved about with lengths and checksums set right, so that what is odd is met deep inside.
"""

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

from bench.fuzz_pictures import chunk

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]  # a file, and all files to take pieces from

_PNG, _PNG_HEAD = b"\x89PNG\r\n\x1a\n", 8
_EXTREMES = {
    1: (0, 1, 2, 3, 4, 8, 16, 127, 128, 254, 255),
    2: (0, 1, 2, 255, 256, 9000, 16_383, 0x7FFF, 0x8000, 65_500, 65_535),
    4: (0, 1, 255, 9000, 16_384, 65_536, 10**6, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1),
}
_SIDES = (0, 1, 2, 3000, 9000, 16_383, 30_000, 65_535)
_HEAD = 400  # bytes; where most of what decides stands


def flip_bytes(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Some bytes become others."""
    changed = bytearray(body)
    for _ in range(rng.choice((1, 2, 4, 16, 64))):
        changed[_place(len(body), rng)] = rng.randrange(256)
    return bytes(changed)


def flip_bits(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Some bits become others."""
    changed = bytearray(body)
    for _ in range(rng.choice((1, 2, 8))):
        changed[_place(len(body), rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The end is missing, or a piece."""
    start = rng.randrange(len(body))
    return body[:start] + (b"" if rng.random() < 0.6 else body[start + rng.choice((1, 2, 16, 100)) :])


def splice(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The beginning of one file, the end of another: often the header of one format on another's body."""
    other = rng.choice(others)
    return body[: _place(len(body), rng)] + other[rng.randrange(len(other)) :]


def repeat_a_piece(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A piece stands several times."""
    start = rng.randrange(len(body))
    piece = body[start : start + rng.choice((1, 4, 12, 100, 1000))]
    return body[:start] + piece * rng.choice((2, 3, 50, 2000)) + body[start + len(piece) :]


def extreme_numbers(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Fields, lengths and sizes among them, become numbers at the ends of their range."""
    changed = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 4))):
        width = rng.choice((1, 2, 4))
        value = rng.choice(_EXTREMES[width]).to_bytes(width, rng.choice(("big", "little")))
        at = _place(len(changed), rng)
        changed[at : at + width] = value
    return bytes(changed)


def other_size(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The picture says that it is of another size, huge ones among them; the checksum of a PNG is right."""
    wide, high = rng.choice(_SIDES), rng.choice(_SIDES)
    if body[:8] == _PNG:
        return body[:8] + chunk(b"IHDR", struct.pack(">II", wide, high) + body[24:29]) + body[33:]
    if body[:2] in (b"II", b"MM"):
        return _other_tags(body, rng)
    if body[:2] == b"\xff\xd8":
        at, size = _after(body, rb"\xff[\xc0-\xc2]..."), struct.pack(">HH", high, wide)
    elif body[:3] == b"GIF":
        at, size = 6 if rng.random() < 0.5 else body.find(b"\x2c") + 5, struct.pack("<HH", wide, high)
    elif body[8:12] == b"WEBP":
        at, size = {b"VP8 ": 26, b"VP8L": 21}.get(body[12:16], 24), rng.randbytes(4)
    elif body[:2] == b"BM":
        at, size = 18, struct.pack("<ii", wide, rng.choice((1, -1)) * high)
    else:
        at, size = _after(body, b"ispe...."), struct.pack(">II", wide, high)
    return body[:at] + size + body[at + len(size) :]


def rearrange(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Parts are repeated, removed, moved or taken from another file of the format."""
    parts = parts_of(body)
    for _ in range(rng.randint(1, 3)):
        at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        kind = rng.randrange(4)
        if kind == 0:
            parts[at:at] = [parts[other]] * rng.choice((1, 2, 20, 300))
        elif kind == 1 and len(parts) > 1:
            del parts[at]
        elif kind == 2:
            parts[at], parts[other] = parts[other], parts[at]
        else:
            alike = [file for file in others if file[:2] == body[:2]]
            parts.insert(at, rng.choice(parts_of(rng.choice(alike or others))))
    return joined(body, parts)


def change_a_part(body: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """What a part holds is damaged, its length and checksum are right."""
    parts = parts_of(body)
    at = rng.randrange(len(parts))
    damage = rng.choice((flip_bytes, flip_bits, cut, extreme_numbers, repeat_a_piece))
    part = parts[at]
    if body[:8] == _PNG:
        parts[at] = chunk(part[4:8], damage(part[8:-4] or b"\0", rng, others))
    elif body[8:12] == b"WEBP":
        parts[at] = _riff_chunk(part[:4], damage(part[8:] or b"\0", rng, others))
    else:
        parts[at] = damage(part or b"\0", rng, others)
    return joined(body, parts)


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes, flip_bits, cut, splice, repeat_a_piece, extreme_numbers, extreme_numbers, other_size, rearrange, change_a_part,
    change_a_part,
)  # fmt: skip


def parts_of(body: bytes) -> list[bytes]:
    """Segments of a JPEG (a scan with its data), chunks of a PNG or WebP, boxes of an AVIF; of others sixteen equal pieces."""
    if body[:8] == _PNG:
        found = _cut_up(body, _PNG_HEAD, lambda at: 12 + int.from_bytes(body[at : at + 4], "big"))
    elif body[8:12] == b"WEBP":
        found = _cut_up(body, 12, lambda at: 8 + (int.from_bytes(body[at + 4 : at + 8], "little") + 1) // 2 * 2)
    elif body[4:8] == b"ftyp":
        found = _cut_up(body, 0, lambda at: int.from_bytes(body[at : at + 4], "big"))
    elif body[:2] == b"\xff\xd8":
        found = re.split(rb"(?=\xff[^\x00\xd0-\xd7\xff])", body)[1:]
    else:
        size = max(1, len(body) // 16)
        found = [body[at : at + size] for at in range(0, len(body), size)]
    return found or [body]


def joined(body: bytes, parts: Sequence[bytes]) -> bytes:
    """A file like `body` of other parts."""
    if body[:8] == _PNG:
        return _PNG + b"".join(parts)
    if body[8:12] == b"WEBP":
        content = b"WEBP" + b"".join(parts)
        return b"RIFF" + struct.pack("<I", len(content)) + content
    return b"".join(parts)


def _cut_up(body: bytes, at: int, length_at: Callable[[int], int]) -> list[bytes]:
    parts = []
    while at < len(body):
        end = at + max(1, length_at(at))
        parts.append(body[at:end])
        at = end
    return parts


def _riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _other_tags(body: bytes, rng: Random) -> bytes:
    """Values of a TIFF's first directory become others."""
    order = ">" if body[:2] == b"MM" else "<"
    if len(body) < 10 or body[:2] not in (b"II", b"MM"):
        return body
    (directory,) = struct.unpack_from(f"{order}I", body, 4)
    changed = bytearray(body)
    for _ in range(rng.randint(1, 3)):
        at = directory + 2 + 12 * rng.randrange(14) + 8
        changed[at : at + 4] = struct.pack(f"{order}I", rng.choice((*_SIDES, 8, 16, 32, 5, 7, 34_712, 2**31)))
    return bytes(changed)


def _after(body: bytes, pattern: bytes) -> int:
    """Where what matches ends, 0 where nothing does."""
    found = re.search(pattern, body, re.DOTALL)
    return found.end() if found else 0


def _place(length: int, rng: Random) -> int:
    """Mostly near the beginning."""
    return rng.randrange(min(length, _HEAD) if rng.random() < 0.6 else length)
