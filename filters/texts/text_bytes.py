"""A column of texts → the arrays that compiled code reads: its bytes, and where each text begins and ends. No text is copied."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def plain_texts(column: pa.Array) -> pa.Array:
    """The column as string or large_string: dictionaries and views are written out. Raises TypeError for what is no text."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column
    if pa.types.is_dictionary(kind):
        return plain_texts(column.dictionary_decode())
    if pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return column.cast(pa.large_string())
    raise TypeError(f"a column of type {kind}; texts are strings")


def text_bytes(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Of n texts as `plain_texts` gives them: (bytes,) uint8, and (n + 1,) int64: text i is bytes[places[i]:places[i + 1]].

    What a null has there means nothing. Both arrays are read-only: one kind of array, for which code is compiled once.
    """
    if not len(column):
        return _sealed(np.zeros(0, np.uint8)), _sealed(np.zeros(1, np.int64))
    _, offsets, data = column.buffers()
    size = np.int64 if pa.types.is_large_string(column.type) else np.int32
    places = np.frombuffer(offsets, size, len(column) + 1, column.offset * size().itemsize).astype(np.int64)
    known = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    return _sealed(known), _sealed(places)


def present(column: pa.Array) -> np.ndarray:
    """(n,) bool: where the column has no null."""
    found: np.ndarray = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return found


def _sealed(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
