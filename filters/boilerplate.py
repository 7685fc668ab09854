"""boilerplate: drops texts that stand on many pages: "image", "logo", "share on Twitter" say nothing of their pictures."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from filters.contract import Filter, Pool
from filters.needed import require_columns
from filters.registry import Context, Entry, parameter
from filters.texts.folded_text import folded, hashes, pieces
from schemas.errors import UsageError

_CHUNK_PAIRS = 1 << 22  # rows gathered between two countings: 64 MB
_PLACES = ("page_url", "url")  # what a text may stand on, or beside; the first that the metadata has is counted


@dataclass(frozen=True)
class NotBoilerplate:
    """Keeps texts whose hash, of the text with case and white space folded, is none of `common`. Drops null and blank texts."""

    most: int
    per: str
    common: np.ndarray = field(compare=False)  # (k,) uint64, sorted
    name: ClassVar[str] = "boilerplate"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the text is not boilerplate."""
        found = _text_hashes(batch)
        return pa.array((found != 0) & ~np.isin(found, self.common))


@dataclass(frozen=True)
class Boilerplate:
    """Drops texts that stand beside more than `most` different values of the column `per`; case and white space do not count.

    A row whose value is null is not counted. Counting is exact but for collisions of 64-bit hashes (any two of a hundred million
    texts collide with a probability of 0.03 %).
    """

    most: int
    per: str
    name: ClassVar[str] = "boilerplate"

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text", self.per)

    def resolve(self, pool: Pool) -> Filter:
        """The common texts, in one pass. Memory: 16 bytes per distinct pair of text and page, four times that while sorted."""
        pairs = distinct_pairs(_pairs(batch, self.per) for batch in pool(self.reads))
        texts, places = np.unique(pairs["text"], return_counts=True)
        return NotBoilerplate(self.most, self.per, texts[places > self.most])


_PAIR = np.dtype([("text", np.uint64), ("place", np.uint64)])


def distinct_pairs(parts: Iterable[np.ndarray], chunk: int = _CHUNK_PAIRS) -> np.ndarray:
    """The distinct pairs of all parts, sorted. They are merged whenever enough are new: n log n in all."""
    held, known, new = [np.empty(0, _PAIR)], 0, 0
    for part in parts:
        held.append(part)
        new += len(part)
        if new >= max(chunk, known // 2):
            held = [_distinct(held)]
            known, new = len(held[0]), 0
    return _distinct(held)


def _distinct(parts: list[np.ndarray]) -> np.ndarray:
    """A sort by two keys: np.unique compares structured rows field by field, many times slower. Empties `parts`."""
    pairs = np.concatenate(parts)
    parts.clear()
    pairs = pairs[np.lexsort((pairs["place"], pairs["text"]))]
    first = np.ones(len(pairs), bool)
    first[1:] = (pairs["text"][1:] != pairs["text"][:-1]) | (pairs["place"][1:] != pairs["place"][:-1])
    return np.asarray(pairs[first])


def _pairs(batch: pa.RecordBatch, per: str) -> np.ndarray:
    """A row that has no text, or stands at no known place, is not counted."""
    found = np.empty(batch.num_rows, _PAIR)
    found["text"], found["place"] = _text_hashes(batch), hashes(batch[per])
    return np.asarray(found[(found["text"] != 0) & (found["place"] != 0)])


def _text_hashes(batch: pa.RecordBatch) -> np.ndarray:
    """(n,) uint64; 0 for a null or blank text."""
    parts = [np.empty(0, np.uint64)]
    for piece in pieces(batch["text"]):
        plain = folded(piece)
        parts.append(np.where(_is_blank(plain), np.uint64(0), hashes(plain)))
    return np.concatenate(parts)


def _is_blank(texts: pa.LargeStringArray) -> np.ndarray:
    return np.asarray(texts.to_numpy(zero_copy_only=False) == "", bool)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What boilerplate is told."""

    most: int = parameter("on how many different pages a text may stand", 10)
    per: Literal["page_url", "url"] | None = parameter(
        "the column whose different values are counted: page_url (pages) or url (images); without it the first of them that "
        "the metadata has",
        None,
    )


def _build(asked: Parameters, context: Context) -> Boilerplate:
    if asked.most < 1:
        raise UsageError(f"boilerplate: most = {asked.most}: must be at least 1")
    per: str = asked.per or next((name for name in _PLACES if name in context.columns), _PLACES[-1])
    require_columns("boilerplate", (per,), context, "give one that it has with --param per=NAME")
    return Boilerplate(asked.most, per)


ENTRY = Entry(
    name="boilerplate",
    summary="texts that do not stand on many pages (or beside many images)",
    source="Jia et al. 2021, ALIGN (texts shared by more than 10 images); Elazar et al. 2023, What's in my big data?",
    parameters=Parameters,
    build=_build,
)
