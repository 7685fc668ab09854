"""Synthetic inputs of which one key has far more than its share: a WAT, a host, an alt text. Seeded, no real data.

In: numbers. Out: WAT files or candidates in a folder.
"""

import gzip
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.candidates import CANDIDATES

SEED = 20240521
_LINKS_PER_PAGE = 20
_HOSTS = 5000
_DAY = datetime(2024, 5, 21, tzinfo=UTC)


def write_wats(folder: Path, rows: int, *, small: int, times: int) -> None:
    """`small` WATs, and one with `times` the rows of each of them; about `rows` rows in all, no pair twice."""
    each, at = max(1, rows // (small + times)), 0
    folder.mkdir(parents=True)
    for number in range(small + 1):
        count = each * times if number == small // 2 else each
        (folder / f"skew-{number:05d}.warc.wat.gz").write_bytes(b"".join(_members(at, count)))
        at += count


def write_candidates(folder: Path, rows: int, *, files: int, of_one_host: float = 0.0, of_one_text: float = 0.0) -> None:
    """`rows` pairs, none twice; these shares of them, drawn at random, on one host, or with one text."""
    draw = np.random.default_rng(SEED)
    folder.mkdir(parents=True)
    hosts = np.where(draw.random(rows) < of_one_host, 0, draw.integers(1, _HOSTS, rows))
    has_text = draw.random(rows) < of_one_text
    for number, pairs in enumerate(np.array_split(np.arange(rows), files)):
        texts = ["image may contain: text" if has_text[pair] else text_of(int(pair)) for pair in pairs]
        urls = [f"https://images-{hosts[pair]}.example/media/2024/05/{int(pair):012x}.jpg" for pair in pairs]
        pq.write_table(_candidates(texts, urls, number), folder / f"{number:05d}.parquet", compression="zstd")


def text_of(pair: int) -> str:
    """An alt text of usual length that no other pair has."""
    digest = hashlib.blake2b(pair.to_bytes(8, "big"), digest_size=16).hexdigest()
    return f"a picture of number {pair} beside the letters {digest}"


def _candidates(texts: list[str], urls: list[str], number: int) -> pa.Table:
    count = len(texts)
    columns = {
        "uid": [
            hashlib.md5((text + url).encode(), usedforsecurity=False).hexdigest() for text, url in zip(texts, urls, strict=True)
        ],
        "url": urls,
        "text": texts,
        "page_url": [f"https://www.site-{at % _HOSTS}.example/{number}/{at // 12}.html" for at in range(count)],
        "wat_path": [f"crawl-data/CC-MAIN-2024-22/segments/171/wat/CC-MAIN-20240521-{number:05d}.warc.wat.gz"] * count,
        "record_offset": [9000 * (at // 12) for at in range(count)],
        "fetched_at": [_DAY] * count,
        "source": ["img"] * count,
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in CANDIDATES
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in CANDIDATES]))


def _members(first: int, count: int) -> list[bytes]:
    """Gzip members of a record each, of pages with links to pairs `first` and on."""
    starts = range(first, first + count, _LINKS_PER_PAGE)
    return [gzip.compress(_record(start, min(_LINKS_PER_PAGE, first + count - start)), 1, mtime=0) for start in starts]


def _record(first: int, count: int) -> bytes:
    page = f"https://www.site-{first % _HOSTS}.example/{first}.html"
    links = [{"path": "IMG@/src", "url": f"/media/{pair:012x}.jpg", "alt": text_of(pair)} for pair in range(first, first + count)]
    payload = {"HTTP-Response-Metadata": {"HTML-Metadata": {"Links": links}}}
    warc = {"WARC-Type": "response", "WARC-Date": _DAY.isoformat().replace("+00:00", "Z"), "WARC-Target-URI": page}
    block = json.dumps({"Envelope": {"Payload-Metadata": payload, "WARC-Header-Metadata": warc}}).encode()
    return b"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (len(block), block)


__all__ = ["text_of", "write_candidates", "write_wats"]
