"""One file of rows against the lists: NAME.parquet with uid and listed columns → which rows are hit, by what, on which list.

In: a data file of a release, or a shard's sidecar. Out: a parquet of HITS, the rows that are hit, in their order.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.manifest import InputReport, PartReport
from pipeline.nearby import sha256_of
from pipeline.options import StageConfig
from pipeline.revise.gone import Gone
from pipeline.revise.listed import REASONS, Listed, without_images
from pipeline.stage import Part, PartFolder
from schemas.errors import UserError

BY_SHARD = len(REASONS) + 1  # a row whose uid is hit by what a shard's sidecar tells of it
HITS = pa.schema([("uid", pa.string()), ("code", pa.int8()), ("list", pa.int32())])
_BATCH_ROWS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Recorded(StageConfig):
    """What decides the output, by content: no name or address of a list stands in it."""

    release: str = ""  # sha256 of SHA256SUMS
    lists: tuple[str, ...] = ()
    phash_bits: int = 0
    pages: bool = False
    shards: str = ""  # what else decides it: a hash of what shards tell, or of the uids that go


@dataclass(frozen=True, kw_only=True)
class FilePart(Part):
    """A data file of a release: `inputs` are the parquet and, where there is one, its .npz; their sha256 by path; rows."""

    sums: Mapping[str, str] = field(default_factory=dict)
    rows: int = -1


def scan_part(listed: Listed, by_shards: Gone, _config: Any, part: Part, folder: PartFolder) -> PartReport:
    """The hits of one data file, whose bytes must be those that SHA256SUMS names. Raises UserError where they are not."""
    assert isinstance(part, FilePart)  # noqa: S101 - the stage plans no other parts
    for path in part.inputs:
        require_sum(path, part.sums[path])
    source, counts, hits = part.inputs[0], Counter[str](), []
    for batch in batches(source, listed):
        codes, lists = listed.judge(batch)
        codes[(codes == 0) & by_shards.rows(batch["uid"])] = BY_SHARD
        counts["rows_in"] += len(batch)
        if "phash" in batch.schema.names:
            counts["rows_without_phash"] += batch["phash"].null_count
        hit = np.flatnonzero(codes)
        columns = [batch["uid"].cast(pa.string()).take(pa.array(hit)), pa.array(codes[hit]), pa.array(lists[hit])]
        hits.append(pa.RecordBatch.from_arrays(columns, schema=HITS))
    counts["rows_hit"] = sum(map(len, hits))
    if part.rows not in (-1, counts["rows_in"]):
        raise UserError(f"{source}: has {counts['rows_in']:,} rows, release.json says {part.rows:,}; download the release again")
    with folder.open(f"{part.name}.parquet") as file:
        pq.write_table(pa.Table.from_batches(hits, schema=HITS), file)
    return PartReport(
        name=part.name,
        counts=dict(counts),
        inputs=tuple(InputReport(path=path) for path in part.inputs),
        facts={"without_images": list(without_images(listed, columns_of(source)))},
    )


def batches(source: str, listed: Listed) -> Iterator[pa.RecordBatch]:
    """The columns of a parquet that the lists ask for. Raises UserError where it is damaged or has no uid."""
    columns = columns_of(source)
    if "uid" not in columns:
        raise UserError(f"{source}: no column uid; give a release, or metadata of pairs")
    yield from batches_of(source, listed.columns(columns))


def batches_of(source: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Rows of a parquet, these columns only. Raises UserError where it is damaged."""
    try:
        with io.open_read(source) as file:
            yield from pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source}: damaged parquet file ({error}); download it again") from error


def columns_of(source: str) -> list[str]:
    """The names of a parquet's columns."""
    return list(schema_of(source).names)


def schema_of(source: str) -> pa.Schema:
    """A parquet's schema. Raises UserError where it is damaged."""
    try:
        with io.open_read(source) as file:
            return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source}: damaged parquet file ({error}); download it again") from error


def require_sum(path: str, expected: str) -> None:
    """Raises UserError where a file's sha256 is another."""
    if (found := sha256_of(path)) != expected:
        raise UserError(f"{path}: sha256 is {found}, SHA256SUMS has {expected}; download the release again")
