"""SemDeDup's algorithm (Abbas et al. 2023, arXiv:2303.09540, section 3) on a CPU: `python -m bench.dedup_semdedup JSON`.

Its reference code ends in an AttributeError at its first cluster and never moves anything to a GPU, so this is the algorithm as
the paper and the configuration have it: spherical k-means by faiss; in each cluster the similarities of all pairs, of their
triangle the most that each row has with one before it. In: {metadata, out, clusters, iterations, threads}. Out: a parquet of uid
and that cosine.

In its favour: embeddings lie in memory as float32 (there: read from a memory map), k-means runs 20 iterations (there: 100), one
file is written at the end (there: a pickled data frame per cluster), and rows stand in ours' order, by score (there: sorted once
more by their distance to the centroid).
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bench.dedup_pool import EMBEDDINGS, SCORE

_SEED = 1234
_ELEMENTS = 2**28  # of similarities at once, 1 GiB: what a cluster has more is done in slabs of rows


def dedup(images: np.ndarray, clusters: int, iterations: int) -> np.ndarray:
    """(n,) float32: the highest cosine of each row of images (n, d) float32 with an earlier one in its cluster, 0 without one."""
    kmeans = faiss.Kmeans(images.shape[1], clusters, niter=iterations, spherical=True, seed=_SEED)
    kmeans.train(images)
    nearest = kmeans.index.search(images, 1)[1][:, 0]
    order = np.argsort(nearest, kind="stable")
    bounds = np.searchsorted(nearest[order], np.arange(clusters + 1))
    found = np.zeros(len(images), np.float32)
    for start, end in pairwise(bounds):
        rows = order[start:end]
        if len(rows) > 1:
            found[rows] = _most_similar_earlier(torch.from_numpy(images[rows])).numpy()
    return found


def _most_similar_earlier(rows: torch.Tensor) -> torch.Tensor:
    """(n,): of the similarities of all pairs of rows (n, d), the most that each has with one before it."""
    step = max(1, _ELEMENTS // len(rows))
    return torch.cat([(rows[at : at + step] @ rows.T).tril_(at - 1).amax(dim=1) for at in range(0, len(rows), step)])


def read(metadata: Path) -> tuple[pa.Array, np.ndarray]:
    """Uids and (n, d) float32 images of a folder, higher scores first, then smaller uids."""
    stems = sorted(path.with_suffix("") for path in metadata.glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(stem.with_suffix(".parquet"), columns=["uid", SCORE]) for stem in stems])
    order = table.append_column("row", pa.array(np.arange(len(table)))).sort_by([(SCORE, "descending"), ("uid", "ascending")])
    place = np.empty(len(table), np.int64)  # of each row as it is read
    place[order["row"].to_numpy()] = np.arange(len(table))
    images, at = None, 0
    for stem in stems:
        with np.load(stem.with_suffix(".npz")) as arrays:
            part = arrays[EMBEDDINGS]
        images = np.empty((len(table), part.shape[1]), np.float32) if images is None else images
        images[place[at : at + len(part)]] = part
        at += len(part)
    if images is None:
        raise SystemExit(f"{metadata}: no metadata there")
    return order["uid"].combine_chunks(), images


def main() -> None:
    """Read, find, write."""
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    faiss.omp_set_num_threads(asked["threads"])
    uids, images = read(Path(asked["metadata"]))
    found = dedup(images, asked["clusters"], asked["iterations"])
    pq.write_table(pa.table({"uid": uids, "cosine": found}), asked["out"])


if __name__ == "__main__":
    main()
