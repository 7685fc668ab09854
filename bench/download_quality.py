"""How far the stored pictures of two runs on the same pool are from the uncompressed ones, and from each other: PSNR in dB."""

import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow.parquet as pq

from bench.download_corpus import source_pixels
from bench.download_pool import is_first_of_its_file, specimen_of

_SAME_DB = 100.0  # what two equal pictures count as in the mean


class Pair(NamedTuple):
    """One picture, dB: ours and theirs against the source brought to the stored size, and ours against theirs.

    `same_size` is whether both sides stored the same width and height; where not, nothing is compared.
    """

    ours: float
    theirs: float
    between: float
    same_size: bool


def quality(corpus: str, ours: Path, theirs: Path) -> dict[str, float]:
    """Means over the files of a corpus, from two folders of shards of one pool."""
    left, right = dict(stored(ours)), dict(stored(theirs))
    urls = sorted(left.keys() & right.keys())
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as workers:
        jobs = (repeat(corpus), urls, [left[url] for url in urls], [right[url] for url in urls])
        pairs = list(workers.map(_pair, *jobs, chunksize=8))
    alike = [pair for pair in pairs if pair.same_size]
    if not alike:
        raise SystemExit(f"{ours}, {theirs}: no picture of the same size in both")
    own, other, between, _ = np.mean(alike, axis=0).tolist()
    return {
        "images": len(pairs),
        "of_other_size": len(pairs) - len(alike),
        "ours_db": own,
        "theirs_db": other,
        "delta_db": own - other,
        "between_db": between,
    }


def stored(out: Path) -> Iterator[tuple[str, bytes]]:
    """URL and JPEG of the stored pictures, one per file of the corpus."""
    for shard in sorted(out.glob("*.tar")):
        table = pq.read_table(shard.with_suffix(".parquet"), columns=["key", "url"])
        urls = dict(zip(table["key"].to_pylist(), table["url"].to_pylist(), strict=True))
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                file = tar.extractfile(member)
                if ending == "jpg" and file is not None and is_first_of_its_file(urls[key]):
                    yield urls[key], file.read()


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two pictures of one size, values 0 to 255, over all pixels and channels."""
    error = float(np.mean(np.square(one.astype(np.float32) - other.astype(np.float32))))
    return min(_SAME_DB, 10 * float(np.log10(255**2 / error))) if error else _SAME_DB


def _pair(corpus: str, url: str, ours: bytes, theirs: bytes) -> Pair:
    left, right = _decoded(ours), _decoded(theirs)
    if left.shape != right.shape:
        return Pair(0.0, 0.0, 0.0, False)
    reference = source_pixels(specimen_of(url, corpus))
    height, width = left.shape[:2]
    if reference.shape[:2] != (height, width):
        reference = cv2.resize(reference, (width, height), interpolation=cv2.INTER_AREA)
    return Pair(psnr_db(left, reference), psnr_db(right, reference), psnr_db(left, right), True)


def _decoded(jpg: bytes) -> np.ndarray:
    """Pixels as RGB, (height, width, 3) uint8."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
