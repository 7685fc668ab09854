"""WATs written by hand: what the tests of extract are made of."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.extract import ExtractConfig, run

PAGE_URL = "https://page.example/dir/page.html"


def image(src: Any, alt: Any = "a cat", **more: Any) -> dict[str, Any]:
    """A link as Common Crawl's extractor writes it for <img>."""
    return {"path": "IMG@/src", "url": src, "alt": alt, **more}


def page(links: list[Any], *, url: str | None = PAGE_URL, headers: Any = None, head: Any = None) -> dict[str, Any]:
    """The JSON of a page's metadata record."""
    warc = {"WARC-Type": "response", "WARC-Date": "2024-05-18T01:58:10Z"}
    if url is not None:
        warc["WARC-Target-URI"] = url
    html = {"Head": head or {}, "Links": links}
    response = {"Headers": headers or {}, "HTML-Metadata": html}
    payload = {"Actual-Content-Type": "application/http; msgtype=response", "HTTP-Response-Metadata": response}
    return {"Container": {"Filename": "x.warc.gz"}, "Envelope": {"Payload-Metadata": payload, "WARC-Header-Metadata": warc}}


def warc_record(block: Any, *, kind: str = "metadata", target: str | None = None, length: int | str | None = None) -> bytes:
    """A WARC record: header, block, and the empty lines after it."""
    body = block if isinstance(block, bytes) else json.dumps(block).encode()
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\n" + (f"WARC-Target-URI: {target}\r\n" if target else "")
    stated = len(body) if length is None else length
    return f"{head}Content-Length: {stated}\r\n\r\n".encode() + body + b"\r\n\r\n"


def member(record: bytes) -> bytes:
    """A gzip member of one record; the same bytes at any time."""
    return gzip.compress(record, mtime=0)


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders above, for test files (which cannot import each other)."""
    return SimpleNamespace(image=image, page=page, record=warc_record, member=member, PAGE_URL=PAGE_URL)


@pytest.fixture
def extracted(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Extract the bytes of one WAT, with options: its rows, its counts, its input report and the manifest."""

    def extract(data: bytes, name: str = "test.warc.wat.gz", **options: Any) -> SimpleNamespace:
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / name).write_bytes(data)
        manifest = run(ExtractConfig(out=str(folder / "out"), wat=(str(folder / name),), **options))
        rows = [row for path in sorted((folder / "out").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
        return SimpleNamespace(rows=rows, counts=manifest.counts, report=manifest.inputs[0], manifest=manifest)

    return extract


@pytest.fixture
def extracted_page(extracted: Callable[..., SimpleNamespace], make: SimpleNamespace) -> Callable[..., SimpleNamespace]:
    """Extract a WAT of one page with the given links."""

    def extract(links: list[Any], **of_page: Any) -> SimpleNamespace:
        return extracted(make.member(make.record(make.page(links, **of_page))))

    return extract
