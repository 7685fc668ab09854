"""A column of texts made ready for rules: in pieces of bounded bytes, case and white space folded, hashed."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PIECE_BYTES = 4 << 20  # what a rule makes of a piece (words, matches) is some tens of times as large
# White space of every script but the plain space, and the marks that nobody sees: byte order, direction, zero width.
_ODD = (
    r"\t-\r\x{1c}-\x{1f}\x{85}\x{a0}\x{1680}\x{2000}-\x{200b}\x{200e}\x{200f}\x{2028}-\x{202f}\x{205f}"
    r"\x{2060}\x{2066}-\x{2069}\x{3000}\x{feff}"
)
_BLANK = rf"[ {_ODD}]{{2,}}|[{_ODD}]"  # a single plain space, which is most of them, is not touched


def pieces(texts: pa.Array, most_bytes: int = PIECE_BYTES) -> Iterator[pa.LargeStringArray]:
    """The texts in order, nulls as "", in slices of at most that many bytes; a longer text is a slice of its own.

    What is no UTF-8 in a text, which parquet files may hold, becomes U+FFFD.
    """
    whole = pc.fill_null(_mended(texts.cast(pa.large_string())), "")
    ends = np.cumsum(pc.binary_length(whole).to_numpy(zero_copy_only=False), dtype=np.int64)
    start = 0
    while start < len(whole):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most_bytes, side="right")))
        yield whole.slice(start, stop - start)
        start = stop


def _mended(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    try:
        texts.validate(full=True)
        return texts
    except pa.ArrowInvalid:
        plain = texts.cast(pa.large_binary()).to_pylist()
        return pa.array([value if value is None else value.decode(errors="replace") for value in plain], pa.large_string())


def folded(texts: pa.Array) -> pa.LargeStringArray:
    """Lower case (each character by Unicode's simple mapping), blanks at the ends removed, every run of them elsewhere one space.

    Blank is all white space of Unicode and its marks of direction and zero width, but not the zero-width joiners, which spell.
    """
    lower = pc.utf8_lower(texts.cast(pa.large_string()))
    return pc.utf8_trim(pc.replace_substring_regex(lower, _BLANK, " "), " ")


def hashes(texts: pa.Array) -> np.ndarray:
    """(n,) uint64, one per row, 0 for null: the same on every machine. Equal texts are hashed once."""
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary.cast(pa.large_binary()).to_pylist()
    table = np.array([0, *(_hash(value) for value in distinct)], np.uint64)
    return np.asarray(table[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False) + 1])


def _hash(value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little") or 1
