"""Real WAT records → damaged ones, and a damaged file of them: what the fuzz run of extract feeds on. All from one Random."""

import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

import zstandard

from bench.wat import with_true_length

_LENGTH = re.compile(rb"^(Content-Length:[ \t]*)\d+", re.IGNORECASE | re.MULTILINE)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[\[\]{}:,]')
_ODD_VALUES = (
    b"null", b"true", b"[]", b"{}", b'""', b'"  "', b"0", b"-1", b"1e999", b"123456789012345678901234567890", b"0.1", b"nan",
    b'"IMG@/src"', b'"{\\"path\\":\\"IMG@/src\\"}"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\x00"', b'"\xff\xfe"',
    b'"\\"', b'"\\x"', b'"//host.example/a.jpg"', b'"HTTP://UPPER.example/a.jpg"', b'"http://[::1"', b'"http://a b/"',
    b'"data:,x"', b'"../../../../a"', b'"?"', b'"#"', b'"http:///x"', b'"javascript:x"', b'"http://h:99999/"',
    b'"\xc3\xa9"', b'"e\xcc\x81"', b'["noai","noindex"]', b'{"a":["IMG@/src"]}',
)  # fmt: skip
_KEYS = (
    b'"path"', b'"url"', b'"alt"', b'"Links"', b'"Head"', b'"Metas"', b'"Link"', b'"Base"', b'"Envelope"', b'"Payload-Metadata"',
    b'"HTTP-Response-Metadata"', b'"HTML-Metadata"', b'"Headers"', b'"WARC-Header-Metadata"', b'"WARC-Target-URI"',
    b'"WARC-Date"', b'"Container"', b'"X-Robots-Tag"', b'"content"', b'"name"', b'"rel"', b'"isPartOf"', b'"title"', b'"text"',
)  # fmt: skip
_BYTES = (
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\x00",
    b"\r\n\r\n",
    b"\r\n\r\nWARC/1.0\r\n",
    b"\x1f\x8b\x08",
    b"\xff",
    b"\xed\xa0\x80",
)

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]  # a record, and all records to take pieces from


def flip_bytes(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Some bytes become others."""
    changed = bytearray(record)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def insert_bytes(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Bytes that mean something to a reader stand where they do not belong."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(record))
        record = record[:at] + rng.choice(_BYTES) + record[at + rng.randint(0, 2) :]
    return record


def truncate(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The record ends early."""
    return record[: rng.randint(1, len(record))]


def repeat_a_piece(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A piece of the record stands several times."""
    start = rng.randrange(len(record))
    piece = record[start : start + rng.choice((1, 10, 100, 1000, 10_000))]
    return record[:start] + piece * rng.choice((2, 3, 50)) + record[start + len(piece) :]


def splice(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The beginning of one record, the end of another."""
    other = rng.choice(others)
    return record[: rng.randrange(len(record))] + other[rng.randrange(len(other)) :]


def lie_about_length(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Content-Length is wrong, huge, negative, repeated or gone."""
    lie = rng.choice(
        (b"0", b"1", b"-5", b"999999999999999", b"99999999999999999999999", b"1e3", b"", b"12 34", b"7\r\nContent-Length: 9")
    )
    near = b"%d" % max(0, len(record) + rng.randint(-300, 300))
    return _LENGTH.sub(lambda found: found[1] + rng.choice((lie, near)), record, count=1)


def swap_tokens(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """JSON tokens change places, go, or become other ones."""
    tokens = list(_TOKEN.finditer(record))
    for one in sorted(rng.sample(tokens, min(len(tokens), rng.randint(1, 6))), key=lambda token: -token.start()):
        new = rng.choice((rng.choice(tokens)[0], b"", rng.choice(_ODD_VALUES), rng.choice(_KEYS)))
        record = record[: one.start()] + new + record[one.end() :]
    return _mostly_with_true_length(record, rng)


def odd_values(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Values of keys that are read become odd ones; the JSON stays valid for the most part."""
    key = rng.choice(_KEYS)
    places = list(re.finditer(re.escape(key) + rb':("(?:[^"\\]|\\.)*"|[^,{}\[\]"]+|\{\}|\[\])', record))
    for found in sorted(rng.sample(places, min(len(places), rng.randint(1, 5))), key=lambda place: -place.start()):
        record = record[: found.start(1)] + rng.choice(_ODD_VALUES) + record[found.end(1) :]
    return _mostly_with_true_length(record, rng)


def nest_deeply(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A value lies in very many lists or objects."""
    depth = rng.choice((10, 200, 1025, 5000, 200_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"path":', b"}"), (b'[{"Links":', b"}]")))
    found = rng.choice(list(_TOKEN.finditer(record)) or list(re.finditer(rb"", record)))
    closed = closing * (depth if rng.random() < 0.7 else rng.randint(0, depth))
    nested = record[: found.start()] + opening * depth + (found[0] or b"0") + closed + record[found.end() :]
    return _mostly_with_true_length(nested, rng)


def swell_a_string(record: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A string becomes very long, plain or full of escapes."""
    strings = [found for found in _TOKEN.finditer(record) if found[0].startswith(b'"')]
    if not strings:
        return record
    found = rng.choice(strings)
    filling = rng.choice((b"a", b" ", b"\\u00e9", b"\\\\", b'\\"', b"\\n", b"\xc3\xa9", b"\\ud800", b"{", b"%41"))
    filled = b'"' + filling * rng.choice((100, 65_535, 65_536, 300_000, 2_000_000)) + b'"'
    return _mostly_with_true_length(record[: found.start()] + filled + record[found.end() :], rng)


def _mostly_with_true_length(record: bytes, rng: Random) -> bytes:
    """So that what the JSON holds is met on the straight path too, not only where the record's end must be looked for."""
    return with_true_length(record) if rng.random() < 0.8 else record


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes, insert_bytes, truncate, repeat_a_piece, splice, lie_about_length, swap_tokens, odd_values, odd_values,
    swap_tokens, nest_deeply, swell_a_string,
)  # fmt: skip


def packed(records: Sequence[bytes], rng: Random) -> tuple[bytes, bool]:
    """A file of the records, and whether every record has a sound gzip member of its own."""
    kind = rng.random()
    if kind < 0.7:
        return b"".join(gzip.compress(record, 1, mtime=0) for record in records), True
    whole = b"".join(records)
    if kind < 0.8:
        return gzip.compress(whole, 1, mtime=0), False
    if kind < 0.87:  # BGZF cuts where no record ends
        size = rng.choice((1000, 4096, 65_280))
        return b"".join(gzip.compress(whole[at : at + size], 1, mtime=0) for at in range(0, len(whole), size)), False
    return (whole, False) if kind < 0.93 else (zstandard.ZstdCompressor(level=1).compress(whole), False)


def damaged(file: bytes, rng: Random) -> bytes:
    """The file with damage as disks, proxies and broken uploads do it."""
    kind = rng.randrange(6)
    if kind == 0:
        return file[: rng.randrange(len(file))]
    at = rng.randrange(len(file))
    if kind == 1:
        return file[:at] + rng.randbytes(rng.choice((1, 4, 1000))) + file[at + rng.choice((0, 1, 4, 1000)) :]
    if kind == 2:
        return file[:at] + bytes(rng.choice((1, 512, 100_000))) + file[at:]
    if kind == 3:  # ISIZE and CRC lie
        return file[:-4] + rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x01", rng.randbytes(4)))
    if kind == 4:  # a bomb: 64 MiB of one letter in a member
        return file + _bomb() + file
    member = zlib.compressobj(0, wbits=31)  # stored: a member in plain sight, cut anywhere
    stored = member.compress(file[: 1 << 16]) + member.flush()
    return file[:at] + stored[: rng.randrange(len(stored))] + file[at:]


@cache
def _bomb() -> bytes:
    return gzip.compress(b"WARC/1.0\r\nWARC-Type: metadata\r\n\r\n" + b"a" * (64 << 20), 6, mtime=0)
