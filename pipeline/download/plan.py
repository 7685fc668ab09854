"""Which rows of the pool are in which shard, and reading them.

Shard i holds the rows i*K to (i+1)*K of the pool's files, taken in the order of their names.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.stage import Part
from schemas.errors import UserError
from schemas.shards import CARRIED

_NEEDED = ("uid", "url", "text")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """`rows` consecutive rows of a parquet file, from row `start` on."""

    path: str
    start: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class ShardPart(Part):
    """One shard: its number, its rows, and the pool's columns that its sidecar carries on."""

    index: int
    slices: tuple[Slice, ...]
    carried: tuple[str, ...]


def plan(folder: str, rows_per_shard: int) -> list[ShardPart]:
    """The shards of a folder of parquet. Raises UserError naming a file that cannot be read or lacks uid, url or text."""
    paths = io.list_files(folder, ".parquet")
    if not paths:
        raise UserError(f"{folder}: no parquet files: an empty pool, or no pool; give the folder that `webpairs pool` wrote")
    rows: dict[str, int] = {}
    carried = [field.name for field in CARRIED]
    for path in paths:
        rows[path], names = _count_rows(path)
        carried = [name for name in carried if name in names]
    return [
        ShardPart(
            name=f"{index:05d}",
            inputs=tuple(s.path for s in slices),
            index=index,
            slices=tuple(slices),
            carried=tuple(carried),
        )
        for index, slices in enumerate(_cut(rows, rows_per_shard))
    ]


def read_rows(part: ShardPart) -> pa.Table:
    """The shard's rows: the carried columns in the schema's types, then caption and url (never null; "" for null)."""
    names = [*part.carried, "text", "url"]
    table = pa.concat_tables([_read_slice(piece, names) for piece in part.slices])
    url = table["url"].cast(pa.string()).fill_null("")
    table = table.set_column(len(part.carried) + 1, "url", url)
    kinds = {field.name: field.type for field in CARRIED}
    fields = [pa.field(name, kinds[name]) for name in part.carried]
    target = pa.schema([*fields, pa.field("caption", pa.string()), pa.field("url", pa.string())])
    return table.rename_columns(target.names).cast(target)


def _count_rows(path: str) -> tuple[int, list[str]]:
    with io.open_read(path) as file:
        try:
            metadata = pq.read_metadata(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: not readable as parquet ({error}); remove it or make it again") from error
    names = metadata.schema.to_arrow_schema().names
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; a pool has uid, url and text")
    return metadata.num_rows, names


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
