"""A synthetic data root for the release's benchmark: sidecars, scores and duplicates, with texts and URLs of realistic lengths.

In: a number of rows. Out: a folder in bench/.cache, made once. The pairs are those of the pool's benchmark, without copies.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.places import CACHE
from bench.pool_rows import SEED, candidates
from pipeline.addresses import domain_of, host_of
from schemas.duplicates import DUPLICATES
from schemas.scores import SCORES
from schemas.shards import SHARDS

SHARD_ROWS = 10_000
_CANDIDATES_PER_ROW, _FILES = 2, 20  # 30 % of the candidates are copies, and go


def data_root(rows: int) -> Path:
    """A root with `rows` scored pairs."""
    root = CACHE / f"release_root_{SEED}_{rows}"
    if root.is_dir():
        return root
    draw = np.random.default_rng(SEED)
    pairs = _unique(candidates(rows * _CANDIDATES_PER_ROW, _FILES), rows, draw)
    making = root.with_suffix(".new")
    for number, start in enumerate(range(0, rows, SHARD_ROWS)):
        _write_shard(making, number, pairs.slice(start, SHARD_ROWS), draw)
    making.rename(root)
    return root


def _unique(folder: Path, rows: int, draw: np.random.Generator) -> pa.Table:
    """The first record of each uid, in random order, as the pool's sampling leaves them."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
    uids = table["uid"].to_numpy()
    first = np.unique(uids, return_index=True)[1]
    return table.take(pa.array(draw.permutation(first)[:rows]))


def _write_shard(root: Path, number: int, pairs: pa.Table, draw: np.random.Generator) -> None:
    count, stem = len(pairs), f"{number:05d}"
    made: dict[str, Any] = {name: pairs[name] for name in pairs.column_names}
    made |= {
        "caption": pairs["text"],
        "domain": [domain_of(host_of(url) or "") for url in pairs["url"].to_pylist()],
        "lang": draw.choice(["en", "de", "fr", "es", "ru"], count, p=[0.5, 0.2, 0.1, 0.1, 0.1]),
        "lang_prob": draw.random(count, np.float32),
        "opted_out": np.zeros(count, bool),
        "key": [f"{stem}{place:05d}" for place in range(count)],
        "shard": [stem] * count,
        "status": ["success"] * count,
        "sha256": _digits(draw, count, 32),
        "stored_sha256": _digits(draw, count, 32),
        "phash": _digits(draw, count, 8),
        "original_width": draw.integers(200, 4000, count, np.int32),
        "original_height": draw.integers(200, 4000, count, np.int32),
        "width": draw.integers(100, 512, count, np.int32),
        "height": draw.integers(100, 512, count, np.int32),
        "clip_b32_similarity_score": draw.normal(0.25, 0.05, count).astype(np.float32),
        "clip_l14_similarity_score": draw.normal(0.22, 0.05, count).astype(np.float32),
        "dup_of": np.where(draw.random(count) < 0.1, pairs["uid"].to_numpy(), None),
        "dup_cos": draw.random(count, np.float32),
        "cluster": draw.integers(0, 1000, count, np.int32),
        "cluster_cos": draw.random(count, np.float32),
    }
    for folder, schema in (("3_shards", SHARDS), ("4_scores", SCORES), ("4_duplicates", DUPLICATES)):
        place = root / folder
        place.mkdir(parents=True, exist_ok=True)
        columns = [pa.array(made[f.name], f.type) if _is_plain(made.get(f.name)) else _column(made, f, count) for f in schema]
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), place / f"{stem}.parquet", compression="zstd")


def _is_plain(values: Any) -> bool:
    return values is not None and not isinstance(values, pa.ChunkedArray)


def _column(made: dict[str, Any], field: pa.Field, count: int) -> Any:
    return made[field.name].cast(field.type) if field.name in made else pa.nulls(count, field.type)


def _digits(draw: np.random.Generator, count: int, size: int) -> list[str]:
    digits = draw.bytes(count * size).hex()
    return [digits[at : at + 2 * size] for at in range(0, len(digits), 2 * size)]
