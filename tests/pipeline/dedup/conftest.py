"""Small pools of metadata with known copies, and what `dedup` wrote of them."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def uid_of(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def turned(rng: np.random.Generator, rows: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """Unit rows at these cosines to the given unit rows."""
    away = rng.standard_normal(rows.shape)
    away -= (away * rows).sum(axis=1, keepdims=True) * rows
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return cosines[:, None] * rows + np.sqrt(1 - cosines[:, None] ** 2) * away


def embeddings_with_copies(n: int, d: int = 64, *, seed: int = 0) -> np.ndarray:
    """(n, d) float16 unit rows in a few loose clusters; a third are copies of others at cosines of .91 to 1."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((6, d))
    rows = centres[rng.integers(0, 6, n)] * 0.7 + rng.standard_normal((n, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    copies = rng.permutation(n)[: n // 3]
    others = np.setdiff1d(np.arange(n), copies)
    rows[copies] = turned(rng, rows[rng.choice(others, len(copies))], rng.choice([0.915, 0.96, 0.995, 1.0], len(copies)))
    return rows.astype(np.float16)


@pytest.fixture
def write_pool(tmp_path: Path) -> Callable[..., Path]:
    """write_pool(files, name=…): a metadata folder; each file is {column: values}, arrays of the .npz being those of two axes."""

    def write(files: Sequence[dict[str, Any]], name: str = "scores") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number, columns in enumerate(files):
            flat = {key: values for key, values in columns.items() if np.ndim(values) < 2}
            arrays = {key: values for key, values in columns.items() if np.ndim(values) == 2}
            rows = len(next(iter(columns.values())))
            flat.setdefault("uid", [uid_of(f"{number}/{row}") for row in range(rows)])
            pq.write_table(pa.table(flat), folder / f"{number:05d}.parquet")
            if arrays:
                np.savez(folder / f"{number:05d}.npz", **arrays)
        return folder

    return write


@pytest.fixture
def pool_of_copies(write_pool: Callable[..., Path]) -> Path:
    """1,500 rows in three files with embeddings, CLIP scores (some missing), sha256 and perceptual hashes."""
    rng = np.random.default_rng(1)
    n = 1500
    rows = embeddings_with_copies(n)
    rows[[3, 700]], rows[901, 0] = 0, np.nan
    scores = rng.random(n).astype(np.float32)
    scores[rng.integers(0, n, 100)] = np.nan
    files = [
        {
            "clip_l14_similarity_score": pa.array(scores[part], pa.float32()),
            "sha256": [hashlib.sha256(bytes([value])).hexdigest() for value in rng.integers(0, 200, 500, dtype=np.uint8)],
            "phash": [f"{value:016x}" for value in rng.integers(0, 2**63, 500)],
            "l14_img": rows[part],
        }
        for part in np.split(np.arange(n), 3)
    ]
    return write_pool(files)


def written(out: Path) -> pa.Table:
    """All rows that `dedup` wrote, in the order of files."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(out.glob("*.parquet"))])


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same data, byte for byte."""
    names = [sorted(path.name for path in folder.iterdir() if not path.name.startswith("_")) for folder in (one, other)]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in names[0])


@pytest.fixture
def read_written() -> Callable[[Path], pa.Table]:
    """read_written(out): all rows that `dedup` wrote, in the order of files."""
    return written


@pytest.fixture
def are_same() -> Callable[[Path, Path], bool]:
    """are_same(one, other): whether two folders hold the same data files, byte for byte."""
    return same_files


@pytest.fixture
def copies() -> Callable[..., np.ndarray]:
    """copies(n, d, seed=…): unit rows of which a third repeat others."""
    return embeddings_with_copies


@pytest.fixture
def memory_gb_for(monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """memory_gb_for(rows, n, d): a --memory-gb that holds so many embeddings of a pool at once, however few."""
    from pipeline.dedup import budget

    monkeypatch.setattr(budget, "_LEAST_ROWS", 32)
    monkeypatch.setattr(budget, "_BYTES_PER_SAMPLED", 0)

    def gigabytes(rows: int, *, n: int, d: int) -> float:
        return (budget._LIBRARIES + n * budget._PER_POOL_ROW + (rows + 0.5) * (2 * d + budget._PER_ROW)) / 1e9

    return gigabytes
