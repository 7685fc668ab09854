"""A source of random numbers → the bytes of a WAT: half of them as Common Crawl's extractor writes them, half odd in every way.

Every function takes a random.Random (hypothesis gives one that shrinks) and takes its simplest choice first.
"""

import gzip
import json
from random import Random

import zstandard

from .json_forms import Pairs, broken, objects_in, written
from .pages import about_crawl, make_odd, page, request

# A member for each record is what a WAT is.
PACKINGS = ["member each"] * 8 + ["one member", "plain", "zstd", "padded", "damaged", "cut", "over members", "junk"]


def wat(rng: Random) -> bytes:
    """A WAT of a few records."""
    odd = rng.random() < 0.5
    way = rng.choice(PACKINGS) if odd else PACKINGS[0]
    # Where a record ends is told by its length or by what follows it, and damage leaves only the length.
    lengths = odd and way not in ("damaged", "cut", "junk")
    records = [warc_record(rng, block_of(rng, odd=odd), odd=odd, lengths=lengths) for _ in range(rng.choice([1, 2, 3, 5]))]
    if rng.random() < 0.2:
        records.append(rng.choice(records))
    if rng.random() < 0.3:
        records.insert(0, warcinfo(rng))
    return packed(rng, records, way)


def changed(rng: Random, blocks: list[bytes]) -> bytes:
    """A WAT of a few of the blocks (JSON that an extractor wrote), each changed in a few places or written anew."""
    records = [warc_record(rng, changed_block(rng, rng.choice(blocks))) for _ in range(rng.choice([1, 2, 3]))]
    return packed(rng, records, rng.choice(PACKINGS) if rng.random() < 0.2 else PACKINGS[0])


def changed_block(rng: Random, block: bytes) -> bytes:
    """The JSON, broken in up to three places, or with up to nine odd objects and written anew, or as it is."""
    way = rng.choice(["broken", "odd", "broken", "as it is"])
    for _ in range(rng.choice([1, 1, 3]) if way == "broken" else 0):
        block = broken(rng, block)
    if way != "odd":
        return block
    value = json.loads(block, object_pairs_hook=Pairs)
    objects = objects_in(value)
    for _ in range(rng.choice([1, 3, 9])):
        make_odd(rng, rng.choice(objects[:12] if rng.random() < 0.5 else objects))
    return written(rng, value, odd=True)


def packed(rng: Random, records: list[bytes], way: str) -> bytes:
    """The records as a file, packed in one of PACKINGS."""
    if way == "junk":
        records.insert(rng.randint(1, len(records)), rng.choice([b"junk", b"\r\n"]))
    if way == "plain":
        return b"".join(records)
    if way == "zstd":
        return b"".join(zstandard.ZstdCompressor().compress(record) for record in records)
    if way == "over members":
        whole = b"".join(records)
        step = rng.randint(200, 3000)
        return b"".join(gzip.compress(whole[at : at + step], mtime=0) for at in range(0, len(whole), step))
    groups = [b"".join(records)] if way == "one member" else records
    members = [gzip.compress(group, mtime=0) for group in groups]
    if way == "damaged":
        which = rng.randint(0, len(members) - 1)
        hurt = bytearray(members[which])
        hurt[rng.randint(0 if which else 10, len(hurt) - 1)] ^= rng.randint(1, 255)
        members[which] = bytes(hurt)
    data = (b"\0" * 7 if way == "padded" else b"").join([*members, b""])
    if way == "cut":
        return b"".join(members[:-1]) + members[-1][: rng.randint(10, len(members[-1]) - 1)]
    return data


def warcinfo(rng: Random) -> bytes:
    """A warcinfo record, with or without the crawl's name."""
    block = (
        b"software: x\r\n"
        + rng.choice([b"isPartOf: CC-MAIN-2024-22\r\n", b"ISPARTOF:x\r\n", b"", b"isPartOf: \r\n"])
        + b"format: WARC\r\n"
    )
    return b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: %d\r\n\r\n" % len(block) + block + b"\r\n\r\n"


def warc_record(rng: Random, block: bytes, *, odd: bool = False, lengths: bool = False) -> bytes:
    """The record around a block; where `odd` without a target now and then, where `lengths` with a wrong length."""
    length = len(block)
    target, kind = b"https://record.example/r/", b"metadata"
    if odd:
        target = rng.choice([target] * 3 + [b"", b"", "https://ü.example/".encode(), b"\xff"])
        kind = rng.choice([kind] * 8 + [b"METADATA", b"response", b"conversion"])
    if lengths:
        length = rng.choice([length] * 6 + [0, length + 9, length - 9, 10**14])
    lines = [(b"WARC-Type", kind), (b"WARC-Target-URI", target), (b"Content-Length", b"%d" % max(0, length))]
    if odd and rng.random() < 0.2:
        lines = [(rng.choice([name, name.lower(), name.upper()]), value) for name, value in reversed(lines)]
    spaces = [rng.choice([b" ", b"", b"\t ", b"  "]) if odd and rng.random() < 0.2 else b" " for _ in lines]
    head = [name + b":" + space + value for (name, value), space in zip(lines, spaces, strict=True)]
    return b"\r\n".join([b"WARC/1.0", *head, b"", b""]) + block + b"\r\n\r\n"


def block_of(rng: Random, *, odd: bool) -> bytes:
    """The JSON of a record, written in one of several ways; where `odd` broken now and then."""
    what = rng.random()
    value = page(rng, odd=odd) if what < 0.8 else about_crawl(rng) if what < 0.9 else request(rng)
    block = written(rng, value, odd=odd)
    return broken(rng, block) if odd and rng.random() < 0.25 else block
