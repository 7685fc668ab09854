"""One WAT → one parquet file of candidates, read and written as a stream."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from pipeline.extract.config import ExtractConfig
from pipeline.extract.inputs import WatPart
from pipeline.extract.links import images_of
from pipeline.extract.members import read_pieces
from pipeline.extract.naming import CRAWL_IN_PATH, wat_path
from pipeline.extract.pages import Page, crawl_of, load, page_of
from pipeline.extract.records import Record, read_records
from pipeline.extract.remote import open_source
from pipeline.extract.rights import rights_of
from pipeline.extract.rows import RowWriter
from pipeline.extract.window import Window
from pipeline.manifest import InputReport, PartReport
from pipeline.stage import Part, PartFolder
from schemas.errors import UserError

_IS_PART_OF = re.compile(rb"^isPartOf:(.*)$", re.IGNORECASE | re.MULTILINE)


def extract_wat(config: ExtractConfig, part: Part, folder: PartFolder) -> PartReport:
    """Write `{part}.parquet` from the part's WAT. Raises UserError where nothing of it can be read."""
    assert isinstance(part, WatPart)  # noqa: S101 - the stage plans no other parts
    path = part.inputs[0]
    tally: Counter[str] = Counter({"rows_in": 0, "rows_out": 0})
    with closing(open_source(part.source)) as source, folder.open(f"{part.name}.parquet") as target:
        window = Window(source)
        with closing(RowWriter(target)) as writer:
            for row in _rows_of(window, path, tally):
                writer.write(row)
    tally["rows_out"] = writer.rows_written
    if not tally["records"]:
        raise UserError(f"{path}: no WARC record could be read ({_damage_in(tally) or 'none in it'}); is it a WAT?")
    damage = _damage_in(tally)
    report = InputReport(
        path=path, status="partial" if damage else "ok", error=damage, rows=writer.rows_written, bytes_read=window.end
    )
    return PartReport(name=part.name, counts=dict(tally), inputs=(report,))


def _rows_of(window: Window, path: str, tally: Counter[str]) -> Iterator[tuple[Any, ...]]:
    """Rows in the order of CANDIDATES' columns; of a uid within the WAT the first, and later ones whose page says more.

    A page that opts out speaks for every copy of its pairs, so pool must see what it says, whichever page came first.
    """
    said_before: dict[bytes, frozenset[str]] = {}
    named = wat_path(path)
    crawl = _crawl_in(path)
    for record in read_records(read_pieces(window, path, tally), tally):
        value = _value_of(record, tally)
        crawl = _stated_crawl(record, value) or crawl
        page = _page_in(record, value, tally)
        if page is None:
            continue
        rights = rights_of(page)
        said = frozenset([*rights.robots, *(["tdm_reserved"] if rights.tdm_reserved else [])])
        shared = (page.url, crawl, named, record.offset, page.fetched_at_us, *rights, "img")
        for url, text in images_of(page, tally):
            digest = hashlib.md5((text + url).encode(), usedforsecurity=False)
            before = said_before.get(digest.digest())
            if before is not None and said <= before:
                tally["dropped_duplicate_in_wat"] += 1
                continue
            said_before[digest.digest()] = said | before if before else said
            yield (digest.hexdigest(), url, text, *shared)


def _value_of(record: Record, tally: Counter[str]) -> Any:
    """The record's JSON; None where it is broken, or cannot hold what is looked for: most records need no parsing."""
    if record.kind != b"metadata" or not (b"IMG@" in record.block or b"isPartOf" in record.block):
        return None
    try:
        return load(record.block)
    except ValueError:
        tally["records_invalid_json"] += 1
        return None


def _page_in(record: Record, value: Any, tally: Counter[str]) -> Page | None:
    try:
        page = page_of(value, record.target.decode("utf-8", "replace"))
    except ValueError:
        tally["records_without_url"] += 1
        return None
    if page is not None:
        tally["pages_with_images"] += 1
    return page


def _stated_crawl(record: Record, value: Any) -> str | None:
    if record.kind == b"warcinfo":
        found = _IS_PART_OF.search(record.block)
        return found[1].decode("utf-8", "replace").strip() or None if found else None
    return crawl_of(value)


def _crawl_in(path: str) -> str | None:
    found = CRAWL_IN_PATH.search(path)
    return found[1] if found else None


def _damage_in(tally: Counter[str]) -> str:
    said = []
    if tally["damaged_members"]:
        said.append(f"damaged places, skipped: {tally['damaged_members']}")
    if tally["truncated_files"]:
        said.append("truncated: the file ends inside a gzip member")
    if tally["records_cut_short"]:
        said.append(f"records cut short: {tally['records_cut_short']}")
    return "; ".join(said)
