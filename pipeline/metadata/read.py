"""The rows of metadata files in batches: columns of the parquet, of the parquets beside it, and embeddings of the .npz."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filters.embeddings import as_column
from pipeline import io
from pipeline.metadata.arrays import array_names, open_arrays
from pipeline.metadata.files import MetadataFile, columns_at_hand, schema_of
from schemas.errors import UserError
from schemas.scores import clip_name, is_clip_column

BATCH_ROWS = 65_536
_ROWS_WITH_ARRAYS = 16_384  # 25 MB for each array of 768 half floats

_Found: TypeAlias = tuple[int, dict[str, pa.Array]]  # a batch's number of rows, and its columns by name


def read_batches(file: MetadataFile, columns: Sequence[str], *, rows: int | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of one file, these columns in this order, in batches of at most `rows`; embeddings as filters.embeddings has them.

    Raises UserError naming the file where it is damaged, lacks a column, or does not belong to what stands beside it.
    """
    try:
        with io.open_read(file.path) as source:
            parquet = pq.ParquetFile(source)
            own = parquet.schema_arrow.names
            beside = _beside(file, [name for name in columns if name not in own])
            elsewhere = {*own, *(name for table in beside for name in table.column_names)}
            arrays = _arrays(file, [name for name in columns if name not in elsewhere])
            most = rows or (_ROWS_WITH_ARRAYS if arrays else BATCH_ROWS)
            read = [name for name in own if name in columns or (beside and name == "uid")]
            batches = parquet.iter_batches(batch_size=most, columns=read, use_threads=False)  # workers are the parallelism
            for found in _with_arrays(file, _with_beside(file, map(_by_name, batches), beside), arrays):
                yield _batch(found, columns)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file.path}: damaged parquet file ({error}); download or make it again") from error


@dataclass
class ReadablePool:
    """The rows of all files that can be read; the others are left to the pass that reports them.

    `at` is the file that was read last: what went wrong with a batch went wrong there.
    """

    files: Sequence[MetadataFile]
    at: str = ""

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Their batches, these columns, from the start each time."""
        for file in self.files:
            self.at = file.path
            try:
                yield from read_batches(file, columns)
            except UserError:
                continue

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """What a batch does not allow, such as a uid that is none, becomes a UserError that names the file."""
        try:
            yield
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise UserError(f"{self.at}: {error}") from error


def require_scored(folder: str, files: Sequence[MetadataFile], columns: Sequence[str]) -> None:
    """Raises UserError where one of these columns is a score that no row has: that model was never run."""
    for column in columns:
        if is_clip_column(column) and _is_empty(files, column):
            known = columns_at_hand(files)
            scored = [clip_name(other) for other in known if is_clip_column(other) and not _is_empty(files, other)]
            raise UserError(
                f"column {column} has no value in {folder}: never computed; scored columns: {', '.join(scored) or 'none'}"
            )


def _by_name(batch: pa.RecordBatch) -> _Found:
    return batch.num_rows, dict(zip(batch.schema.names, batch.columns, strict=True))


def _with_beside(file: MetadataFile, batches: Iterator[_Found], tables: Sequence[pa.Table]) -> Iterator[_Found]:
    at = 0
    for rows, found in batches:
        for table in tables:
            part = table.slice(at, rows)
            if not _one_chunk(part["uid"]).equals(found["uid"]):
                raise UserError(f"{file.path}: its rows from {at} on are not those of a file beside it; make its columns anew")
            found.update({name: _one_chunk(part[name]) for name in part.column_names if name != "uid"})
        at += rows
        yield rows, found
    for table in tables:
        if len(table) != at:
            raise UserError(f"{file.path}: has {at} rows, a file beside it {len(table)}; make its columns anew")


def _with_arrays(file: MetadataFile, batches: Iterator[_Found], names: Sequence[str]) -> Iterator[_Found]:
    with open_arrays(file.arrays, tuple(names)) as opened:
        for rows, found in batches:
            found.update({array.name: as_column(array.take(rows)) for array in opened})
            yield rows, found
        for array in opened:
            array.require_end()


def _batch(found: _Found, columns: Sequence[str]) -> pa.RecordBatch:
    rows, values = found
    if not columns:  # only the number of rows is asked for
        return pa.record_batch({"": pa.nulls(rows)}).select([])
    return pa.record_batch({name: values[name] for name in columns})


def _beside(file: MetadataFile, wanted: Sequence[str]) -> list[pa.Table]:
    """Those of the wanted columns that stand in the files beside, with the uid; the first file that has one gives it."""
    tables, left = [], list(wanted)
    for path in file.beside:
        if here := [name for name in schema_of(path).names if name in left]:
            with io.open_read(path) as source:
                tables.append(pq.read_table(source, columns=["uid", *here]))
            left = [name for name in left if name not in here]
    return tables


def _arrays(file: MetadataFile, wanted: Sequence[str]) -> list[str]:
    if not wanted:
        return []
    known = array_names(file.arrays)
    if missing := [name for name in wanted if name not in known]:
        raise UserError(f"{file.path}: no column {', '.join(missing)}")
    return list(wanted)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return pa.concat_arrays(combined.chunks) if combined.num_chunks else pa.array([], column.type)
    return combined


def _is_empty(files: Sequence[MetadataFile], column: str) -> bool:
    """Whether there are rows and none has a value (NaN is none). Reads up to the first value."""
    rows = 0
    for batch in ReadablePool(files)([column]):
        rows += batch.num_rows
        if batch.num_rows > pc.sum(pc.is_null(batch[column], nan_is_null=True)).as_py():
            return False
    return rows > 0
