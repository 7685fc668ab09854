"""Metadata in DataComp's layout for the filter benchmark, made once in bench/.cache: parquet files of 10,000 rows, some with npz.

Columns, types and compression are DataComp's. Widths, heights and scores are drawn: round sizes repeat, scores tie, a few are
NaN. A large pool has the columns that filters read; its files repeat those of the small one but for their uids.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.filter_captions import captions
from bench.places import CACHE, digest_of

ROWS_PER_FILE = 10_000
_READ = ("uid", "text", "original_width", "original_height", "clip_b32_similarity_score", "clip_l14_similarity_score")
_SIDES = np.array([100, 150, 199, 200, 225, 250, 300, 320, 400, 480, 500, 600, 640, 700, 750, 800, 1000, 1024, 1200, 1920])
_WITHOUT_SCORE = 0.0005
_EMBEDDED_FILES = 5  # of an image_based pool: 768 float16 a row
_DIM = 768


def pool(files: int, wordnet: Path) -> Path:
    """A folder of `files` files with all of DataComp's columns."""
    return _made(f"pool_{files}", files, ((name(number), _table(number, wordnet)) for number in range(files)))


def embedded_pool(wordnet: Path) -> Path:
    """A folder of a few files with an npz beside each, whose `l14_img` are (n, 768) float16 of length 1."""
    folder = _made("embedded", _EMBEDDED_FILES, ((name(number), _table(number, wordnet)) for number in range(_EMBEDDED_FILES)))
    for number, path in enumerate(sorted(folder.glob("*.parquet"))):
        if not path.with_suffix(".npz").is_file():
            vectors = np.random.default_rng([4, number]).normal(size=(ROWS_PER_FILE, _DIM)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            np.savez(path.with_suffix(".npz"), l14_img=vectors.astype(np.float16))
    return folder


def large_pool(files: int, small: Path) -> Path:
    """A folder of `files` files: those of the folder `small` over and over, every row with a uid of its own."""

    def tables() -> Iterable[tuple[str, pa.Table]]:
        sources = sorted(small.glob("*.parquet"))
        for number in range(files):
            table = pq.read_table(sources[number % len(sources)], columns=list(_READ))
            yield name(number), table.set_column(0, "uid", _uids(np.random.default_rng([5, number]), len(table)))

    return _made(f"large_{files}", files, tables())


def first_files(folder: Path, files: int) -> Path:
    """A folder with the first `files` files of another one, as hard links."""
    part = folder.with_name(f"{folder.name}_first_{files}")
    if not part.is_dir():
        making = _empty(part.with_name(f"{part.name}.new"))
        for path in sorted(folder.glob("*.parquet"))[:files]:
            for one in (path, path.with_suffix(".npz")):
                if one.is_file():
                    (making / one.name).hardlink_to(one)
        making.rename(part)
    return part


def rows_in(folder: Path) -> int:
    """Rows of all files, by their footers."""
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def name(number: int) -> str:
    """32 hex digits, as DataComp names its files; they sort by number."""
    return f"{number:08x}{np.random.default_rng([6, number]).bytes(12).hex()}"


def _made(kind: str, files: int, tables: Iterable[tuple[str, pa.Table]]) -> Path:
    made_by = "".join(digest_of(Path(__file__).with_name(source))[:6] for source in ("filter_captions.py", "filter_pool.py"))
    folder = CACHE / f"filter_{kind}_{made_by}"
    if folder.is_dir():
        return folder
    print(f"making {folder}: {files * ROWS_PER_FILE:,} rows in {files} files", flush=True)
    making = _empty(folder.with_suffix(".new"))
    for stem, table in tables:
        # As pandas leaves its files: pyarrow's defaults, and a note of the index under the key "pandas".
        noted = table.replace_schema_metadata({"pandas": json.dumps(_index_of(table))})
        pq.write_table(noted, making / f"{stem}.parquet", compression="snappy")
    return making.rename(folder)


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _index_of(table: pa.Table) -> Mapping[str, object]:
    index = {"kind": "range", "name": None, "start": 0, "stop": len(table), "step": 1}
    return {"index_columns": [index], "column_indexes": [], "columns": [], "creator": {"library": "pyarrow"}}


def _table(number: int, wordnet: Path) -> pa.Table:
    chance, rows = np.random.default_rng([7, number]), ROWS_PER_FILE
    width, height = _sizes(chance, rows)
    small, large = _scores(chance, rows)
    hosts = chance.zipf(1.6, rows) % 100_000
    names, hashes = chance.bytes(16 * rows).hex(), chance.bytes(32 * rows).hex()
    columns = {
        "uid": _uids(chance, rows),
        "url": [f"https://img{host}.example/{names[32 * at : 32 * at + 32]}.jpg" for at, host in enumerate(hosts.tolist())],
        "text": captions(chance, rows, wordnet),
        "original_width": width,
        "original_height": height,
        "clip_b32_similarity_score": small,
        "clip_l14_similarity_score": large,
        "face_bboxes": pa.array(_faces(chance, rows), pa.list_(pa.list_(pa.float64()))),
        "sha256": [hashes[at : at + 64] for at in range(0, len(hashes), 64)],
    }
    return pa.table(columns)


def _uids(chance: np.random.Generator, rows: int) -> pa.Array:
    digits = chance.bytes(16 * rows).hex()
    return pa.array([digits[at : at + 32] for at in range(0, len(digits), 32)])


def _sizes(chance: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Width and height, (n,) int64: half of the sides are round numbers."""
    sides = np.exp(chance.normal(6.1, 0.6, (2, rows))).astype(np.int64) + 1
    return tuple(np.where(chance.random((2, rows)) < 0.5, chance.choice(_SIDES, (2, rows)), sides))


def _scores(chance: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarity by B/32 and L/14, (n,) float32: correlated, a fifth of them on three decimals, a few NaN."""
    both = chance.normal(size=(2, rows))
    both[1] = 0.8 * both[0] + 0.6 * both[1]
    scores = both * [[0.045], [0.06]] + [[0.235], [0.2]]
    scores = np.where(chance.random(rows) < 0.2, scores.round(3), scores)
    scores[:, chance.random(rows) < _WITHOUT_SCORE] = np.nan
    return tuple(scores.astype(np.float32))


def _faces(chance: np.random.Generator, rows: int) -> list[list[list[float]]]:
    boxes = chance.random((rows, 4)).tolist()
    return [[box] if chosen else [] for box, chosen in zip(boxes, (chance.random(rows) < 0.2).tolist(), strict=True)]
