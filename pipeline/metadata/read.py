"""The rows of metadata files in batches: columns of the parquet, of the parquets beside it, and embeddings of the .npz."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filters.embeddings import as_column
from pipeline import io
from pipeline.metadata.arrays import RowsOfArray, array_names, open_arrays
from pipeline.metadata.files import MetadataFile, columns_at_hand, schema_of
from schemas.errors import UserError
from schemas.scores import clip_name, is_clip_column

BATCH_ROWS = 65_536
_ARRAYS = ("_img", "_txt")  # how the names of embeddings end
_ROWS_WITH_ARRAYS = 16_384  # 25 MB for each array of 768 half floats; wider ones are read fewer rows at a time
_MOST_BYTES = 1 << 28  # of all arrays of a batch

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
            if beside and "uid" not in own:
                raise UserError(f"{file.path}: no column uid, by which the files beside it are matched")
            elsewhere = {*own, *(name for table in beside for name in table.column_names)}
            arrays = _arrays(file, [name for name in columns if name not in elsewhere])
            read = [name for name in own if name in columns or (beside and name == "uid")]
            with open_arrays(file.arrays, tuple(arrays)) as opened:
                most = rows or _rows_at_once(opened)
                batches = parquet.iter_batches(batch_size=most, columns=read, use_threads=False)  # workers are the parallelism
                for found in _with_arrays(_with_beside(file, map(_by_name, batches), beside), opened):
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
    failures: dict[str, str] = field(default_factory=dict)  # path → what was wrong with it

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Their batches, these columns, from the start each time."""
        for file in self.files:
            self.at = file.path
            try:
                yield from read_batches(file, columns)
            except UserError as error:
                self.failures.setdefault(file.path, str(error))

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """What a batch does not allow, such as a uid that is none, becomes a UserError that names the file.

        What a filter says of a pool without rows becomes why it has none, where no file can be read.
        """
        try:
            yield
        except UserError as error:
            if not self.failures or len(self.failures) < len(self.files):
                raise
            path, told = next(iter(self.failures.items()))
            told = told.removeprefix(f"{path}: ")
            raise UserError(f"{path}: {told}; no file of the metadata can be used ({len(self.files)} tried)") from error
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


def _rows_at_once(arrays: Sequence[RowsOfArray]) -> int:
    if not arrays:
        return BATCH_ROWS
    return max(1, min(_ROWS_WITH_ARRAYS, _MOST_BYTES // sum(array.row_bytes for array in arrays)))


def _by_name(batch: pa.RecordBatch) -> _Found:
    return batch.num_rows, dict(zip(batch.schema.names, map(_decoded, batch.columns), strict=True))


def _decoded(column: pa.Array) -> pa.Array:
    """The values themselves, where a writer (pandas, polars) left word to hand out codes or views of them."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    return column


def _with_beside(file: MetadataFile, batches: Iterator[_Found], tables: Sequence[pa.Table]) -> Iterator[_Found]:
    at = 0
    for rows, found in batches:
        for table in tables:
            part = table.slice(at, rows)
            if not _same(_one_chunk(part["uid"]), found["uid"]):
                raise UserError(f"{file.path}: its rows from {at} on are not those of a file beside it; make its columns anew")
            found.update({name: _decoded(_one_chunk(part[name])) for name in part.column_names if name != "uid"})
        at += rows
        yield rows, found
    for table in tables:
        if len(table) != at:
            raise UserError(f"{file.path}: has {at} rows, a file beside it {len(table)}; make its columns anew")


def _same(uids: pa.Array, others: pa.Array) -> bool:
    """Whether they are the same texts: each file may have its own of the types for texts."""
    return bool(uids.cast(pa.large_string()).equals(others.cast(pa.large_string())))


def _with_arrays(batches: Iterator[_Found], arrays: Sequence[RowsOfArray]) -> Iterator[_Found]:
    for rows, found in batches:
        found.update({array.name: as_column(array.take(rows)) for array in arrays})
        yield rows, found
    for array in arrays:
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
        names = schema_of(path).names
        if here := [name for name in names if name in left and name != "uid"]:
            if "uid" not in names:
                raise UserError(f"{path}: no column uid, which says whose rows these are; make its columns anew")
            tables.append(_table(path, ["uid", *here]))
            left = [name for name in left if name not in here]
    return tables


def _table(path: str, columns: Sequence[str]) -> pa.Table:
    try:
        with io.open_read(path) as source:
            return pq.read_table(source, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged parquet file ({error}); download or make it again") from error


def _arrays(file: MetadataFile, wanted: Sequence[str]) -> list[str]:
    if not wanted:
        return []
    known = array_names(file.arrays)
    if missing := [name for name in wanted if name not in known]:
        none = missing[0].endswith(_ARRAYS) and not io.exists(file.arrays)
        there = f", and there is no {file.stem}.npz beside it" if none else ""
        raise UserError(f"{file.path}: no column {', '.join(missing)}{there}")
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
