"""A WAT of real pages → the same pages several times over, as a WAT of real size: the input of extract's benchmark.

Every copy gives each page another host, so that pages stay distinct while URLs on other hosts (CDNs, trackers) repeat as on
the web. One gzip member per record, zlib level 6, as Common Crawl writes them.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from bench.places import CACHE, digest_of

_MAKER = "v1"  # in the name of what is made: change it where the bytes change
_TARGET = re.compile(rb"^WARC-Target-URI:[ \t]*(https?://[^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^(Content-Length:[ \t]*)\d+", re.IGNORECASE | re.MULTILINE)
_HEAD_END, _RECORD_END = b"\r\n\r\n", b"\r\n\r\n"


def copied_wat(source: Path, copies: int) -> Path:
    """The file that holds the pages of `source` `copies` times; made where it is not there yet."""
    path = CACHE / "wat" / f"{source.name.split('.')[0]}-{copies}x-{digest_of(source)}-{_MAKER}.warc.wat.gz"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"making {path}", flush=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        for record in copied_records(list(records_of(source)), copies):
            file.write(gzip.compress(record, 6, mtime=0))
    fresh.replace(path)
    return path


def records_of(path: Path) -> Iterator[bytes]:
    """The records of a WAT with one gzip member per record, inflated."""
    data = memoryview(path.read_bytes())
    at = 0
    while at < len(data):
        inflater = zlib.decompressobj(wbits=31)
        yield inflater.decompress(data[at:])
        at = len(data) - len(inflater.unused_data)


def copied_records(records: list[bytes], copies: int) -> Iterator[bytes]:
    """`records`, then the pages among them again and again, each time on other hosts."""
    yield from records
    for number in range(1, copies):
        yield from (on_another_host(record, number) for record in records if host_of(record))


def host_of(record: bytes) -> bytes:
    """The host of the page that a record is about, as it is written there; b"" where it is about no page."""
    target = _TARGET.search(record, 0, record.find(_HEAD_END))
    if target is None:
        return b""
    host = urlsplit(target[1].decode("latin-1").strip()).netloc.rpartition("@")[2]
    return host.partition(":")[0].encode("latin-1")


def on_another_host(record: bytes, number: int) -> bytes:
    """The record with its page's own host replaced by one that `number` names, wherever it stands; its length set right."""
    host = host_of(record)
    return with_true_length(_whole_host(host).sub(lambda found: b"c%d.%s" % (number, found[0]), record))


def with_true_length(record: bytes) -> bytes:
    """The record with the Content-Length that its block has; as it is where it states none."""
    head, gap, block = record.partition(_HEAD_END)
    return _LENGTH.sub(rb"\g<1>%d" % (len(block) - len(_RECORD_END)), head, count=1) + gap + block


@lru_cache(maxsize=4096)
def _whole_host(host: bytes) -> re.Pattern[bytes]:
    """Finds the host, not where it is the end or the beginning of a longer one."""
    return re.compile(rb"(?<![A-Za-z0-9.-])" + re.escape(host) + rb"(?![A-Za-z0-9-]|\.[A-Za-z0-9])")
