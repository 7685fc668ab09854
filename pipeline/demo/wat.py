"""The demo's web as WAT files in Common Crawl's structure: one gzip member per record, metadata of every WARC record.

The WARC itself is not kept, but each of its records is built, so that the lengths, offsets, checksums and digests in the WAT
are those of a WARC that could be. Structure and key order follow WATs written by Common Crawl's extractor (ia-web-commons).
"""

import base64
import gzip
import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit

from pipeline.demo import html
from pipeline.demo.page_metadata import metadata_of
from pipeline.demo.web import Page, Web

CRAWL = "WEBPAIRS-DEMO-2024-22"
_STARTED = datetime(2024, 5, 18, 1, 58, 10, tzinfo=UTC)
_SLOP = b"\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class _Record:
    """A WARC record: its header fields in order, its block, and what the WAT says of the block's inside."""

    fields: dict[str, str]
    block: bytes
    content_type: str
    payload: dict[str, Any]
    target: str


def write_wats(folder: str, web: Web, files: int) -> list[str]:
    """Write the web's pages, in crawl order, to `files` WATs; their paths. Byte-identical for the same web."""
    os.makedirs(folder, exist_ok=True)
    stamp = f"{_STARTED:%Y%m%d%H%M%S}"
    return [
        _write_wat(f"{folder}/{CRAWL}-{stamp}-{i:05d}.warc.wat.gz", web, list(enumerate(web.pages))[i::files])
        for i in range(files)
    ]


def _write_wat(path: str, web: Web, pages: list[tuple[int, Page]]) -> str:
    warc_name = os.path.basename(path).replace(".warc.wat.gz", ".warc.gz")
    ids = Random(f"records {web.seed} {warc_name}")
    info = _warcinfo(warc_name, ids)
    with open(path, "wb") as file:
        file.write(_member(_wat_header(os.path.basename(path), ids)))
        offset = 0
        for record in _records(info, pages, ids):
            packed = _packed(record)
            file.write(_member(_wat_record(record, packed, warc_name, offset, ids)))
            offset += len(packed)
    return path


def _records(info: _Record, pages: list[tuple[int, Page]], ids: Random) -> Iterator[_Record]:
    yield info
    for number, page in pages:
        yield from _page_records(page, info.fields["WARC-Record-ID"], _STARTED + timedelta(seconds=number), ids)


def _warcinfo(warc_name: str, ids: Random) -> _Record:
    facts = {
        "isPartOf": CRAWL,
        "publisher": "webpairs demo",
        "description": "A small generated web",
        "operator": "webpairs demo",
        "hostname": "localhost",
        "software": "webpairs",
        "robots": "ignored: the web is our own",
    }
    block = "".join(f"{name}: {value}\r\n" for name, value in facts.items()).encode()
    fields = {"WARC-Type": "warcinfo", "WARC-Record-ID": _new_id(ids), "WARC-Filename": warc_name, "WARC-Date": _time(_STARTED)}
    return _Record(
        fields=_finished(fields, block, "application/warc-fields"),
        block=block,
        content_type="application/warc-fields",
        payload={"WARC-Info-Metadata": facts},
        target=warc_name,
    )


def _page_records(page: Page, info_id: str, fetched_at: datetime, ids: Random) -> Iterator[_Record]:
    """The request, response and metadata records of one page."""
    start = {"WARC-Warcinfo-ID": info_id, "WARC-IP-Address": "127.0.0.1", "WARC-Date": _time(fetched_at)}
    request_id, response_id = _new_id(ids), _new_id(ids)
    yield _request(page, {**start, "WARC-Type": "request", "WARC-Record-ID": request_id})
    yield _response(page, fetched_at, start, request_id, response_id)
    del start["WARC-IP-Address"]
    concurrent = {"WARC-Concurrent-To": response_id}
    yield _fetch_metadata(page, {**start, **concurrent, "WARC-Type": "metadata", "WARC-Record-ID": _new_id(ids)})


def _request(page: Page, fields: dict[str, str]) -> _Record:
    parts = urlsplit(page.url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {
        "User-Agent": "webpairs-demo/1.0",
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Language": "en-US,en;q=0.5",
        "Host": parts.netloc,
        "Connection": "Keep-Alive",
    }
    head = f"GET {path} HTTP/1.1\r\n".encode() + _header_lines(list(headers.items()))
    message = {"Method": "GET", "Path": path, "Version": "HTTP/1.1"}
    metadata = {"Request-Message": message, "Headers-Length": str(len(head) - 2), "Headers": headers, **_entity(b"")}
    return _http_record(page, fields, (head, b""), {"HTTP-Request-Metadata": metadata})


def _response(page: Page, fetched_at: datetime, start: dict[str, str], request_id: str, own_id: str) -> _Record:
    body = html.render(page)
    headers = [("Date", f"{fetched_at:%a, %d %b %Y %H:%M:%S GMT}"), *html.headers(page, len(body))]
    head = b"HTTP/1.1 200 OK\r\n" + _header_lines(headers)
    fields = {
        **start,
        "WARC-Concurrent-To": request_id,
        "WARC-Identified-Payload-Type": "text/html",
        "WARC-Type": "response",
        "WARC-Record-ID": own_id,
    }
    metadata = {
        "Response-Message": {"Status": "200", "Version": "HTTP/1.1", "Reason": "OK"},
        "Headers-Length": str(len(head) - 2),
        "Headers": _joined(headers),
        "HTML-Metadata": metadata_of(body),
        **_entity(body),
    }
    return _http_record(page, fields, (head, body), {"HTTP-Response-Metadata": metadata})


def _http_record(page: Page, fields: dict[str, str], message: tuple[bytes, bytes], payload: dict[str, Any]) -> _Record:
    head, body = message
    content_type = f"application/http; msgtype={fields['WARC-Type']}"
    fields = {**fields, "WARC-Target-URI": page.url, "WARC-Payload-Digest": _digest(body)}
    return _Record(
        fields=_finished(fields, head + body, content_type),
        block=head + body,
        content_type=content_type,
        payload=payload,
        target=page.url,
    )


def _fetch_metadata(page: Page, fields: dict[str, str]) -> _Record:
    entries = [("fetchTimeMs", str(40 + len(page.url))), ("charset-detected", "UTF-8"), ("languages-cld2", _detected(page.lang))]
    block = ("".join(f"{name}: {value}\r\n" for name, value in entries) + "\r\n").encode()
    fields = {**fields, "WARC-Target-URI": page.url, "WARC-Payload-Digest": _digest(block)}
    return _Record(
        fields=_finished(fields, block, "application/warc-fields"),
        block=block,
        content_type="application/metadata-fields",
        payload={"WARC-Metadata-Metadata": {"Metadata-Records": [{"Name": name, "Value": value} for name, value in entries]}},
        target=page.url,
    )


def _detected(lang: str) -> str:
    return json.dumps({"reliable": True, "languages": [{"code": lang, "text-covered": 0.97}]}, separators=(",", ":"))


def _packed(record: _Record) -> bytes:
    """The WARC record as the gzip member that its archive would hold."""
    return _member(_head(record.fields) + record.block + _SLOP)


def _wat_header(name: str, ids: Random) -> bytes:
    facts = {
        "Software-Info": "webpairs demo",
        "Extracted-Date": f"{_STARTED:%a, %d %b %Y %H:%M:%S GMT}",
        "ip": "127.0.0.1",
        "hostname": "localhost",
        "format": "WARC File Format 1.0",
        "conformsTo": "http://bibnum.bnf.fr/WARC/WARC_ISO_28500_version1_latestdraft.pdf",
    }
    block = _header_lines(list(facts.items()))
    fields = {
        "WARC-Type": "warcinfo",
        "WARC-Date": _time(_STARTED),
        "WARC-Filename": name,
        "WARC-Record-ID": _new_id(ids),
        "Content-Type": "application/warc-fields",
        "Content-Length": str(len(block)),
    }
    return _head(fields) + block + _SLOP


def _wat_record(record: _Record, packed: bytes, warc_name: str, offset: int, ids: Random) -> bytes:
    """The WAT's metadata record about a WARC record that lies at `offset` of its archive."""
    block = json.dumps(
        {"Container": _container(record, packed, warc_name, offset), "Envelope": _envelope(record)},
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    fields = {
        "WARC-Type": "metadata",
        "WARC-Target-URI": record.target,
        "WARC-Date": record.fields["WARC-Date"],
        "WARC-Record-ID": _new_id(ids),
        "WARC-Refers-To": record.fields["WARC-Record-ID"],
        "Content-Type": "application/json",
        "Content-Length": str(len(block)),
    }
    return _head(fields) + block + _SLOP


def _container(record: _Record, packed: bytes, warc_name: str, offset: int) -> dict[str, Any]:
    whole = _head(record.fields) + record.block + _SLOP
    checksum = zlib.crc32(whole)
    return {
        "Filename": warc_name,
        "Compressed": True,
        "Offset": str(offset),
        "Gzip-Metadata": {
            "Deflate-Length": str(len(packed)),
            "Header-Length": "10",
            "Footer-Length": "8",
            "Inflated-CRC": str(checksum - (1 << 32) if checksum >> 31 else checksum),
            "Inflated-Length": str(len(whole)),
        },
    }


def _envelope(record: _Record) -> dict[str, Any]:
    lengths = {
        "Actual-Content-Length": str(len(record.block)),
        "Trailing-Slop-Length": str(len(_SLOP)),
        "Block-Digest": _digest(record.block),
    }
    kind = {"Actual-Content-Type": record.content_type}
    if "WARC-Info-Metadata" in record.payload:
        payload = {**lengths, "Headers-Corrupt": True, **kind, **record.payload}
    else:
        payload = {**kind, **record.payload, **lengths}
    return {
        "Payload-Metadata": payload,
        "Format": "WARC/1.0",
        "WARC-Header-Length": str(len(_head(record.fields))),
        "WARC-Header-Metadata": record.fields,
    }


def _finished(fields: dict[str, str], block: bytes, content_type: str) -> dict[str, str]:
    return {**fields, "WARC-Block-Digest": _digest(block), "Content-Type": content_type, "Content-Length": str(len(block))}


def _head(fields: dict[str, str]) -> bytes:
    return b"WARC/1.0\r\n" + _header_lines(list(fields.items()))


def _header_lines(fields: list[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\n"


def _joined(headers: list[tuple[str, str]]) -> dict[str, Any]:
    """Headers as an object; one that comes more than once has a list."""
    found: dict[str, Any] = {}
    for name, value in headers:
        found[name] = value if name not in found else [*([found[name]] if isinstance(found[name], str) else found[name]), value]
    return found


def _entity(body: bytes) -> dict[str, str]:
    return {"Entity-Length": str(len(body)), "Entity-Digest": _digest(body), "Entity-Trailing-Slop-Length": "0"}


def _digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _new_id(ids: Random) -> str:
    return f"<urn:uuid:{uuid.UUID(int=ids.getrandbits(128), version=4)}>"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _member(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)
