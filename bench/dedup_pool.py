"""Synthetic image embeddings with planted duplicates, in DataComp's metadata layout: seeded, made once in bench/.cache.

In: a number of rows. Out: parquet (DataComp's columns) + npz (`b32_img`, (n, 512) float16) of the same stem, 50,000 rows each.

The background is what image embeddings look like on the unit sphere: a direction that all share, topics, 16,384 clusters of very
different weight and width in them, each with a spectrum of its own that falls off. One row in ten is a copy of another, at cosine
1, .99, .97 or .95 of it: groups of 2 to 20, and one "viral" image with a hundredth of all rows. The distribution does not depend
on the number of rows, so that sizes can be compared; a larger pool is a denser one.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.places import CACHE

SEED = 20230316
DIM, EMBEDDINGS, SCORE = 512, "b32_img", "clip_b32_similarity_score"
LEVELS = (1.0, 0.99, 0.97, 0.95)  # cosines of copies with their original
COPIED, VIRAL, GROUP_MOST = 0.1, 0.01, 20  # shares of all rows; rows of a group, its original among them
_TOPICS, _CLUSTERS = 128, 16_384
# Shares of the squared length. Two images of other topics have cosine .35, of one topic .5, of one cluster about .7.
_SHARED, _TOPIC, _CLUSTER = 0.35, 0.15, 0.2
_ROWS_PER_FILE, _BLOCK = 50_000, 32_768


class Pool(NamedTuple):
    """A generated pool: its folder, and what stands in it, read back."""

    folder: Path
    rows: int

    @property
    def metadata(self) -> Path:
        """The folder that sides are given."""
        return self.folder / "metadata"


class Made(NamedTuple):
    """Rows as they are drawn."""

    images: np.ndarray  # (n, 512) float16, unit vectors
    source: np.ndarray  # (n,) int64: whose copy a row is; its own number where it is none
    level: np.ndarray  # (n,) float64: the cosine planted between them; 1 where it is none


class Content(NamedTuple):
    """A pool's rows in the order that decides who survives: higher score first, then the smaller uid."""

    uids: np.ndarray  # (n,) S32
    images: np.ndarray  # (n, 512) float16


def pool(rows: int) -> Pool:
    """The pool of `rows` rows, made where it is not there."""
    made = Pool(CACHE / f"dedup_{SEED}_{rows}", rows)
    if not made.metadata.is_dir():
        print(f"making {made.metadata}", flush=True)
        making = made.folder / "metadata.new"
        making.mkdir(parents=True, exist_ok=True)
        drawn = embeddings(rows)
        for number, at in enumerate(range(0, rows, _ROWS_PER_FILE)):
            _write(making, number, range(at, min(rows, at + _ROWS_PER_FILE)), drawn)
        making.rename(made.metadata)
    return made


def content(made: Pool) -> Content:
    """Everything that sides can know of the pool's images, in order."""
    stems = sorted(path.with_suffix("") for path in made.metadata.glob("*.parquet"))
    images, at = np.empty((made.rows, DIM), np.float16), 0
    tables = []
    for stem in stems:
        tables.append(pq.read_table(stem.with_suffix(".parquet"), columns=["uid", SCORE]))
        with np.load(stem.with_suffix(".npz")) as arrays:
            part = arrays[EMBEDDINGS]
        images[at : at + len(part)] = part
        at += len(part)
    both = pa.concat_tables(tables)
    uids = np.array(both["uid"].to_pylist(), "S32")
    order = np.lexsort((uids, -both[SCORE].to_numpy()))
    return Content(uids[order], images[order])


def embeddings(rows: int) -> Made:
    """So many rows, always the same."""
    shape = _Background.drawn(np.random.default_rng(SEED))
    images = np.empty((rows, DIM), np.float16)
    blocks = [slice(at, min(rows, at + _BLOCK)) for at in range(0, rows, _BLOCK)]

    def fill(number: int) -> None:
        block = images[blocks[number]]
        block[:] = shape.rows(len(block), np.random.default_rng([SEED, 1, rows, number]))

    draw = np.random.default_rng([SEED, 2, rows])
    source, level = _planted(rows, draw)
    copies = np.flatnonzero(source != np.arange(rows))

    def copy(number: int) -> None:
        at = copies[number * _BLOCK : (number + 1) * _BLOCK]
        images[at] = shape.near(images[source[at]], level[at], np.random.default_rng([SEED, 3, rows, number]))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        list(threads.map(fill, range(len(blocks))))
        list(threads.map(copy, range(-(-len(copies) // _BLOCK))))
    return Made(images, source, level)


class _Background(NamedTuple):
    """Where clusters lie and how they spread, in the axes of the spectrum; `turned` makes image axes of these."""

    weights: np.ndarray  # (clusters,) float64, ascending sums to 1
    centres: np.ndarray  # (clusters, 512) float32
    spreads: np.ndarray  # (clusters, 512) float32
    spectrum: np.ndarray  # (512,) float32, of unit length
    turned: np.ndarray  # (512, 512) float32, orthogonal

    @classmethod
    def drawn(cls, draw: np.random.Generator) -> "_Background":
        """The one background of all sizes."""
        spectrum = np.arange(1, DIM + 1) ** -0.5
        spectrum /= np.linalg.norm(spectrum)

        def directions(count: int) -> np.ndarray:
            return _unit(draw.normal(size=(count, DIM)) * spectrum)

        topics = np.sqrt(_TOPIC) * directions(_TOPICS)
        clusters = np.sqrt(_CLUSTER) * directions(_CLUSTERS)
        centres = np.sqrt(_SHARED) * directions(1) + topics[draw.integers(_TOPICS, size=_CLUSTERS)] + clusters
        width = np.sqrt((1 - _SHARED - _TOPIC - _CLUSTER) * np.exp(draw.normal(0, 0.5, (_CLUSTERS, 1))))
        spreads = width * _unit(spectrum * np.exp(draw.normal(0, 0.7, (_CLUSTERS, DIM))))
        weights = np.arange(10, 10 + _CLUSTERS) ** -0.8
        turned = np.linalg.qr(draw.normal(size=(DIM, DIM)))[0]
        rest = (array.astype(np.float32) for array in (centres, spreads, spectrum, turned))
        return cls(np.cumsum(weights) / weights.sum(), *rest)

    def rows(self, count: int, draw: np.random.Generator) -> np.ndarray:
        """(count, 512) float32 unit vectors."""
        cluster = np.minimum(np.searchsorted(self.weights, draw.random(count)), _CLUSTERS - 1)
        found = draw.standard_normal((count, DIM), np.float32)
        found *= self.spreads[cluster]
        found += self.centres[cluster]
        return _unit(found @ self.turned)

    def near(self, originals: np.ndarray, cosines: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """(n, 512) float32 at these cosines with originals (n, 512) float16; the same values where the cosine is 1.

        Half of what differs goes where images differ from each other, half goes anywhere.
        """
        from_ = _unit(originals.astype(np.float32))
        size = (len(from_), DIM)
        away = _unit((draw.standard_normal(size, np.float32) * self.spectrum) @ self.turned)
        away += _unit(draw.standard_normal(size, np.float32))
        away = _unit(away - (away * from_).sum(axis=1, keepdims=True) * from_)
        cosine = cosines[:, None].astype(np.float32)
        return np.where(cosine == 1, originals, cosine * from_ + np.sqrt(1 - cosine**2) * away)


def _planted(rows: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Whose copy each row is, (rows,) int64, and at which cosine, (rows,) float64."""
    where = draw.permutation(rows)
    viral, copied = round(VIRAL * rows), round(COPIED * rows)
    sizes = [viral]
    while sum(sizes) < copied:  # half the groups are pairs, and so on: many small ones, few of 20
        sizes.append(min(GROUP_MOST - 1, int(draw.pareto(1.0)) + 1, copied - sum(sizes)))
    source, level = np.arange(rows), np.ones(rows)
    originals, copies = where[: len(sizes)], where[len(sizes) : len(sizes) + copied]
    source[copies] = np.repeat(originals, sizes)
    level[copies] = draw.choice(LEVELS, copied)
    return source, level


def _write(folder: Path, number: int, rows: range, made: Made) -> None:
    """One file of the pool: copies have captions and URLs of their own, those at cosine 1 their original's hash."""
    images, source, level = made
    draw = np.random.default_rng([SEED, 4, len(images), number])
    texts = [f"a photo of thing {source[row] % 9973}, no. {row}" for row in rows]
    urls = [f"https://img-{row % 4999}.example/{row}.jpg" for row in rows]
    image_of = [str(source[row] if level[row] == 1 else -row) for row in rows]
    scores = draw.normal(0.26, 0.05, (2, len(rows))).astype(np.float32)
    columns = {
        "uid": [hashlib.md5((text + url).encode()).hexdigest() for text, url in zip(texts, urls, strict=True)],
        "url": urls,
        "text": texts,
        "original_width": pa.array(np.full(len(rows), 640, np.int32)),
        "original_height": pa.array(np.full(len(rows), 480, np.int32)),
        SCORE: pa.array(scores[0]),
        "clip_l14_similarity_score": pa.array(scores[1]),
        "face_bboxes": pa.array([[]] * len(rows), pa.list_(pa.list_(pa.float32()))),
        "sha256": [hashlib.sha256(image.encode()).hexdigest() for image in image_of],
    }
    stem = folder / hashlib.md5(str(number).encode()).hexdigest()  # DataComp's files are named by 32 hex digits
    np.savez(stem.with_suffix(".npz"), **{EMBEDDINGS: images[rows.start : rows.stop]})  # type: ignore[arg-type]
    pq.write_table(pa.table(columns), stem.with_suffix(".parquet"))


def _unit(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found
