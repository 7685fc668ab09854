"""One metadata file → the parquet with its uids and what a measure makes of its rows."""

import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filters.contract import Measure, PoolMeasure
from filters.describe import describe
from filters.embeddings import embedding
from filters.registry import Context, find, parameters_of, takes
from pipeline import io
from pipeline.filter.recipe import files_of_parameters, merged, parameters_from
from pipeline.manifest import InputReport, PartReport
from pipeline.measure import MeasureConfig
from pipeline.metadata.read import read_batches
from pipeline.score.heads import HeadSpec
from pipeline.stage import Part, PartFolder
from schemas.columns import column, required, table
from schemas.errors import UsageError
from schemas.scores import SCORES, is_clip_column


@dataclass(frozen=True)
class HeadOf:
    """What a head makes of stored embeddings."""

    spec: HeadSpec

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.spec.on,)

    def measure(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) float32."""
        return self.spec.load().score(embedding(batch, self.spec.on))


def measure_of(config: MeasureConfig, columns: Sequence[str]) -> tuple[Measure | PoolMeasure, dict[str, Any]]:
    """What the options ask for, and what decides its numbers as JSON values. Raises UsageError where there is no such measure."""
    if config.head is not None:
        stem = re.sub("[^a-z0-9_]+", "_", io.stem(config.head).lower()).strip("_")
        name = (config.column or stem).removesuffix("_score") or "head"
        spec = HeadSpec(name=name, weights=config.head, on=config.on or "").pinned()
        spec.load()  # now, so that a bad file is told before any work
        return HeadOf(spec), {**spec.identity(), "name": ""}
    entry = find(config.name or "")
    if entry.measure is None:
        raise UsageError(f"--name {entry.name}: it has no measure to store; negclip_loss and norm_sim have")
    given = merged(parameters_from(config.param), {"arch": config.arch} if config.arch is not None else {})
    if cutting := [key for key in ("threshold", "fraction") if key in given]:
        raise UsageError(f"--param {cutting[0]}: a measure is stored whole; cut it with `filter --name score_range`")
    local, digests = files_of_parameters(entry, given)
    measure = entry.measure(parameters_of(entry, local), Context(columns=tuple(columns)))
    return measure, {"measure": describe(measure), "files": digests}


def column_of(config: MeasureConfig, asked: Measure | PoolMeasure) -> str:
    """The column's name. Raises UsageError for one that metadata has anyway."""
    arch = f"_{config.arch}" if config.arch is not None and "arch" in takes(find(config.name or "")) else ""
    default = f"{asked.name}_score" if config.head is not None else f"{asked.name}{arch}".lower().replace("-", "_")
    name = config.column or default
    if name in SCORES.names or is_clip_column(name):
        raise UsageError(f"--column {name}: metadata has a column of that name; give another")
    return name


def measure_file(config: MeasureConfig, part: Part, folder: PartFolder) -> PartReport:
    """Measure one file. Raises UserError where it cannot be read whole."""
    measure, name = _load(config.ready), config.column or ""
    schema = table(
        "One row of metadata.",
        [
            required("uid", pa.string(), "32 lower-case hex digits, see candidates"),
            column(name, pa.float32(), f"what {measure.name} makes of the row; null where it makes nothing"),
        ],
    )
    rows = without = 0
    with folder.open(f"{part.name}.parquet") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in read_batches(config.files[part.name], tuple(dict.fromkeys(("uid", *measure.reads)))):
            values = np.asarray(measure.measure(batch), np.float32)
            unknown = ~np.isfinite(values)
            rows, without = rows + len(values), without + int(unknown.sum())
            writer.write_batch(pa.record_batch([batch["uid"].cast(pa.string()), pa.array(values, mask=unknown)], schema=schema))
    counts = {"rows_in": rows, "rows_out": rows, "rows_without": without}
    return PartReport(name=part.name, counts=counts, inputs=(InputReport(path=part.inputs[0], rows=rows),))


@cache
def _load(path: str) -> Measure:
    """The measure that the driver put there: a file of our own, in a folder that only this user can write."""
    found: Measure = pickle.loads(Path(path).read_bytes())  # noqa: S301
    return found
