"""Columns of hexadecimal digits → numbers; what are no such digits is no hash of that row."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.subsets import uid_rows

_UID_DIGITS = 32


def hash_words(column: pa.Array, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool, which rows have that many digits, and of those (m, digits / 16) uint64, most significant first.

    A null, an empty or a damaged hash costs its row only. Raises TypeError for a column that is no text.
    """
    if pa.types.is_null(column.type):
        return np.zeros(len(column), bool), np.empty((0, max(1, digits // 16)), np.uint64)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise TypeError(f"a column of hashes is {column.type}; it should be text of {digits} hex digits")
    fits = pc.fill_null(pc.match_substring_regex(column, f"^[0-9A-Fa-f]{{{digits}}}$"), False)
    hashes = column.filter(fits).cast(pa.string())
    if digits < _UID_DIGITS:
        halves = uid_rows(pc.binary_join_element_wise("0" * (_UID_DIGITS - digits), hashes, ""))
        words = [halves["f1"]]
    else:
        pieces = [uid_rows(pc.utf8_slice_codeunits(hashes, at, at + _UID_DIGITS)) for at in range(0, digits, _UID_DIGITS)]
        words = [piece[half] for piece in pieces for half in ("f0", "f1")]
    return fits.to_numpy(zero_copy_only=False), np.stack(words, axis=1)


__all__ = ["hash_words"]
