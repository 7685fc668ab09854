"""The bytes of a WAT → its records."""

import re
import zlib
from collections import Counter
from typing import Any

import zstandard

GZIP_SIGN, ZSTD_SIGN, BETWEEN_RECORDS = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\r\n\r\n"


def records_in(data: bytes, counts: Counter[str]) -> list[tuple[int, str, str, bytes]]:
    """Offset of the member it begins in, WARC-Type, WARC-Target-URI and block of every whole record."""
    records = []
    for run, complete in runs_in(data, counts):
        text = b"".join(piece for _, piece in run)
        starts = [m.start() for m in re.finditer(rb"(?:\A|(?<=\r\n\r\n))WARC/", text)]
        for start, end in zip(starts, [*starts[1:], len(text)], strict=False):
            head, _, block = text[start:end].partition(BETWEEN_RECORDS)
            fields = {}
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                fields.setdefault(name.lower(), value.strip())
            stated = fields.get(b"content-length", b"")
            length = int(stated) if stated.isdigit() else 0
            last, ended = end == len(text), text[start:end].endswith(BETWEEN_RECORDS)
            whole = ended and len(block) == length + len(BETWEEN_RECORDS)
            if last and not whole and (not complete or (not ended and len(block) < length)):
                continue  # cut short
            if block.startswith(BETWEEN_RECORDS, length):  # the length is right; what follows is none of the record
                block = block[:length]
            counts["records"] += 1
            kind, target = (fields.get(name, b"").decode("utf-8", "replace") for name in (b"warc-type", b"warc-target-uri"))
            records.append((member_of(run, start), kind.lower(), target, block))
    return records


def member_of(run: list[tuple[int, bytes]], position: int) -> int:
    """Offset in the file of the member that holds the run's byte at `position`."""
    for offset, piece in run:
        if position < len(piece):
            return offset
        position -= len(piece)
    raise AssertionError(position)


def runs_in(data: bytes, counts: Counter[str]) -> list[tuple[list[tuple[int, bytes]], bool]]:
    """Members that belong together, as a record may run on over members, and whether the last one is complete."""
    runs: list[tuple[list[tuple[int, bytes]], bool]] = []
    going_on = False
    for offset, piece, complete in members_in(data, counts):
        if not piece:
            going_on = going_on and complete
        elif going_on and not b"WARC/".startswith(piece[:5]):
            runs[-1] = ([*runs[-1][0], (offset, piece)], complete)
        else:
            runs.append(([(offset, piece)], complete))
            going_on = True
    return runs


def members_in(data: bytes, counts: Counter[str]) -> list[tuple[int, bytes | None, bool]]:
    """Offset, content (None where it is damaged) and completeness of every member, frame or (in a plain file) record."""
    if data.startswith(b"WARC/"):
        starts = [m.start() for m in re.finditer(rb"(?:\A|(?<=\r\n\r\n))WARC/", data)]
        return [(start, data[start:end], True) for start, end in zip(starts, [*starts[1:], len(data)], strict=False)]
    members: list[tuple[int, bytes | None, bool]] = []
    at, sound = 0, True
    while at < len(data):
        if data[at] == 0:  # padding
            at += 1
            continue
        zstd = data.startswith(ZSTD_SIGN, at)
        inflater: Any = zstandard.ZstdDecompressor().decompressobj() if zstd else zlib.decompressobj(wbits=31)
        following = data.find(GZIP_SIGN, at + 1)
        try:
            inflated = inflater.decompress(data[at:])
        except zlib.error:
            inflated = None
        if inflater.eof:
            members.append((at, inflated, True))
            at, sound = len(data) - len(inflater.unused_data), True
            continue
        members.append((at, inflated if following < 0 else None, False))
        if inflated is not None and following < 0:
            counts["truncated_files"] += 1
        elif sound:
            counts["damaged_members"] += 1
        at, sound = following if following > 0 else len(data), False
    return members
