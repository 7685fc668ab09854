"""One shard: tar → {shard}.parquet and {shard}.npz, row i of one belonging to row i of the other, in the tar's order."""

import os
import warnings
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline import io
from pipeline.clip import Clip
from pipeline.manifest import InputReport, PartReport
from pipeline.samples import Dropped, TarReader, read_sidecar
from pipeline.score import ScoreConfig
from pipeline.score.decode import Decoded, decode_batches
from pipeline.score.embed import dimensions, embed, the_clip
from pipeline.score.rows import SIDECAR_COLUMNS, schema_with
from pipeline.stage import Part, PartFolder
from schemas.errors import UserError
from schemas.scores import CLIP_COLUMN

_NAMED_DROPS = 20  # keys told per reason; all are counted


@dataclass
class Shard:
    """What has been scored of one shard so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)  # (n, d) float16 each
    texts: list[np.ndarray] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # reason → keys

    def add(self, batch: list[Decoded | Dropped], clip: Clip) -> None:
        """Score a batch and append it."""
        for each in batch:
            if isinstance(each, Dropped):
                self.dropped[each.reason].append(each.key)
        good = [each for each in batch if isinstance(each, Decoded)]
        if not good:
            return
        image, text = embed(clip, [each.pixels for each in good], [each.columns["text"] for each in good])
        scores = np.einsum("nd,nd->n", image, text)  # float32, of the embeddings before they are rounded for storage
        self.rows += [{**each.columns, "score": score} for each, score in zip(good, scores.tolist(), strict=True)]
        self.images.append(image.astype(np.float16))
        self.texts.append(text.astype(np.float16))


def score_shard(config: ScoreConfig, part: Part, folder: PartFolder) -> PartReport:
    """Score one tar. Raises UserError where it cannot be read at all; one that is cut short gives what it holds."""
    (path,) = part.inputs
    clip, shard = the_clip(config), Shard()
    threads = max(1, (os.cpu_count() or 1) // config.workers)
    if config.workers > 1:
        torch.set_num_threads(threads)
    told = read_sidecar(path, SIDECAR_COLUMNS)
    with io.open_read(path) as file, warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")  # Pillow warns of oddities in images that it reads all the same
        reader = TarReader(file)
        for batch in decode_batches(reader, told, clip.preprocess, pool=pool, size=config.batch_size):
            shard.add(batch, clip)
    if reader.damage and not shard.rows and not shard.dropped:
        raise UserError(f"{path}: not a readable tar ({reader.damage})")
    _write(folder, part.name, config.column_name, shard, dimensions(clip))
    return _report(part, reader, shard)


def _write(folder: PartFolder, stem: str, name: str, shard: Shard, width: int) -> None:
    column = CLIP_COLUMN.format(name=name)
    rows = [{**{k: v for k, v in row.items() if k != "score"}, "shard": stem, column: row["score"]} for row in shard.rows]
    with folder.open(f"{stem}.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema_with(name)), file, compression="zstd")
    empty = np.empty((0, width), np.float16)
    arrays = {f"{name}_img": np.concatenate([empty, *shard.images]), f"{name}_txt": np.concatenate([empty, *shard.texts])}
    with folder.open(f"{stem}.npz") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # numpy gives members a fixed date: same arrays, same bytes


def _report(part: Part, reader: TarReader, shard: Shard) -> PartReport:
    dropped = {f"dropped_{reason}": len(keys) for reason, keys in sorted(shard.dropped.items())}
    rows_in = len(shard.rows) + sum(dropped.values())
    status = InputReport(
        path=part.inputs[0],
        status="partial" if reader.damage else "ok",
        error=reader.damage,
        rows=rows_in,
        bytes_read=reader.bytes_read,
    )
    return PartReport(
        name=part.name,
        counts={"rows_in": rows_in, "rows_out": len(shard.rows), **dropped},
        inputs=(status,),
        facts={f"dropped_{reason}": keys[:_NAMED_DROPS] for reason, keys in sorted(shard.dropped.items())},
    )
