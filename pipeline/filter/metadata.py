"""Metadata files: which there are, what columns they have, and their rows in batches."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from schemas.errors import UserError
from schemas.scores import clip_name, is_clip_column

BATCH_ROWS = 65_536


def metadata_files(folder: str) -> list[str]:
    """The parquet files of a metadata folder, sorted. Raises UserError where there are none."""
    files = io.list_files(folder, ".parquet")
    if not files:
        raise UserError(f"{folder}: no parquet files in it; give the folder that `score` wrote or DataComp's metadata folder")
    return files


def columns_at_hand(files: Sequence[str]) -> tuple[str, ...]:
    """The columns of the first file that can be read. Raises UserError where none can."""
    problem = ""
    for path in files:
        try:
            with io.open_read(path) as file:
                return tuple(pq.read_schema(file).names)
        except (pa.ArrowException, OSError) as error:
            problem = problem or f"{path}: not a readable parquet file ({error})"
    raise UserError(problem)


def read_batches(path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of one file, these columns only. Raises UserError naming the file where it is damaged or lacks one."""
    try:
        with io.open_read(path) as source:
            file = pq.ParquetFile(source)
            missing = [column for column in columns if column not in file.schema_arrow.names]
            if missing:
                raise UserError(f"{path}: no column {', '.join(missing)}")
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged parquet file ({error})") from error


def read_readable(files: Sequence[str], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of all files that can be read; the others are left to the pass that reports them."""
    for path in files:
        try:
            yield from read_batches(path, columns)
        except UserError:
            continue


def require_scored(folder: str, files: Sequence[str], columns: Sequence[str]) -> None:
    """Raises UserError where one of these columns is a score that no row has: that model was never run."""
    for column in columns:
        if is_clip_column(column) and _is_empty(files, column):
            known = columns_at_hand(files)
            scored = [clip_name(other) for other in known if is_clip_column(other) and not _is_empty(files, other)]
            raise UserError(
                f"column {column} has no value in {folder}: never computed; scored columns: {', '.join(scored) or 'none'}"
            )


def _is_empty(files: Sequence[str], column: str) -> bool:
    """Whether there are rows and none has a value (NaN is none). Reads up to the first value."""
    rows = 0
    for batch in read_readable(files, [column]):
        rows += batch.num_rows
        if batch.num_rows > pc.sum(pc.is_null(batch[column], nan_is_null=True)).as_py():
            return False
    return rows > 0
