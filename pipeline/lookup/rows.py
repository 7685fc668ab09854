"""What is sought → the rows that are meant: where they stand first, then all their columns, some rows at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from pipeline.lookup.matching import conditions, found_by
from pipeline.lookup.reading import ROWS, Table
from pipeline.lookup.sought import Sought

DUPLICATES = ("exact_dup_of", "phash_dup_of", "dup_of")
_COPY_COLUMNS = ("uid", "url", "text", "page_url", "dup_cos", "phash_dup_bits")
_ROWS_AT_ONCE = 2048  # that are Python objects at a time
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = "TIMESTAMP WITH TIME ZONE"


class Place(NamedTuple):
    """Where a row stands: file as DuckDB names it, number in the file; its uid; by which column it was found."""

    file: str
    row: int
    uid: str
    by: str


@dataclass(frozen=True)
class Found:
    """The rows that are meant: `count` in all, of which `places` are known, all or the first in the release's order.

    `beside`: domains above the host sought that have rows.
    """

    places: tuple[Place, ...]
    count: int
    beside: tuple[str, ...] = ()


def find(table: Table, sought: Sought, *, pages: bool, most: int | None) -> Found:
    """The rows that are meant, `most` of them with their places. With `pages`, every page_url is looked at.

    Without, a page's URL is compared only where a row's image is of that host's domain, too. Raises UserError where a column
    is not there.
    """
    table.require("uid")
    if sought.kind != "uid":
        table.require("url")
    domains = _domains(table, sought)
    asked = conditions(sought, table.columns, domains, pages=pages)
    place = "filename, file_row_number, uid"
    limit = "" if most is None else f"LIMIT {most + 1:d}"
    sure = [Place(*row) for row in table.ask(f"SELECT {place}, {asked.by} {ROWS} WHERE {asked.sure} {limit}", **asked.values)]
    count = len(sure)
    if most is not None and count > most:
        ((count,),) = table.ask(f"SELECT count(*) {ROWS} WHERE {asked.sure}", **asked.values)
    page = "page_url" if "page_url" in table.columns else "NULL"
    odd = [] if asked.candidate == "false" else _candidates(table, f"{place}, url, {page}", asked.candidate, asked.values)
    tested = [Place(file, row, uid, found_by(sought, url, page, pages=pages)) for file, row, uid, url, page in odd]
    others = [place for place in tested if place.by]
    return Found(
        tuple(sorted(sure + others)[:most]),
        count + len(others),
        tuple(domain for domain in domains if domain in sought.domains[1:]),
    )


def _candidates(table: Table, what: str, condition: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    return table.ask(f"SELECT {what} {ROWS} WHERE {condition}", **values)


def _domains(table: Table, sought: Sought) -> list[str]:
    """The release's domains that are the host sought, that it lies below, or that lie below it.

    Below it: where it is a public suffix, or has an end that the list did not know.
    """
    if sought.kind != "host" or "domain" not in table.columns:
        return []
    asked = f"SELECT DISTINCT domain {ROWS} WHERE list_contains($domains, domain) OR ends_with(domain, $dotted)"
    return [row[0] for row in table.ask(asked, domains=list(sought.domains), dotted=f".{sought.host}")]


def whole_rows(table: Table, places: Sequence[Place]) -> Iterator[list[dict[str, Any]]]:
    """Rows with all their columns, some at a time: `file`, `row` (number in it), `found_by`, `columns`."""
    for file, of_file in groupby(places, key=lambda place: place.file):
        wanted = list(of_file)
        for start in range(0, len(wanted), _ROWS_AT_ONCE):
            yield _rows_at(table, file, wanted[start : start + _ROWS_AT_ONCE])


def _rows_at(table: Table, file: str, places: Sequence[Place]) -> list[dict[str, Any]]:
    # DuckDB needs another package for times with a zone.
    times = "* REPLACE (epoch_us(fetched_at) AS fetched_at)" if table.columns.get("fetched_at") == _TIME else "*"
    names, rows = table.ask_named(
        f"SELECT {times} {ROWS} WHERE filename = $file AND list_contains($numbers, file_row_number)",
        file=file,
        numbers=[place.row for place in places],
    )
    made = {row["file_row_number"]: row for row in (dict(zip(names, row, strict=True)) for row in rows)}
    return [
        {"file": table.name_of(file), "row": place.row, "found_by": place.by, "columns": _columns(made[place.row], times)}
        for place in places
    ]


def _columns(row: dict[str, Any], times: str) -> dict[str, Any]:
    """The release's own columns of a row."""
    columns = {name: value for name, value in row.items() if name not in ("filename", "file_row_number")}
    if times != "*" and columns["fetched_at"] is not None:
        columns["fetched_at"] = _EPOCH + timedelta(microseconds=columns["fetched_at"])
    return columns


def urls_by_uid(table: Table, uids: Sequence[str]) -> dict[str, str]:
    """The image URL of each of these uids that is in the release."""
    if not uids or "url" not in table.columns:
        return {}
    return dict(table.ask(f"SELECT uid, url {ROWS} WHERE uid IN (SELECT unnest($uids))", uids=list(uids)))


def copies_of(table: Table, uids: Sequence[str]) -> list[dict[str, Any]]:
    """Rows that are marked as copies of these uids: `file`, `row`, `found_by` and `copy_of`, and what they are."""
    copies: dict[tuple[str, int], dict[str, Any]] = {}
    for mark in DUPLICATES:
        if uids and mark in table.columns:
            told = ", ".join(name for name in _COPY_COLUMNS if name in table.columns)
            names, rows = table.ask_named(
                f"SELECT filename, file_row_number, {mark}, {told} {ROWS} WHERE {mark} IN (SELECT unnest($uids))",
                uids=list(uids),
            )
            for file, row, original, *values in rows:
                found = {
                    "file": table.name_of(file),
                    "row": row,
                    "copy_of": {},
                    "columns": dict(zip(names[3:], values, strict=True)),
                }
                copies.setdefault((file, row), found)["copy_of"][mark] = original
    return [copies[place] for place in sorted(copies)]
