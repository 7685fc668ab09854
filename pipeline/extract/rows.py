"""Settled links of batches → record batches of CANDIDATES: each uid once per WAT, rows in order, groups of bounded size."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.extract.compiled.rows import (
    DUPLICATES,
    EMPTY,
    GROUP_PAGE,
    PAD_BYTES,
    ROWS,
    TEXT_BYTES,
    TOLD,
    UIDS,
    URL_BYTES,
    rehash,
    write_rows,
)
from pipeline.extract.facts import PageFacts
from pipeline.extract.others import SOURCES
from pipeline.extract.rights import Rights
from pipeline.extract.scan import Scanned
from schemas.candidates import CANDIDATES

_GROUP_ROWS = 32_768
_GROUP_BYTES = 16 << 20  # of URLs, and of texts: alt texts of 200,000 characters occur
_FIRST_SLOTS = 1 << 16
_TOLD_BY_PAGE = ("page_url", "crawl", "record_offset", "fetched_at", *Rights._fields)


class RowGroups:
    """Collects the rows of one WAT; `wat_path` is the same for all of them."""

    def __init__(self, wat_path: str) -> None:
        self._wat_path = wat_path
        self._uids = np.zeros((_FIRST_SLOTS, 2), np.uint64)
        self._refused = np.full(_FIRST_SLOTS, EMPTY, np.int64)
        self._pair = np.empty(1 << 20, np.uint8)
        self._uid = np.empty((_GROUP_ROWS, 32), np.uint8)
        self._url, self._text = np.empty(_GROUP_BYTES, np.uint8), np.empty(_GROUP_BYTES, np.uint8)
        self._url_ends, self._text_ends = np.zeros(_GROUP_ROWS + 1, np.int32), np.zeros(_GROUP_ROWS + 1, np.int32)
        self._page, self._source = np.empty(_GROUP_ROWS, np.int32), np.empty(_GROUP_ROWS, np.int8)
        self._state = np.zeros(6, np.int64)
        self._pages: list[PageFacts] = []

    @property
    def duplicates(self) -> int:
        """Rows left out because their uid stands before, and their page refuses nothing more."""
        return int(self._state[DUPLICATES])

    def add(self, data: Any, scanned: Scanned) -> Iterator[pa.RecordBatch]:
        """Take the rows of links whose bytes stand in `data`; yields the groups that are full."""
        links, given, pages, bases, prefixes = scanned
        spare, prefix = np.frombuffer(given or b"\0", np.uint8), np.frombuffer(prefixes or b"\0", np.uint8)
        done = 0
        self._begin(pages, bases)
        while True:
            done = write_rows(
                links, done, len(links), data, spare, bases, prefix, self._uids, self._refused, self._pair, self._uid,
                self._url, self._url_ends, self._text, self._text_ends, self._page, self._source,
                self._state,
            )  # fmt: skip
            if done == len(links):
                return
            if 2 * self._state[UIDS] >= len(self._refused):
                self._grow_table()
            elif self._state[ROWS]:
                yield from self.rest()
                self._begin(pages, bases)
            else:
                self._grow_buffers()

    def rest(self) -> Iterator[pa.RecordBatch]:
        """The group as far as it is filled, if it is."""
        rows = int(self._state[ROWS])
        if rows:
            yield self._record_batch(rows)
        self._state[[ROWS, URL_BYTES, TEXT_BYTES, TOLD]] = 0
        self._pages.clear()

    def _begin(self, pages: Sequence[PageFacts], bases: Any) -> None:
        bases[:, GROUP_PAGE] = len(self._pages) + np.arange(len(bases))
        self._pages.extend(pages)

    def _record_batch(self, rows: int) -> pa.RecordBatch:
        index = pa.array(self._page[:rows])
        told = {
            name: pa.array(values, CANDIDATES.field(name).type).take(index)
            for name, values in zip(_TOLD_BY_PAGE, zip(*map(_columns, self._pages), strict=True), strict=True)
        }
        every_offset = np.arange(rows + 1, dtype=np.int32) * np.int32(32)
        columns = {
            **told,
            "uid": _strings(every_offset, self._uid[:rows]),
            "url": _strings(self._url_ends[: rows + 1], self._url[: self._state[URL_BYTES]]),
            "text": _strings(self._text_ends[: rows + 1], self._text[: self._state[TEXT_BYTES]]),
            "wat_path": pa.repeat(self._wat_path, rows),
            "source": pa.array(SOURCES).take(pa.array(self._source[:rows])),
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in CANDIDATES.names], schema=CANDIDATES)

    def _grow_table(self) -> None:
        slots = 2 * len(self._refused)
        uids, refused = np.zeros((slots, 2), np.uint64), np.full(slots, EMPTY, np.int64)
        rehash(self._uids, self._refused, uids, refused)
        self._uids, self._refused = uids, refused

    def _grow_buffers(self) -> None:
        """For a pair that is larger than an empty group."""
        self._pair = np.empty(2 * len(self._pair) + PAD_BYTES, np.uint8)
        self._url, self._text = (np.empty(max(_GROUP_BYTES, len(self._pair)), np.uint8) for _ in range(2))


def _columns(page: PageFacts) -> tuple[Any, ...]:
    return (page.url, page.crawl, page.record_offset, page.fetched_at_us, *page.rights)


def _strings(offsets: Any, data: Any) -> pa.StringArray:
    """Copies: the buffers are filled again."""
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes()))
