"""Batch of records → its image links settled, and what each page says for all of them.

The compiled scanner finds both. Python is asked once per page for its rights and its base URL, for a link only where its src is
unusual, and for a whole record only where the scanner gives it up.
"""

import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from pipeline.extract.batches import Batch, Ints
from pipeline.extract.compiled import links as way
from pipeline.extract.compiled.links import LINK_PAGE, WAY
from pipeline.extract.compiled.pages import END_NOTE, RECORD, read_pages
from pipeline.extract.compiled.parts import N_LINKS, N_NOTES, N_PAGES
from pipeline.extract.facts import PageFacts, bases_of, facts_in
from pipeline.extract.links import images_of, url_of
from pipeline.extract.pages import Page, crawl_of, load, page_of, string_in
from pipeline.extract.records import Record

_IS_PART_OF = re.compile(rb"^isPartOf:(.*)$", re.IGNORECASE | re.MULTILINE)
_COUNTED = {
    "rows_in": way.LINKS_READ,
    "dropped_no_alt": way.NO_ALT,
    "dropped_blank_src": way.BLANK_SRC,
    "dropped_data_url": way.DATA_URL,
}


class Scanned(NamedTuple):
    """Settled links (n, LINK_COLUMNS), the bytes that Python gave for them, and what their pages say."""

    links: Ints
    given: bytes
    pages: list[PageFacts]
    bases: Ints
    prefixes: bytes


class Scanner:
    """Scans the batches of one WAT in order. `crawl` is what the WAT has said so far; `tally` counts records, pages and links."""

    def __init__(self, crawl: str | None, tally: Counter[str]) -> None:
        self.crawl = crawl
        self._tally = tally

    def hear(self, record: Record) -> None:
        """A record of another kind: a warcinfo names the crawl."""
        found = _IS_PART_OF.search(record.block) if record.kind == b"warcinfo" else None
        self.crawl = (found[1].decode("utf-8", "replace").strip() if found else None) or self.crawl

    def scan(self, batch: Batch) -> Scanned:
        """All pages with image links of a batch."""
        ends, counts, first = np.zeros(3, np.int64), np.zeros(4, np.int64), 0
        slow: dict[int, Page] = {}  # by row of batch.pages
        crawls: list[str | None] = []  # of the pages so far
        given = bytearray()
        found = batch.pages, batch.links, batch.notes, ends, counts
        while (first := read_pages(batch.buffer, batch.records, first, batch.count, *found)) < batch.count:
            crawls += [self.crawl] * (int(ends[N_PAGES]) - len(crawls))
            self._read_slowly(batch, first, ends, slow, given)
            first += 1
        crawls += [self.crawl] * (int(ends[N_PAGES]) - len(crawls))
        for name, place in _COUNTED.items():
            self._tally[name] += int(counts[place])
        self._tally["pages_with_images"] += int(ends[N_PAGES])
        links = batch.links[: ends[N_LINKS]]
        pages = facts_in(batch, len(crawls), slow, crawls)
        self._ask(batch, links, pages, given)
        return Scanned(links, bytes(given), pages, *bases_of(pages, links))

    def _read_slowly(self, batch: Batch, number: int, ends: Ints, slow: dict[int, Page], given: bytearray) -> None:
        """A record that the compiled scanner refused: broken, or only unusual."""
        page = self._page_in(batch.record(number))
        if page is None:
            return
        links, row = batch.links, int(ends[N_PAGES])
        images = list(images_of(page, self._tally))
        for image in images:
            links[ends[N_LINKS]] = (row, way.GIVEN, *_give(image.url, given), *_give(image.text, given))
            ends[N_LINKS] += 1
        batch.pages[row] = 0
        batch.pages[row, RECORD] = number
        batch.pages[row, END_NOTE] = ends[N_NOTES]
        slow[row] = page
        ends[N_PAGES] += 1

    def _page_in(self, record: Record) -> Page | None:
        try:
            value = load(record.block)
        except ValueError:
            self._tally["records_invalid_json"] += 1
            return None
        self.crawl = crawl_of(value) or self.crawl
        try:
            return page_of(value, record.target.decode("utf-8", "replace"))
        except ValueError:
            self._tally["records_without_url"] += 1
            return None

    def _ask(self, batch: Batch, links: Ints, pages: list[PageFacts], given: bytearray) -> None:
        """Resolve what the scanner left open, and what is relative to a base URL that is not plain."""
        plain = np.array([bool(page.base.host) for page in pages], np.bool_)
        ways = links[:, WAY]
        relative = (ways >= way.AFTER_SCHEME) & (ways <= way.AFTER_FOLDER)
        asked = (ways == way.ASK) | (ways == way.ASK_RAW) | (relative & ~plain[links[:, LINK_PAGE]])
        view = memoryview(batch.buffer.data)
        links[asked] = [self._answer(link, view, pages, given) for link in links[asked].tolist()] or links[asked]

    def _answer(self, link: list[int], view: memoryview, pages: list[PageFacts], given: bytearray) -> list[int]:
        page, asked, url_start, url_end, text_start, text_end = link
        src, text = bytes(view[url_start:url_end]), bytes(view[text_start:text_end])
        is_raw = asked == way.ASK_RAW
        url = url_of(string_in(src) if is_raw else src.decode(), pages[page].base.url, self._tally)
        if url is None:
            return [page, way.GONE, 0, 0, 0, 0]
        if is_raw:
            return [page, way.GIVEN, *_give(url, given), *_give(string_in(text), given)]
        return [page, way.GIVEN_URL, *_give(url, given), text_start, text_end]


def _give(text: str, given: bytearray) -> tuple[int, int]:
    """Append `text`; where it stands."""
    start = len(given)
    given += text.encode()
    return start, len(given)
