"""Filters that look at the alt text."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.registry import Context, Entry, parameter
from filters.texts.text_bytes import plain_texts, present, text_bytes

_READS = ("text",)


@dataclass(frozen=True)
class MinWords:
    """Keeps texts of at least `words` words, as Python's str.split() counts them. Drops null."""

    words: int
    name: ClassVar[str] = "min_words"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the text has enough words."""
        from filters.compiled.words import has_words

        texts = plain_texts(batch["text"])
        has = np.empty(len(texts), bool)
        has_words(*text_bytes(texts), self.words, has)
        return pa.array(has & present(texts))


@dataclass(frozen=True)
class MinCharacters:
    """Keeps texts of at least `characters` code points. Drops null."""

    characters: int
    name: ClassVar[str] = "min_characters"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the text is long enough."""
        return pc.fill_null(pc.greater_equal(pc.utf8_length(batch["text"].cast(pa.large_string())), self.characters), False)


@dataclass(frozen=True, kw_only=True)
class WordParameters:
    """What min_words is told."""

    words: int = parameter("the least number of words, as Python's str.split() counts them", 3)


@dataclass(frozen=True, kw_only=True)
class CharacterParameters:
    """What min_characters is told."""

    characters: int = parameter("the least number of code points", 6)


def _build_words(asked: WordParameters, _: Context) -> MinWords:
    return MinWords(asked.words)


def _build_characters(asked: CharacterParameters, _: Context) -> MinCharacters:
    return MinCharacters(asked.characters)


ENTRIES = (
    Entry(
        name="min_words",
        summary="texts of enough words",
        source="Gadre et al. 2023, DataComp (part of its basic filtering)",
        parameters=WordParameters,
        build=_build_words,
    ),
    Entry(
        name="min_characters",
        summary="texts of enough characters",
        source="Gadre et al. 2023, DataComp (part of its basic filtering)",
        parameters=CharacterParameters,
        build=_build_characters,
    ),
)
