"""repetition: drops texts that say the same again and again: "shoes shoes shoes buy shoes"."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.registry import Context, Entry, parameter
from filters.texts.folded_text import folded, pieces
from filters.uids.uid_hash import mixed
from schemas.errors import UsageError

_HAN = r"(\p{Han})"  # written without spaces, and a character is about a word
_NO_WORD = r"[^\p{L}\p{M}\p{N}]{2,}|[^\p{L}\p{M}\p{N} ]"
_RUN = 3  # words


@dataclass(frozen=True)
class Repetition:
    """Keeps texts of few repeated words and few repeated runs of three words. Drops null.

    A word is a run of letters, marks and digits, or one Han character; case does not count. A word, or a run, is repeated where
    the same stood earlier in the text. Up to `long_words` words, at most the share `most_words` may be repeated; of runs at most
    the share `most_runs`, however long the text is. The longer a text, the more words return (Heaps's law), so that long ones are
    judged by their runs only. Of texts below 4 words, only three times the same word exceeds a share of a half.
    """

    most_words: float
    most_runs: float
    long_words: int
    name: ClassVar[str] = "repetition"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where little is repeated."""
        kept = [np.empty(0, bool), *(self._keep(piece) for piece in pieces(batch["text"]))]
        return pa.array(np.concatenate(kept) & np.asarray(batch["text"].is_valid()))

    def _keep(self, texts: pa.LargeStringArray) -> np.ndarray:
        rows, words = _words(texts)
        count, again = _repeated(rows, words, len(texts))
        runs, runs_again = _repeated(*_runs(rows, words), len(texts))
        few_words = (again <= self.most_words * count) | (count > self.long_words)
        return np.asarray(few_words & (runs_again <= self.most_runs * runs))


def _words(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """Of each word, in order, its row, (m,) int64, and its number, (m,) uint64, the same for equal words."""
    spaced = pc.replace_substring_regex(pc.replace_substring_regex(folded(texts), _HAN, r" \1 "), _NO_WORD, " ")
    split = pc.split_pattern(pc.utf8_trim(spaced, " "), " ")
    words = pc.list_flatten(split)
    there = pc.not_equal(words, "")  # a text without words is split into one empty word
    rows = pc.list_parent_indices(split).filter(there).to_numpy()
    return rows.astype(np.int64), words.filter(there).dictionary_encode().indices.to_numpy().astype(np.uint64)


def _runs(rows: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of each run of three words of one row; equal runs have equal hashes of 64 bits."""
    starts = max(0, len(words) - _RUN + 1)
    hashes = np.zeros(starts, np.uint64)
    for place in range(_RUN):
        hashes = mixed(hashes ^ words[place : place + starts])
    within = rows[:starts] == rows[_RUN - 1 :][:starts]
    return rows[:starts][within], hashes[within]


def _repeated(rows: np.ndarray, values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """How many values each of the n rows has, and how many of them stood earlier in the row: (n,) int64 both."""
    order = np.lexsort((values, rows))
    rows, values = rows[order], values[order]
    again = (rows[1:] == rows[:-1]) & (values[1:] == values[:-1])
    return np.bincount(rows, minlength=n), np.bincount(rows[1:][again], minlength=n)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What repetition is told."""

    most_words: float = parameter("the largest share of a text's words that stood in it before", 0.5)
    most_runs: float = parameter("the largest share of its runs of three words that stood in it before", 0.3)
    long_words: int = parameter("a text of more words is judged by its runs only", 50)


def _build(asked: Parameters, _: Context) -> Repetition:
    for key, share in (("most_words", asked.most_words), ("most_runs", asked.most_runs)):
        if not 0 <= share <= 1:
            raise UsageError(f"repetition: {key} = {share}: must be from 0 to 1")
    return Repetition(asked.most_words, asked.most_runs, asked.long_words)


ENTRY = Entry(
    name="repetition",
    summary="texts that do not repeat themselves",
    source="Rae et al. 2021, Gopher (repetition removal), with bounds for texts as short as these",
    parameters=Parameters,
    build=_build,
)
