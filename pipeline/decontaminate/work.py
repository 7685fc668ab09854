"""One metadata file → the parquet with its uids and, of each row, the nearest image of the evaluation sets where it is near."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filters.embeddings import embedding, unit
from pipeline.decontaminate import DecontaminateConfig
from pipeline.decontaminate.index import Index, hashes_of
from pipeline.devices import device_here
from pipeline.manifest import InputReport, PartReport
from pipeline.metadata.files import MetadataFile, schema_of
from pipeline.metadata.read import read_batches
from pipeline.stage import Part, PartFolder
from schemas.contamination import CONTAMINATION

_FACT = "_near"
_load = cache(Index.load)


def mark_file(config: DecontaminateConfig, part: Part, folder: PartFolder) -> PartReport:
    """Mark one file. Raises UserError where it cannot be read whole."""
    index, file = _load(config.index), config.files[part.name]
    near: Counter[str] = Counter()
    rows = 0
    columns = ["uid", *(["phash"] if _has_hashes(file) else []), *([config.embeddings] if config.embeddings else [])]
    with folder.open(f"{part.name}.parquet") as out, pq.ParquetWriter(out, CONTAMINATION, compression="zstd") as writer:
        for batch in read_batches(file, columns):
            marked = mark(batch, index, config)
            near.update(name for name in marked["eval_set"].to_pylist() if name is not None)
            rows += batch.num_rows
            writer.write_batch(marked)
    counts = {"rows_in": rows, "rows_out": rows, "rows_near": near.total()}
    inputs = (InputReport(path=part.inputs[0], rows=rows),)
    return PartReport(name=part.name, counts=counts, inputs=inputs, facts={_FACT: dict(near)})


def mark(batch: pa.RecordBatch, index: Index, config: DecontaminateConfig) -> pa.RecordBatch:
    """The rows of CONTAMINATION for a batch with uid and phash or embeddings, or both."""
    n = batch.num_rows
    by_hash, bits = np.zeros(n, np.int64), np.full(n, 65, np.int32)
    by_cosine, cosines = np.zeros(n, np.int64), np.full(n, np.nan, np.float32)
    if "phash" in batch.schema.names:
        hashes, known = hashes_of(batch["phash"])
        by_hash, bits = index.nearest_by_hash(hashes)
        bits = np.where(known, bits, 65).astype(np.int32)
    if config.embeddings is not None and index.embeddings is not None:
        vectors = unit(embedding(batch, config.embeddings))
        by_cosine, cosines = index.nearest_by_embedding(vectors, device_here(config.device))
    alike, close = bits <= config.bits, cosines >= np.float32(config.cosine)
    view = np.where(close, by_cosine, by_hash)  # the embedding tells more, where it tells anything
    near = alike | close
    names = [index.names[each] if ok else None for each, ok in zip(index.set_of[view].tolist(), near.tolist(), strict=True)]
    return pa.record_batch(
        [
            batch["uid"].cast(pa.string()),
            pa.array(names, pa.string()),
            pa.array(index.item_of[view], mask=~near),
            pa.array(cosines, mask=np.isnan(cosines)),
            pa.array(bits, mask=bits > 64),
        ],
        schema=CONTAMINATION,
    )


def told(index: Index, reports: Sequence[PartReport]) -> dict[str, Any]:
    """The manifest's facts: of every set its images, and the pairs that are near one."""
    near: Counter[str] = Counter()
    for report in reports:
        near.update(report.facts.get(_FACT, {}))
    sets = {name: {"images": 0, "pairs_near": near[name]} for name in index.names}
    for name, size in zip(index.names, index.sizes, strict=True):
        sets[name]["images"] += size
    return {"sets": sets}


def _has_hashes(file: MetadataFile) -> bool:
    return any("phash" in schema_of(path).names for path in (file.path, *file.beside))
