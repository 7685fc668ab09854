"""The sidecar parquet of an output shard: the rows that the input shards' sidecars have for its samples, under their new keys."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from pipeline.manifest import InputReport


class Rows:
    """Collects which row of which sidecar goes where."""

    def __init__(self) -> None:
        self._places: dict[str, list[int]] = {}
        self._keys: dict[str, list[str]] = {}
        self._new: list[str] = []

    def add(self, sidecar: str, key: str, new: str) -> None:
        """The next row is that of `key` in `sidecar`, and gets the key `new`."""
        self._places.setdefault(sidecar, []).append(len(self._new))
        self._keys.setdefault(sidecar, []).append(key)
        self._new.append(new)

    def table(self) -> tuple[pa.Table, int, tuple[InputReport, ...]]:
        """The rows in order, how many of them no sidecar had (nulls but for the key), and the sidecars that cannot be read."""
        pieces, missing, bad = [], 0, []
        for path, keys in self._keys.items():
            try:
                piece = _rows(path, keys)
            except (pa.ArrowException, OSError, KeyError) as error:
                bad.append(InputReport(path=path, status="partial", error=f"no readable sidecar ({error}); its rows are null"))
                piece = pa.table({"key": pa.nulls(len(keys), pa.string())})
            missing += piece["key"].null_count
            pieces.append(piece)
        if not pieces:
            return pa.table({"key": pa.array([], pa.string())}), 0, ()
        order = np.argsort(np.concatenate([np.array(places, np.int64) for places in self._places.values()]), kind="stable")
        table = _joined(pieces).take(pa.array(order))
        return table.set_column(table.column_names.index("key"), "key", pa.array(self._new, pa.string())), missing, tuple(bad)


def _rows(path: str, keys: Sequence[str]) -> pa.Table:
    with io.open_read(path) as file:
        table = pq.read_table(file)
    if "key" not in table.column_names:
        raise KeyError("it has no column key")
    which = pc.index_in(pa.array(keys, pa.string()), table["key"].combine_chunks().cast(pa.string()))
    nullable = pa.schema([field.with_nullable(True) for field in table.schema], table.schema.metadata)
    return pa.table(table.columns, schema=nullable).take(which)


def _joined(pieces: Sequence[pa.Table]) -> pa.Table:
    """One below the other. A column whose types differ beyond what can be promoted is text in all."""
    try:
        return pa.concat_tables(pieces, promote_options="permissive")
    except pa.ArrowException:
        return pa.concat_tables([_as_text(piece) for piece in pieces], promote_options="permissive")


def _as_text(table: pa.Table) -> pa.Table:
    columns = [pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string()) for column in table]
    return pa.table(columns, names=table.column_names)
