"""The demo's web on disk: every response's body in a few blobs, and an index by URL from which the server answers."""

import os
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from random import Random
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.demo import html
from pipeline.demo.pictures import encode
from pipeline.demo.server import Response
from pipeline.demo.web import Page, Resource, Web

INDEX_NAME = "responses.parquet"
# Fixed, so that the files are the same whatever the number of workers.
_BLOBS = 16
_REASONS = {"not_found": 404, "redirect_to_missing": 302, "redirect": 301, "server_error": 500}

_INDEX = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("status", pa.int32(), nullable=False),
        pa.field("header_names", pa.list_(pa.string()), nullable=False),
        pa.field("header_values", pa.list_(pa.string()), nullable=False),
        pa.field("dropped", pa.bool_(), nullable=False),
        pa.field("blob", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
    ]
)


def write_site(folder: str, web: Web, pool: Executor) -> None:
    """Render every page and picture of a web into `folder`: about 20 KB per image link. Byte-identical for the same web."""
    os.makedirs(folder, exist_ok=True)
    everything: list[Page | Resource] = [*web.pages, *web.resources]
    tasks = [(i, everything[i::_BLOBS]) for i in range(_BLOBS)]
    tables = list(pool.map(partial(_write_blob, folder), tasks))
    pq.write_table(pa.concat_tables(tables), f"{folder}/{INDEX_NAME}")


def _write_blob(folder: str, task: tuple[int, list[Page | Resource]]) -> pa.Table:
    number, members = task
    rows, offset = [], 0
    with open(_blob_path(folder, number), "wb") as blob:
        for member in members:
            response = answer_page(member) if isinstance(member, Page) else answer_image(member)
            blob.write(response.body)
            names, values = [name for name, _ in response.headers], [value for _, value in response.headers]
            rows.append(
                {
                    "url": canonical(member.url),
                    "status": response.status,
                    "header_names": names,
                    "header_values": values,
                    "dropped": response.dropped,
                    "blob": number,
                    "offset": offset,
                    "length": len(response.body),
                }
            )
            offset += len(response.body)
    return pa.Table.from_pylist(rows, schema=_INDEX)


def answer_page(page: Page) -> Response:
    """What a page's host sends."""
    body = html.render(page)
    return Response(status=200, headers=tuple(html.headers(page, len(body))[:-1]), body=body)


def answer_image(resource: Resource) -> Response:
    """What comes at an image URL, damage included."""
    answer, picture = resource.answer, resource.picture
    if answer in _REASONS:
        headers = [("Content-Type", "text/html")] + ([("Location", resource.target)] if resource.target else [])
        return Response(status=_REASONS[answer], headers=tuple(headers), body=b"<html><body>error or moved</body></html>")
    if answer == "html":
        body = b"<!DOCTYPE html><html><head><title>Please log in</title></head><body>Log in to see this picture.</body></html>"
        return Response(status=200, headers=(("Content-Type", "text/html"),), body=body)
    headers = [("Content-Type", picture.content_type), ("Cache-Control", "max-age=86400")]
    if answer == "noai":
        headers.append(("X-Robots-Tag", "noai, noimageai"))
    return Response(status=200, headers=tuple(headers), body=_damage(resource, encode(picture)), dropped=answer == "dropped")


def _damage(resource: Resource, body: bytes) -> bytes:
    if resource.answer == "truncated":
        return body[: len(body) // 2]
    if resource.answer == "corrupt":
        return body[:4] + Random(resource.url).randbytes(len(body) - 4)
    return body


@dataclass(frozen=True)
class _Row:
    status: int
    headers: tuple[tuple[str, str], ...]
    dropped: bool
    blob: int
    offset: int
    length: int


class Site:
    """A written site: `lookup(url)` gives its Response, read from disk, or None. Close it when done (context manager)."""

    def __init__(self, folder: str) -> None:
        table = pq.read_table(f"{folder}/{INDEX_NAME}")
        self._rows = {
            row.pop("url"): _Row(
                headers=tuple(zip(row.pop("header_names"), row.pop("header_values"), strict=True)),
                **row,
            )
            for row in table.to_pylist()
        }
        self._blobs = [os.open(_blob_path(folder, i), os.O_RDONLY) for i in range(_BLOBS)]

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        for blob in self._blobs:
            os.close(blob)

    def lookup(self, url: str) -> Response | None:
        """The response stored for a URL, None where there is none. Scheme and host are compared without case."""
        row = self._rows.get(canonical(url))
        if row is None:
            return None
        body = os.pread(self._blobs[row.blob], row.length, row.offset)
        return Response(status=row.status, headers=row.headers, body=body, dropped=row.dropped)


def canonical(url: str) -> str:
    """A URL as the index spells it: scheme and host in lower case, no default port, no fragment, other than ASCII quoted."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe="/%!$&'()*+,;=:@~-._")
    query = f"?{quote(parts.query, safe='/%!$&()*+,;=:@~?-._' + chr(39))}" if parts.query else ""
    return f"{parts.scheme.lower()}://{parts.netloc.lower().removesuffix(':80')}{path}{query}"


def _blob_path(folder: str, number: int) -> str:
    return f"{folder}/responses-{number:02d}.bin"
