"""Which rows of the pool are in which shard, and reading them.

Shard i holds the rows i*K to (i+1)*K of the pool's files, taken in the order of their names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.stage import Part
from schemas.errors import UsageError, UserError
from schemas.shards import ACCOUNT, CARRIED, IMG2DATASET

_NEEDED = ("uid", "url", "text")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """`rows` consecutive rows of a parquet file, from row `start` on."""

    path: str
    start: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class ShardPart(Part):
    """One shard: its number, its rows, the pool's columns that its sidecar carries on, and those that only tell what to do."""

    index: int
    slices: tuple[Slice, ...]
    carried: tuple[pa.Field, ...]
    asked: tuple[str, ...] = ()


def plan(
    folder: str, rows_per_shard: int, *, carry: Sequence[str] = (), hashes: str | None = None, boxes: str | None = None
) -> list[ShardPart]:
    """The shards of a folder of parquet; `carry`, `hashes` and `boxes` name columns besides those that a pool has.

    Raises UserError naming a file that cannot be read, lacks uid, url, text or a named column, or has hashes that are no text or
    boxes that are no lists of lists of numbers; UsageError for a column that download itself writes.
    """
    asked = [name for name in (hashes, boxes) if name]
    own = {field.name for field in (*IMG2DATASET, *ACCOUNT)}.intersection(carry)
    if own:
        raise UsageError(f"--carry {min(own)}: download writes a column of this name itself")
    paths = io.list_files(folder, ".parquet")
    if not paths:
        raise UserError(f"{folder}: no parquet files: an empty pool, or no pool; give the folder that `webpairs pool` wrote")
    rows: dict[str, int] = {}
    carried = {field.name: field for field in CARRIED}
    for path in paths:
        rows[path], schema = _count_rows(path, (*_NEEDED, *carry, *asked))
        _require_kinds(path, schema, hashes, boxes)
        carried = {name: field for name, field in carried.items() if name in schema.names}
        for name in carry:
            carried.setdefault(name, schema.field(name).with_nullable(True).remove_metadata())
    return [
        ShardPart(
            name=f"{index:05d}",
            inputs=tuple(s.path for s in slices),
            index=index,
            slices=tuple(slices),
            carried=tuple(carried.values()),
            asked=tuple(asked),
        )
        for index, slices in enumerate(_cut(rows, rows_per_shard))
    ]


def read_rows(part: ShardPart) -> pa.Table:
    """The shard's rows: the carried columns in their types, caption and url (never null; "" for null), the asked columns."""
    names = list(dict.fromkeys([*(field.name for field in part.carried), "text", "url", *part.asked]))
    table = pa.concat_tables([_read_slice(piece, names) for piece in part.slices], promote_options="permissive")
    fields = [*part.carried, pa.field("caption", pa.string()), pa.field("url", pa.string())]
    sources = {"caption": "text"}
    columns = [table[sources.get(field.name, field.name)].cast(field.type) for field in fields]
    columns[-1] = columns[-1].fill_null("")
    found = pa.table(columns, schema=pa.schema(fields))
    for name in part.asked:
        found = found if name in found.column_names else found.append_column(name, table[name])
    return found


def _count_rows(path: str, needed: Sequence[str]) -> tuple[int, pa.Schema]:
    with io.open_read(path) as file:
        try:
            metadata = pq.read_metadata(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: not readable as parquet ({error}); remove it or make it again") from error
    schema = metadata.schema.to_arrow_schema()
    missing = [name for name in needed if name not in schema.names]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; a pool has uid, url and text")
    return metadata.num_rows, schema


def _require_kinds(path: str, schema: pa.Schema, hashes: str | None, boxes: str | None) -> None:
    if hashes and not (pa.types.is_string(kind := schema.field(hashes).type) or pa.types.is_large_string(kind)):
        raise UserError(f"{path}: --verify-hash {hashes}: the column has type {kind}; hashes are hex digits as text")
    if boxes:
        kind = inner = schema.field(boxes).type
        for _ in range(2):
            inner = inner.value_type if _is_list(inner) else None
        if inner is None or not (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
            raise UserError(f"{path}: --blur-boxes {boxes}: the column has type {kind}; boxes are lists of lists of numbers")


def _is_list(kind: pa.DataType | None) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return kind is not None and any(is_kind(kind) for is_kind in kinds)


def _cut(rows: dict[str, int], size: int) -> Iterator[list[Slice]]:
    """Slices of `size` rows in all; the last may hold fewer."""
    shard: list[Slice] = []
    room = size
    for path, count in rows.items():
        start = 0
        while start < count:
            taken = min(room, count - start)
            shard.append(Slice(path=path, start=start, rows=taken))
            start, room = start + taken, room - taken
            if room == 0:
                yield shard
                shard, room = [], size
    if shard:
        yield shard


def _read_slice(piece: Slice, names: list[str]) -> pa.Table:
    """Only the row groups that hold the slice are read."""
    with io.open_read(piece.path) as file:
        parquet = pq.ParquetFile(file)
        groups, before, seen = [], 0, 0
        for group in range(parquet.num_row_groups):
            count = parquet.metadata.row_group(group).num_rows
            if seen + count <= piece.start:
                before += count
            elif seen < piece.start + piece.rows:
                groups.append(group)
            seen += count
        table = parquet.read_row_groups(groups, columns=names).select(names)
    return table.slice(piece.start - before, piece.rows)
