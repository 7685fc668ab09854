"""The shards' uids and tokens → uids.npy and tokens.npy, a shard at a time: small beside the images, and wanted whole."""

import hashlib
import io as bytes_io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import header_data_from_array_1_0, write_array_header_2_0

from pipeline import io
from schemas.subsets import uid_rows


def join_rows(folder: Path, shards: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Write both files from shards/NAME.rows; the SHA-256 of each. shards: name and number of rows, in order, not all empty."""
    filled = [(str(folder / "shards" / f"{name}.rows"), rows) for name, rows in shards if rows]
    return {
        "tokens.npy": _join(folder / "tokens.npy", filled, "tokens", _token_rows),
        "uids.npy": _join(folder / "uids.npy", filled, "uid", uid_rows),
    }


def _join(target: Path, shards: Sequence[tuple[str, int]], column: str, array_of: Callable[[pa.Array], np.ndarray]) -> str:
    count, written = sum(rows for _, rows in shards), hashlib.sha256()
    with io.atomic_write(str(target)) as file:
        for path, _ in shards:
            piece = array_of(pq.read_table(path, columns=[column])[column].combine_chunks())
            content = piece.tobytes() if file.tell() else _header(piece, count) + piece.tobytes()
            file.write(content)
            written.update(content)
    return written.hexdigest()


def _token_rows(column: pa.Array) -> np.ndarray:
    rows: np.ndarray = column.flatten().to_numpy().reshape(len(column), -1)  # (n, L) int32
    return rows


def _header(piece: np.ndarray, count: int) -> bytes:
    """What a .npy file of `count` rows like the piece's begins with."""
    out = bytes_io.BytesIO()
    write_array_header_2_0(out, {**header_data_from_array_1_0(piece), "shape": (count, *piece.shape[1:])})
    return out.getvalue()
