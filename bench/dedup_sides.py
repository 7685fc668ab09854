"""The sides of the dedup benchmark: whole commands on the same metadata and cores, what each run cost, and what it found."""

import json
import shutil
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.dedup_pool import EMBEDDINGS, Pool
from bench.dedup_truth import Truth, recalls
from bench.places import REPOSITORY
from bench.tree import cost_of

OURS, TIGHT, PEER = "ours", "ours, out of core", "SemDeDup"
FLOOR = 0.9
# SemDeDup's configuration has 50,000 clusters for LAION's 440M rows: as many per square root of rows are the most that is tried,
# so that the k-means, whose cost grows with the square of the clusters, costs as much per row as there. As many rows per cluster
# as there would be 11 clusters of 100,000 rows: twice the CPU time of 100 clusters for the same recall.
_PUBLISHED = 50_000 / sqrt(440e6)
PER_ROOT = (0.5, 0.75, _PUBLISHED)
_ITERATIONS = 20


@dataclass(frozen=True, kw_only=True)
class Side:
    """A side: its name; its command for (metadata, out); of what it wrote, uids (n,) S32 and cosines (n,) float32."""

    name: str
    command: Callable[[Path, Path], list[str]]
    answer: Callable[[Path], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs happen: a folder for what they write, and the cores they may use."""

    scratch: Path
    cores: Collection[int]


def ours(memory_gb: float, *more: str, name: str = OURS) -> Side:
    """`webpairs dedup --by semantic`, in that much memory."""

    def command(metadata: Path, out: Path) -> list[str]:
        where = ["--metadata", str(metadata), "--out", str(out), "--by", "semantic", "--embeddings", EMBEDDINGS]
        how = ["--floor", str(FLOOR), "--memory-gb", str(memory_gb), *more]
        return [sys.executable, "-m", "pipeline.cli", "dedup", *where, *how]

    return Side(name=name, command=command, answer=_our_answer)


def semdedup(clusters: int, threads: int) -> Side:
    """SemDeDup's algorithm with so many clusters."""

    def command(metadata: Path, out: Path) -> list[str]:
        out.mkdir()
        asked = {"metadata": str(metadata), "out": str(out / "cosines.parquet"), "clusters": clusters}
        settings = {**asked, "iterations": _ITERATIONS, "threads": threads}
        return [sys.executable, "-m", "bench.dedup_semdedup", json.dumps(settings)]

    return Side(name=f"{PEER}, {clusters:,} clusters", command=command, answer=_their_answer)


def settings(rows: int, threads: int) -> list[Side]:
    """SemDeDup with each number of clusters that is tried for so many rows."""
    return [semdedup(max(1, round(factor * sqrt(rows))), threads) for factor in PER_ROOT]


def once(side: Side, made: Pool, known: Truth | None, place: Place) -> dict[str, Any]:
    """What one run cost, and what it found where the truth is known. Raises SystemExit where a row is missing."""
    out = place.scratch / f"{side.name}_{made.rows}".replace(" ", "_").replace(",", "")
    shutil.rmtree(out, ignore_errors=True)
    log, env = out.with_suffix(".log"), {"OMP_NUM_THREADS": str(len(place.cores))}
    cost = cost_of(side.command(made.metadata, out), folder=REPOSITORY, log=log, env=env, cores=place.cores)
    found = recalls(known, *side.answer(out)) if known else {}
    shutil.rmtree(out)
    memory = {"peak_pss_mb": cost.peak_pss_mb, "peak_rss_mb": cost.peak_rss_mb}
    print(f"  {made.rows:,} rows, {side.name}: {cost.total_s:.1f} CPU s, {cost.wall_s:.1f} s {found or ''}", flush=True)
    return {"rows": made.rows, "cpu_s": cost.total_s, "wall_s": cost.wall_s, **memory, **found}


def _our_answer(out: Path) -> tuple[np.ndarray, np.ndarray]:
    return _read([pq.read_table(path, columns=["uid", "dup_cos"]) for path in sorted(out.glob("*.parquet"))])


def _their_answer(out: Path) -> tuple[np.ndarray, np.ndarray]:
    return _read([pq.read_table(out / "cosines.parquet")])


def _read(tables: list[pa.Table]) -> tuple[np.ndarray, np.ndarray]:
    uids, cosines = pa.concat_tables(tables).columns
    return np.array(uids.to_pylist(), "S32"), cosines.to_numpy().astype(np.float32)
