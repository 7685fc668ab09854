"""What the scanner found of a page → what its rows share: columns of CANDIDATES, and the URL that links are relative to."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urljoin

import numpy as np

from pipeline.extract.batches import Batch, Ints
from pipeline.extract.compiled.links import AFTER_FOLDER, LINK_PAGE, WAY
from pipeline.extract.compiled.pages import END_NOTE, FIRST_NOTE, RECORD
from pipeline.extract.compiled.parts import HEAD_LINK, HEADER, LINK, META, NOTE_KIND, OTHER_META, OTHERS, RIGHTS
from pipeline.extract.compiled.records import OFFSET, TARGET_END, TARGET_START
from pipeline.extract.compiled.rows import BASE_COLUMNS
from pipeline.extract.links import Candidate
from pipeline.extract.others import others_of
from pipeline.extract.pages import Page, fetched_at_us, load, string_in
from pipeline.extract.rights import Rights, rights_of
from pipeline.extract.urls import base_of, problem_of
from pipeline.optout import refusals

# scheme and host in lower case and nothing else: there joining is putting one thing after another.
_PLAIN_BASE = re.compile(r"((https?:)//([a-z0-9.-]+))(?=[/?#]|\Z)")
_REFUSAL_BITS = {directive: 1 << place for place, directive in enumerate(sorted(refusals()))}
_RESERVED_BIT = 1 << len(_REFUSAL_BITS)
_NOTES_REMEMBERED = 4096
_LONGEST_REMEMBERED = 4096  # bytes


class PageFacts(NamedTuple):
    """What the rows of a page share. `fetched_at_us`: µs since epoch; `record_offset`: bytes."""

    url: str
    base: "Base"
    crawl: str | None
    record_offset: int
    fetched_at_us: int | None
    rights: Rights
    refuses: int  # in bits: directives that refuse, TDM reservation
    size: int  # characters of `rights`


class Base(NamedTuple):
    """The URL that links are relative to; where it is plain, also its part up to the host, and up to the colon the size."""

    url: str
    host: str = ""
    scheme_size: int = 0

    @classmethod
    def of(cls, url: str) -> "Base":
        """Plain: joining is putting one thing after another."""
        found = _PLAIN_BASE.match(url)
        return cls(url, found[1], len(found[2])) if found and not problem_of(found[3]) else cls(url)


def facts_in(batch: Batch, count: int, read_in_python: Mapping[int, Page], crawls: Sequence[str | None]) -> list[PageFacts]:
    """Those of the first `count` pages that the scanner found in a batch; `crawls` (count,): what their WAT had said by then."""
    view = memoryview(batch.buffer.data)
    notes = batch.notes[: batch.pages[count - 1, END_NOTE] if count else 0]
    notes = np.column_stack([notes[:, NOTE_KIND] & RIGHTS, notes[:, NOTE_KIND + 1 :]]).tolist()
    pages = batch.pages[:count]
    records = batch.records[pages[:, RECORD]].tolist()
    return [
        _facts_of(read_in_python[row], record[OFFSET], crawl)
        if row in read_in_python
        else _facts_at(view, page, record, notes[page[FIRST_NOTE] : page[END_NOTE]], crawl)
        for row, (page, record, crawl) in enumerate(zip(pages.tolist(), records, crawls, strict=True))
    ]


def _facts_of(page: Page, offset: int, crawl: str | None) -> PageFacts:
    rights = rights_of(page)
    return PageFacts(
        page.url, Base.of(page.base_url), crawl, offset, page.fetched_at_us, rights, _refused_by(rights), _size_of(rights)
    )


def _facts_at(view: memoryview, page: list[int], record: list[int], notes: list[list[int]], crawl: str | None) -> PageFacts:
    _, target_start, target_end, date_start, date_end, base_start, base_end, *_ = page
    if target_end > target_start:
        url = string_in(bytes(view[target_start:target_end]))
    else:  # the record's own WARC-Target-URI
        url = bytes(view[record[TARGET_START] : record[TARGET_END]]).strip().decode("utf-8", "replace")
    date = fetched_at_us(string_in(bytes(view[date_start:date_end])))
    base_url = base_of(url, string_in(bytes(view[base_start:base_end]))) if base_start else url
    rights, refuses, size = _rights([(kind, bytes(view[start:end])) for kind, start, end in notes if kind], base_url)
    return PageFacts(url, Base.of(base_url), crawl, record[OFFSET], date, rights, refuses, size)


def others_in(batch: Batch, count: int, wanted: int) -> Iterator[tuple[int, list[Candidate]]]:
    """The images besides <img> of those of the first `count` pages for which the scanner noted what may be one: by row."""
    view = memoryview(batch.buffer.data)
    pages = batch.pages[:count]
    notes = batch.notes[: pages[-1, END_NOTE] if count else 0]
    noted = np.flatnonzero(notes[:, NOTE_KIND] & OTHERS)
    page_of_note = np.searchsorted(pages[:, END_NOTE], noted, side="right").tolist()
    pieces: dict[int, tuple[list[bytes], list[bytes]]] = {}
    for row, (kind, start, end) in zip(page_of_note, notes[noted].tolist(), strict=True):
        metas, links = pieces.setdefault(row, ([], []))
        (metas if kind & OTHER_META else links).append(bytes(view[start:end]))
    for row, (metas, links) in pieces.items():
        yield row, others_of(load(b"[%b]" % b",".join(metas)), load(b"[%b]" % b",".join(links)), wanted)


def bases_of(pages: Sequence[PageFacts], links: Ints) -> tuple[Ints, bytes]:
    """For compiled.rows: the rows of `bases` (n, BASE_COLUMNS) and the base URLs they point into."""
    with_folder = set(links[links[:, WAY] == AFTER_FOLDER, LINK_PAGE].tolist())
    rows, prefixes = [], bytearray()
    for number, page in enumerate(pages):
        base = page.base
        start = len(prefixes)
        prefixes += (urljoin(base.url, "x")[:-1] if number in with_folder else base.host).encode()
        rows.append((start, base.scheme_size, len(base.host), len(prefixes) - start, page.refuses, 0, len(page.url) + page.size))
    return np.array(rows, np.int64).reshape(-1, BASE_COLUMNS), bytes(prefixes)


def _size_of(rights: Rights) -> int:
    said = (rights.html_lang, rights.content_language, rights.license_url, *rights.robots)
    return sum(len(text) for text in said if text)


def _refused_by(rights: Rights) -> int:
    """What the page refuses, in bits."""
    bits = _RESERVED_BIT if rights.tdm_reserved else 0
    for directive in rights.robots:
        bits |= _REFUSAL_BITS.get(directive, 0)
    return bits


def _rights(notes: list[tuple[int, bytes]], base_url: str) -> tuple[Rights, int, int]:
    needed_base = base_url if any(kind >= HEAD_LINK for kind, _ in notes) else ""
    remembers = sum(len(piece) for _, piece in notes) <= _LONGEST_REMEMBERED
    return (_rights_in if remembers else _rights_in.__wrapped__)(tuple(notes), needed_base)


@lru_cache(_NOTES_REMEMBERED)
def _rights_in(notes: tuple[tuple[int, bytes], ...], base_url: str) -> tuple[Rights, int, int]:
    """Rights, refusals and size from pieces of a page's JSON: members of Headers, elements of Metas, Head.Link and Links."""

    def joined(wanted: int) -> bytes:
        return b",".join(piece for kind, piece in notes if kind == wanted)

    head = {"Metas": load(b"[%b]" % joined(META)), "Link": load(b"[%b]" % joined(HEAD_LINK))}
    rights = rights_of(Page("", base_url, None, load(b"{%b}" % joined(HEADER)), head, load(b"[%b]" % joined(LINK)), []))
    return rights, _refused_by(rights), _size_of(rights)
