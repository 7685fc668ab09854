"""The JSON of a record → a page, and what it says."""

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from .links import LONGEST, joined
from .others import others_in
from .rights import at, objects_at, rights_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def loaded(block: bytes) -> Any:
    """JSON, with what extractors write besides: bad UTF-8 and lone surrogates are U+FFFD, control characters stay."""
    try:
        return mended(json.loads(block.decode("utf-8", "replace"), strict=False))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def mended(value: Any) -> Any:
    """`value` without lone surrogates."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [mended(item) for item in value]
    if isinstance(value, dict):
        return {mended(key): mended(item) for key, item in value.items()}
    return value


def page_in(record: Any, target: str, counts: Counter[str], sources: set[str]) -> dict[str, Any] | None:
    """URL, base URL, images, and what the page says of itself; None where the record is no page with images."""
    envelope = at(record, "Envelope")
    response = at(envelope, "Payload-Metadata", "HTTP-Response-Metadata")
    links = objects_at(response, "HTML-Metadata", "Links")
    head = at(response, "HTML-Metadata", "Head")
    images = [(link.get("url"), link.get("alt"), "img") for link in links if link.get("path") == "IMG@/src"]
    images += others_in(head, links, sources)
    if not images:
        return None
    urls = (at(envelope, "WARC-Header-Metadata", "WARC-Target-URI"), at(envelope, "ARC-Header-Metadata", "Target-URI"), target)
    url = next((url for url in urls if isinstance(url, str) and url), None)
    if url is None or len(url) > LONGEST:
        counts["records_without_url"] += 1
        return None
    counts["pages_with_images"] += 1
    href = at(head, "Base")
    base = joined(url, href) if isinstance(href, str) and len(href) <= LONGEST else url
    base = url if base is None else base
    date = at(envelope, "WARC-Header-Metadata", "WARC-Date") or at(envelope, "ARC-Header-Metadata", "Date")
    says = {"fetched_at": microseconds(date), **rights_of(head, at(response, "Headers"), links, base)}
    return {"url": url, "base": base, "images": images, "says": says}


def microseconds(date: Any) -> int | None:
    """A date of WARC (ISO 8601, UTC where it does not say) or ARC (14 digits) as µs since epoch."""
    if not isinstance(date, str):
        return None
    if re.fullmatch("[0-9]{14}", date):
        date = f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}"
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


def crawl_in_fields(block: bytes) -> str | None:
    """isPartOf of a warcinfo record."""
    for line in block.split(b"\n"):
        if line.lower().startswith(b"ispartof:"):
            return line.partition(b":")[2].decode("utf-8", "replace").strip() or None
    return None


def crawl_in(record: Any) -> str | None:
    """isPartOf of a record about a warcinfo record or an ARC's file description."""
    payload = at(record, "Envelope", "Payload-Metadata")
    stated = at(payload, "WARC-Info-Metadata", "isPartOf")
    for entry in objects_at(payload, "Filedesc-Metadata", "Data"):
        if entry.get("Name") == "dcterms:isPartOf":
            stated = stated or entry.get("Value")
    return stated if isinstance(stated, str) and stated else None
