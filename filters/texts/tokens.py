"""Texts of enough tokens, as fastText cuts them: at ASCII white space and null; a line's end is a token of its own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

_SEPARATORS = np.zeros(256, bool)
_SEPARATORS[list(b" \n\r\t\v\f\0")] = True
_LINE_END = ord("\n")


@dataclass(frozen=True)
class MinTokens:
    """Keeps texts of at least `tokens` tokens, as fastText's Dictionary::readWord has them. Drops null."""

    tokens: int
    name: ClassVar[str] = "min_tokens"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the text has enough tokens."""
        texts = batch["text"]
        return pa.array((token_counts(texts) >= self.tokens) & np.asarray(texts.is_valid()))


def token_counts(texts: pa.Array) -> np.ndarray:
    """(n,) int64: how many tokens each text has: runs of other bytes than separators, and line ends."""
    wide = texts.cast(pa.large_string())
    _, places, data = wide.buffers()
    bounds = np.frombuffer(places, np.int64)[wide.offset : wide.offset + len(wide) + 1] if len(wide) else np.zeros(1, np.int64)
    first, last = int(bounds[0]), int(bounds[-1])
    written = np.frombuffer(data, np.uint8)[first:last] if last > first else np.empty(0, np.uint8)
    separates = _SEPARATORS[written]
    begins = ~separates
    begins[1:] &= separates[:-1]
    starts = bounds[:-1][bounds[1:] > bounds[:-1]] - first
    begins[starts] = ~separates[starts]  # a text begins anew, whatever stands before it
    before = np.zeros(len(written) + 1, np.int64)
    np.cumsum(begins | (written == _LINE_END), out=before[1:])
    counts: np.ndarray = before[bounds[1:] - first] - before[bounds[:-1] - first]
    return counts
