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
from pipeline.extract.compiled.links import LINK_COLUMNS, LINK_PAGE, WAY
from pipeline.extract.compiled.pages import END_LINK, END_NOTE, FIRST_LINK, RECORD, read_pages
from pipeline.extract.compiled.parts import N_LINKS, N_NOTES, N_PAGES
from pipeline.extract.facts import PageFacts, bases_of, facts_in, others_in
from pipeline.extract.links import Image, images_of, url_of
from pipeline.extract.others import SOURCES
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
    """Scans the batches of one WAT in order. `crawl` is what the WAT has said so far; `tally` counts records, pages and links.

    `wanted` (bits of compiled.sources): where images are taken from besides <img>.
    """

    def __init__(self, crawl: str | None, tally: Counter[str], wanted: int = 0) -> None:
        self.crawl = crawl
        self._tally = tally
        self._wanted = wanted

    def hear(self, record: Record) -> None:
        """A record of another kind: a warcinfo names the crawl."""
        found = _IS_PART_OF.search(record.block) if record.kind == b"warcinfo" else None
        self.crawl = (found[1].decode("utf-8", "replace").strip() if found else None) or self.crawl

    def scan(self, batch: Batch) -> Scanned:
        """All pages with image links of a batch."""
        ends, counts, first = np.zeros(3, np.int64), np.zeros(4, np.int64), 0
        slow: dict[int, Page] = {}  # by row of batch.pages
        crawls: list[str | None] = []  # of the pages so far
        given = _Given()
        found = batch.pages, batch.links, batch.notes, ends, counts
        while (first := read_pages(batch.buffer, batch.records, first, batch.count, self._wanted or None, *found)) < batch.count:
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
        if self._wanted:
            links = self._with_others(batch, links, pages, given)
        return Scanned(links, bytes(given.data), pages, *bases_of(pages, links))

    def _read_slowly(self, batch: Batch, number: int, ends: Ints, slow: dict[int, Page], given: "_Given") -> None:
        """A record that the compiled scanner refused: broken, or only unusual."""
        page = self._page_in(batch.record(number))
        if page is None:
            return
        links, row = batch.links, int(ends[N_PAGES])
        for image in images_of(page.candidates, page.base_url, self._tally):
            # Each stands in an object of its own, of SMALLEST_LINK_BYTES or more.
            links[ends[N_LINKS]] = given.row(row, image)
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
            return page_of(value, record.target.decode("utf-8", "replace"), self._wanted)
        except ValueError:
            self._tally["records_without_url"] += 1
            return None

    def _ask(self, batch: Batch, links: Ints, pages: list[PageFacts], given: "_Given") -> None:
        """Resolve what the scanner left open, and what is relative to a base URL that is not plain."""
        plain = np.array([bool(page.base.host) for page in pages], np.bool_)
        ways = links[:, WAY]
        relative = (ways >= way.AFTER_SCHEME) & (ways <= way.AFTER_FOLDER)
        asked = (ways == way.ASK) | (ways == way.ASK_RAW) | (relative & ~plain[links[:, LINK_PAGE]])
        view = memoryview(batch.buffer.data)
        links[asked] = [self._answer(link, view, pages, given) for link in links[asked].tolist()] or links[asked]

    def _answer(self, link: list[int], view: memoryview, pages: list[PageFacts], given: "_Given") -> list[int]:
        page, asked, url_start, url_end, text_start, text_end, source = link
        src, text = bytes(view[url_start:url_end]), bytes(view[text_start:text_end])
        is_raw = asked == way.ASK_RAW
        url = url_of(string_in(src) if is_raw else src.decode(), pages[page].base.url, self._tally)
        if url is None:
            return [page, way.GONE, 0, 0, 0, 0, source]
        if is_raw:
            return [page, way.GIVEN, *given.add(url), *given.add(string_in(text)), source]
        return [page, way.GIVEN_URL, *given.add(url), text_start, text_end, source]

    def _with_others(self, batch: Batch, links: Ints, pages: list[PageFacts], given: "_Given") -> Ints:
        """`links` and, after those of the same page, the images besides <img> that the scanner noted."""
        rows = []
        image_links = (batch.pages[: len(pages), END_LINK] - batch.pages[: len(pages), FIRST_LINK]).tolist()
        for row, found in others_in(batch, len(pages), self._wanted):
            rows += [given.row(row, image) for image in images_of(found, pages[row].base.url, self._tally)]
            if not found and not image_links[row]:
                self._tally["pages_with_images"] -= 1  # noted for what turned out to be none
        links = np.concatenate([links, np.array(rows, np.int64).reshape(-1, LINK_COLUMNS)])
        return links[np.argsort(links[:, LINK_PAGE], kind="stable")]


class _Given:
    """The bytes that Python gives for links. A text that many images of a page share is written once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._text, self._span = "", (0, 0)

    def add(self, text: str) -> tuple[int, int]:
        """Append a text; where it stands."""
        start = len(self.data)
        self.data += text.encode()
        return start, len(self.data)

    def row(self, page: int, image: Image) -> tuple[int, ...]:
        """An image of the page in row `page` as a row of `links`."""
        if image.text is not self._text:
            self._text, self._span = image.text, self.add(image.text)
        return page, way.GIVEN, *self.add(image.url), *self._span, SOURCES.index(image.source)
