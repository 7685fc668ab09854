"""Filters that look at the alt text."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

_READS = ("text",)


@dataclass(frozen=True)
class MinWords:
    """Keeps texts of at least `words` words, as Python's str.split() counts them. Drops null."""

    words: int
    name: ClassVar[str] = "min_words"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the text has enough words."""
        return pa.array([text is not None and len(text.split()) >= self.words for text in batch["text"].to_pylist()], pa.bool_())


@dataclass(frozen=True)
class MinCharacters:
    """Keeps texts of at least `characters` code points. Drops null."""

    characters: int
    name: ClassVar[str] = "min_characters"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the text is long enough."""
        return pa.array([text is not None and len(text) >= self.characters for text in batch["text"].to_pylist()], pa.bool_())
