"""WAT record → page: the JSON read tolerantly, with what every link of the page shares."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from pipeline.extract.links import Candidate
from pipeline.extract.others import others_of
from pipeline.extract.urls import LONGEST_URL_CHARS, base_of

IMAGE = "IMG@/src"
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class Page(NamedTuple):
    """A page with images: its URL, the URL its links are relative to, when it was fetched (µs since epoch), and its parts."""

    url: str
    base_url: str
    fetched_at_us: int | None
    headers: dict[str, Any]
    head: dict[str, Any]
    links: list[dict[str, Any]]
    candidates: list[Candidate]


def load(block: bytes) -> Any:
    """The JSON value of a record's block: strings hold no lone surrogates. Raises ValueError where it is not JSON.

    What strict JSON forbids but extractors write is read: bad UTF-8 and lone surrogates become U+FFFD, control characters
    in strings stay.
    """
    try:
        return orjson.loads(block)
    except orjson.JSONDecodeError:
        return _load_tolerantly(block)


def string_in(raw: bytes) -> str:
    """The string whose JSON, without the quotes, is `raw`."""
    if b"\\" not in raw:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            pass
    return str(load(b'"%b"' % raw))


def _load_tolerantly(block: bytes) -> Any:
    try:
        value = json.loads(block.decode("utf-8", "replace"), strict=False)
        written = json.dumps(value, ensure_ascii=False)
        del value  # a record of 32 MB takes a gigabyte when it is built
        return json.loads(written.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def object_of(value: Any) -> dict[str, Any]:
    """`value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[dict[str, Any]]:
    """The JSON objects in `value` where it is a list, else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def page_of(record: Any, target: str, wanted: int) -> Page | None:
    """The page that a metadata record describes, None where it describes none with images.

    `wanted` (bits of compiled.sources): where images may stand besides <img>. `target` is the WAT record's own WARC-Target-URI,
    for records whose envelope lacks it. WATs made from ARC files have an ARC-Header-Metadata in the place of WARC's. Raises
    ValueError where no URL of the page is given.
    """
    envelope = object_of(object_of(record).get("Envelope"))
    response = object_of(object_of(envelope.get("Payload-Metadata")).get("HTTP-Response-Metadata"))
    html = object_of(response.get("HTML-Metadata"))
    head, links = object_of(html.get("Head")), objects_of(html.get("Links"))
    candidates = [Candidate(link.get("url"), link.get("alt"), "img") for link in links if link.get("path") == IMAGE]
    candidates += others_of(objects_of(head.get("Metas")), links, wanted) if wanted else []
    if not candidates:
        return None
    warc = object_of(envelope.get("WARC-Header-Metadata"))
    arc = object_of(envelope.get("ARC-Header-Metadata"))
    url = next((u for u in (warc.get("WARC-Target-URI"), arc.get("Target-URI"), target) if isinstance(u, str) and u), None)
    if url is None or len(url) > LONGEST_URL_CHARS:
        raise ValueError("no Target-URI that can be one")
    when = fetched_at_us(warc.get("WARC-Date") or arc.get("Date"))
    return Page(url, base_of(url, head.get("Base")), when, object_of(response.get("Headers")), head, links, candidates)


def crawl_of(record: Any) -> str | None:
    """The isPartOf that a record about a warcinfo (or an ARC's filedesc) states."""
    payload = object_of(object_of(object_of(record).get("Envelope")).get("Payload-Metadata"))
    stated = object_of(payload.get("WARC-Info-Metadata")).get("isPartOf")
    for entry in objects_of(object_of(payload.get("Filedesc-Metadata")).get("Data")):
        if entry.get("Name") == "dcterms:isPartOf":
            stated = stated or entry.get("Value")
    return stated if isinstance(stated, str) and stated else None


def fetched_at_us(date: Any) -> int | None:
    """A WARC-Date (ISO 8601, UTC) or an ARC date (YYYYMMDDhhmmss) as µs since epoch; None where it is neither."""
    if not isinstance(date, str):
        return None
    try:
        if len(date) == 14 and re.fullmatch(r"[0-9]{14}", date):
            moment = datetime.strptime(date, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        else:
            moment = datetime.fromisoformat(date)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND
