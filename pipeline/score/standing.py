"""Scores of a shard: a table and the arrays that belong to its rows, as they stand in a folder or as they are written."""

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.score.rows import schema_with
from pipeline.stage import PartFolder
from schemas.errors import UserError


@dataclass(frozen=True)
class Scores:
    """n rows, and arrays of n rows by name: NAME_img and NAME_txt, (n, d) float16 each."""

    table: pa.Table
    arrays: Mapping[str, np.ndarray]

    def with_columns(self, columns: Mapping[pa.Field, pa.Array], arrays: Mapping[str, np.ndarray]) -> "Scores":
        """These columns and arrays besides, or in the place of those of the same name."""
        schema = schema_with([*self.table.schema, *columns])
        new = {field.name: values for field, values in columns.items()}
        table = pa.table({name: new.get(name, self._column(name, schema)) for name in schema.names}, schema=schema)
        return Scores(table, {**self.arrays, **arrays})

    def write(self, folder: PartFolder, stem: str) -> None:
        """As STEM.parquet and STEM.npz: the same scores give the same bytes."""
        with folder.open(f"{stem}.parquet") as file:
            pq.write_table(self.table, file, compression="zstd")
        with folder.open(f"{stem}.npz") as file:
            np.savez(file, **{name: self.arrays[name] for name in sorted(self.arrays)})  # type: ignore[arg-type] # fixed dates

    def _column(self, name: str, schema: pa.Schema) -> pa.ChunkedArray | pa.Array:
        field = schema.field(name)
        return self.table[name] if name in self.table.schema.names else pa.nulls(len(self.table), field.type)


def from_rows(batches: Iterable[pa.RecordBatch], seen: pa.Schema, shard: str) -> Scores:
    """Scores without any model's columns, of the rows of batches with the schema `seen`."""
    rows = pa.Table.from_batches(list(batches), seen)
    schema = schema_with([])
    columns = {name: rows[name] for name in seen.names}
    columns["shard"] = pa.array([shard] * len(rows), pa.string())
    nothing = {field.name: pa.nulls(len(rows), field.type) for field in schema if field.name not in columns}
    return Scores(pa.table({name: {**columns, **nothing}[name] for name in schema.names}, schema=schema), {})


def read_scores(folder: str, stem: str) -> Scores:
    """What stands of a shard. Raises UserError where it is damaged."""
    parquet, npz = io.join(folder, f"{stem}.parquet"), io.join(folder, f"{stem}.npz")
    try:
        table = pq.read_table(BytesIO(io.read_bytes(parquet)))
        with np.load(BytesIO(io.read_bytes(npz)), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (pa.ArrowException, zipfile.BadZipFile, EOFError, KeyError, ValueError, OSError) as error:
        raise UserError(f"{parquet} and .npz: damaged ({error}); remove them, and run all that made them again") from error
    if any(len(array) != len(table) for array in arrays.values()):
        raise UserError(f"{npz}: has arrays of other lengths than {parquet}; remove both, and run the same command again")
    return Scores(table, arrays)
