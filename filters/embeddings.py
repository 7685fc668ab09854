"""Embeddings as columns of a batch: the arrays of the .npz that stand beside a metadata file."""

import numpy as np
import pyarrow as pa

from schemas.errors import UserError


def as_column(rows: np.ndarray) -> pa.FixedSizeListArray:
    """A column of (n, d) floats; no copy of a contiguous array."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(rows).reshape(-1)), rows.shape[1])


def embedding(batch: pa.RecordBatch, column: str) -> np.ndarray:
    """The (n, d) floats of a column, in the precision in which they stand; NaN for null. Raises UserError where it is none."""
    values = batch.column(column)
    if not pa.types.is_fixed_size_list(values.type) or not pa.types.is_floating(values.type.value_type):
        raise UserError(f"column {column}: {values.type}, not an array of embeddings of the .npz")
    width = values.type.list_size
    if not values.null_count:
        flat: np.ndarray = values.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(-1, width)
    found = np.full((len(values), width), np.nan, values.type.value_type.to_pandas_dtype())
    found[np.asarray(values.is_valid())] = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return found


def unit(rows: np.ndarray) -> np.ndarray:
    """(n, d) float32 rows of length 1; those without a direction (zero, NaN, too large) become NaN, without a warning."""
    wide = rows.astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        return np.asarray(wide / np.where(np.isfinite(lengths), lengths, np.nan))
