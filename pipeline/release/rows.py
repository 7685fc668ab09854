"""One file of a data root → its rows in the released columns: joined with what stands beside it and the shard's sidecar.

Arrays travel as columns of bytes, ARRAY + name, float16, so that they stay with their row on whatever way it takes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filters.embeddings import embedding
from pipeline import io
from pipeline.addresses import domain_of, host_of
from pipeline.metadata.read import read_batches
from pipeline.release.provenance import portable
from pipeline.release.source import Source, SourceFile
from schemas.errors import UserError
from schemas.releases import SORT_ORDER

ARRAY = "array:"  # what the column of an array's rows begins with; no metadata has such names
_HALF_BYTES = 2
_SUCCESS = "success"
_WAT = "wat_path"


def travelling(source: Source) -> pa.Schema:
    """The columns of rows on their way: the released ones, then one of bytes per array."""
    return pa.schema([*source.schema, *(pa.field(ARRAY + name, pa.binary()) for name in source.arrays)])


def read_rows(each: SourceFile, source: Source, repeats: np.ndarray) -> Iterator[pa.Table]:
    """The rows of one file that may be published, in `travelling` columns, but those at the places `repeats`, sorted int64.

    Raises UserError naming the file where it is damaged or does not fit what stands beside it.
    """
    sidecar = _sidecar(each) if each.carried else None
    matched = "key" if sidecar is not None and "key" in sidecar.column_names else "uid"
    read = list(dict.fromkeys([*each.columns, *([matched] if sidecar is not None else []), *source.arrays]))
    at = 0
    for batch in read_batches(each.file, read):
        keep, _ = _publishable(batch)
        keep[repeats[np.searchsorted(repeats, at) : np.searchsorted(repeats, at + batch.num_rows)] - at] = False
        yield _columns(batch.filter(pa.array(keep)), each, source, sidecar, matched)
        at += batch.num_rows


def read_keys(each: SourceFile) -> Iterator[tuple[pa.Table, np.ndarray, Counter[str]]]:
    """SORT_ORDER's columns of the rows that may be published, their places in the file (n,) int64, and counts of the others."""
    named = [*SORT_ORDER, "text"] if "domain" in each.columns else ["url", "uid", "text"]
    at = 0
    for batch in read_batches(each.file, named):
        keep, counts = _publishable(batch)
        places = np.flatnonzero(keep) + at
        kept = batch.filter(pa.array(keep))
        _require_texts(kept, each)
        url = kept["url"].cast(pa.string())
        known = kept["domain"] if "domain" in named else pa.nulls(len(url), pa.string())
        columns = {"domain": _domains(known, url), "url": url, "uid": kept["uid"].cast(pa.string())}
        yield pa.table(columns), places, counts
        at += batch.num_rows


def _require_texts(batch: pa.RecordBatch, each: SourceFile) -> None:
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise UserError(f"{each.file.path}: damaged ({error}); download or make it again") from error


def _publishable(batch: pa.RecordBatch) -> tuple[np.ndarray, Counter[str]]:
    """(n,) bool, and how many rows are none, by reason: a uid that is none, no URL, no text."""
    tests = {
        "dropped_invalid_uid": pc.match_substring_regex(batch["uid"], "^[0-9a-f]{32}$"),
        "dropped_null_url": pc.is_valid(batch["url"]),
        "dropped_null_text": pc.is_valid(batch["text"]),
    }
    keep, counts = np.ones(batch.num_rows, bool), Counter(rows_in=batch.num_rows)
    for reason, test in tests.items():
        passed = pc.fill_null(test, False).to_numpy(zero_copy_only=False)
        counts[reason] += int((keep & ~passed).sum())
        keep &= passed
    return keep, counts


def _columns(batch: pa.RecordBatch, each: SourceFile, source: Source, sidecar: pa.Table | None, matched: str) -> pa.Table:
    beside = None if sidecar is None else _matching(batch, sidecar, matched, each)
    columns: dict[str, pa.Array] = {}
    for field in source.schema:
        if field.name in each.columns:
            columns[field.name] = _cast(batch[field.name], field, each.file.path)
        elif field.name in each.carried and beside is not None:
            columns[field.name] = _cast(beside[field.name], field, each.sidecar)
        else:
            columns[field.name] = pa.nulls(batch.num_rows, field.type)
    if "domain" in columns:
        columns["domain"] = _domains(columns["domain"], columns["url"])
    if _WAT in columns:
        columns[_WAT] = _without_local_paths(columns[_WAT], source.roots)
    for name, dimensions in source.arrays.items():
        columns[ARRAY + name] = _as_bytes(batch, name, dimensions, each)
    return pa.table(columns)


def _domains(known: pa.Array, urls: pa.Array) -> pa.Array:
    """The domain where the data set tells it, else of the URL; the empty text for a URL that is not valid."""
    told = _one_chunk(known)
    if not told.null_count:
        return told.cast(pa.string())
    made = [domain_of(host_of(url) or "") if url is not None else "" for url in _one_chunk(urls).to_pylist()]
    return pc.coalesce(told.cast(pa.string()), pa.array(made, pa.string()))


def _without_local_paths(paths: pa.Array, roots: Sequence[str]) -> pa.Array:
    """The paths of WAT files as they may be published: of a crawl's or a URL nothing changes."""
    coded = _one_chunk(paths).dictionary_encode()
    told = [None if path is None else portable(path, roots) for path in coded.dictionary.to_pylist()]
    return pa.array(told, pa.string()).take(coded.indices)


def _cast(values: pa.Array, field: pa.Field, path: str) -> pa.Array:
    """In the released type; floats may lose digits (float64 → float32), nothing else may lose anything. Texts are UTF-8."""
    narrower = pa.types.is_floating(field.type) or pa.types.is_nested(field.type)
    try:
        values.validate(full=True)  # parquet does not check what a writer calls a text
        return values.cast(field.type, safe=not narrower)
    except pa.ArrowException as error:
        raise UserError(f"{path}: column {field.name} is {values.type}, which is no {field.type} ({error}); mend it") from error


def _as_bytes(batch: pa.RecordBatch, name: str, dimensions: int, each: SourceFile) -> pa.Array:
    rows = embedding(batch, name)
    if rows.shape[1] != dimensions:
        raise UserError(f"{each.file.arrays}: array {name} has {rows.shape[1]} dimensions, that of other files {dimensions}")
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(rows, dtype="<f2")
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(dimensions * _HALF_BYTES), len(data), [None, pa.py_buffer(data)])
    return fixed.cast(pa.binary())


def _sidecar(each: SourceFile) -> pa.Table:
    """What the shard tells of the pairs that were downloaded: the columns that are carried, and by what they are matched."""
    try:
        with io.open_read(each.sidecar) as source:
            parquet = pq.ParquetFile(source)
            names = parquet.schema_arrow.names
            by = "key" if "key" in names and "key" in each.columns else "uid"
            read = [name for name in (by, "status") if name in names]
            table = parquet.read(list(dict.fromkeys([*read, *each.carried])), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{each.sidecar}: damaged parquet file ({error}); download or make it again") from error
    if "status" not in table.column_names:
        return table
    return table.filter(pc.fill_null(pc.equal(table["status"], _SUCCESS), False)).drop_columns("status")


def _matching(batch: pa.RecordBatch, sidecar: pa.Table, by: str, each: SourceFile) -> pa.Table:
    """The sidecar's rows of the batch's, in its order. Raises UserError where one is not there."""
    wanted = batch[by].cast(pa.string())
    places = pc.index_in(wanted, value_set=_one_chunk(sidecar[by]).cast(pa.string()))
    if places.null_count:
        first = wanted.filter(pc.is_null(places))[0].as_py()
        raise UserError(
            f"{each.sidecar}: has no downloaded pair of {by} {first!r}, which {each.file.path} has; were the shards "
            "made anew after `score`? Run it again"
        )
    return sidecar.take(places)


def _one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        combined = column.combine_chunks()
        return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
    return column


def in_order(table: pa.Table, order: Sequence[str] = SORT_ORDER) -> pa.Table:
    """The rows sorted, texts by their bytes, as Spark sorts them, too."""
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in order]))
