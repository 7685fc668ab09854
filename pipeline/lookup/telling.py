"""What was found, as text for a person who answers a request, or as JSON lines. Whatever a page may have written is escaped.

In: rows as `finding` puts them together: file, row, found_by, columns, subsets. Out: lines.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from pipeline.cli import one_line

_LONGEST_TEXT = 1000  # characters of a value that are shown; JSON has all
_SECTIONS = {
    "what it is": ("uid", "url", "text", "domain", "lang", "lang_prob", "sha256"),
    "where it was found": (
        "page_url",
        "source",
        "crawl",
        "wat_path",
        "record_offset",
        "fetched_at",
        "html_lang",
        "content_language",
    ),
    "what its page says of rights": ("license_url", "robots", "tdm_reserved", "opted_out"),
}
_DUPLICATES = ("exact_dup_of", "phash_dup_of", "phash_dup_bits", "dup_of", "dup_cos", "cluster", "cluster_cos")
_FOUND_BY = {"uid": "", "url": ", its image has this address", "page_url": ", on a page with this address"}
_SAID_EVEN_IF_NULL = _SECTIONS["what its page says of rights"]


def row_as_text(row: Mapping[str, Any], number: int, count: int, originals: Mapping[str, str]) -> Iterator[str]:
    """Row `number` of `count`; `originals` has the image's URL, by uid, of rows that it may be a copy of."""
    columns: Mapping[str, Any] = row["columns"]
    yield f"row {number:,} of {count:,}: {one_line(row['file'])}, row {row['row']:,}{_FOUND_BY.get(row['found_by'], '')}"
    placed = {*_DUPLICATES, *(name for names in _SECTIONS.values() for name in names)}
    scores = tuple(name for name in columns if name not in placed)
    for title, names in {**_SECTIONS, "scores and measures": scores, "copies and clusters": _DUPLICATES}.items():
        told = {name: columns[name] for name in names if name in columns}
        shown = {name: _value(value) + _original(originals, value) for name, value in told.items() if _says(name, value)}
        yield from _section(title, shown)
    yield from _section("subsets", {name: _times(weight) for name, weight in row["subsets"].items()})


def copy_as_text(copy: Mapping[str, Any]) -> Iterator[str]:
    """One row that is marked as a copy."""
    of = ", ".join(f"{name} {_value(uid)}" for name, uid in copy["copy_of"].items())
    yield f"a copy: {one_line(copy['file'])}, row {copy['row']:,}; {of}"
    told = {name: _value(copy["columns"][name]) for name in ("uid", "url", "text", "page_url") if copy["columns"].get(name)}
    yield from _section("", told | ({"subsets": weights} if (weights := weights_as_text(copy["subsets"])) else {}))


def weights_as_text(weights: Mapping[str, int]) -> str:
    """In which subsets something stands, and how often."""
    return ", ".join(f"{one_line(name)} {_times(weight)}" for name, weight in weights.items() if weight)


def as_json(kind: str, told: Mapping[str, Any]) -> str:
    """One line; `kind` says what it tells: row, copy, removal or summary."""
    return json.dumps({"kind": kind, **_plain(told)}, allow_nan=False)


def _section(title: str, told: Mapping[str, str]) -> Iterator[str]:
    if told and title:
        yield f"  {title}"
    width = max(map(len, map(one_line, told)), default=0)
    for name, value in told.items():
        yield f"    {one_line(name):<{width}}  {value}"


def _says(name: str, value: Any) -> bool:
    return value is not None or name in _SAID_EVEN_IF_NULL


def _original(originals: Mapping[str, str], value: Any) -> str:
    """The URL of the row of which this one is a copy, after its uid."""
    url = originals.get(value) if isinstance(value, str) else None
    return f"  {_value(url)}" if url else ""


def _value(value: Any) -> str:
    if value is None or value == []:
        return "nothing said"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    text = one_line(" ".join(value) if _is_words(value) else str(value))
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… ({len(text):,} characters)"


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _times(weight: int) -> str:
    return "not in it" if weight == 0 else "once" if weight == 1 else f"{weight:,} times"


def _plain(value: Any) -> Any:
    """What JSON can say of a value: times in ISO 8601, bytes in hex, null for what is no number."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    return value.isoformat() if isinstance(value, date | time) else str(value)
