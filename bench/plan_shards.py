"""Bytes beside the pictures in shards and scores; CPU of a URL that fails, of a sample that is resharded."""

import hashlib
import math
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.download_corpus import folder_of, specimens
from bench.nginx import Server, nginx
from bench.places import REPOSITORY
from bench.plan_rows import rows_and_bytes, webpairs
from bench.result import Figure
from bench.score_models import SMALLEST
from bench.score_sides import ONE_THREAD
from bench.score_sides import webpairs as scoring
from bench.tree import cost_of
from pipeline.subset_file import write_subset
from schemas.subsets import uids_to_array

_ROWS, _PER_SHARD, _FEW, _LINKS = 4000, 1000, 40, 12


def download_figures(root: Path) -> list[Figure]:
    """`download` of the LAION-sized corpus with real pages' provenance into root/3_shards; and of URLs that nobody serves."""
    with nginx(folder_of("laion")) as server:
        _download(root, _pool(root, "served", _ROWS, server, "laion"), "3_shards")
        few, many = (
            _download(root, _pool(root, f"gone {rows}", rows, server, None), f"none of {rows}") for rows in (_FEW, _ROWS)
        )
    rows, size = rows_and_bytes(root / "3_shards")
    return [
        Figure(key="tar_bytes_beside", value=_beside(root / "3_shards"), meaning="bytes of a tar per pair besides the picture"),
        Figure(key="shards_parquet_bytes_per_row", value=size / rows, meaning="sidecar parquet of shards per row, failed or not"),
        Figure(
            key="failed_url_ms",
            value=1e3 * (many - few) / (_ROWS - _FEW),
            meaning="CPU ms of a URL that answers 404 over HTTP, start-up left out",
        ),
    ]


def _pool(root: Path, name: str, rows: int, server: Server, corpus: str | None) -> Path:
    """A pool of real pages' rows whose URLs are the server's: files of the corpus, or none."""
    found = _rows(root / "2_pool").slice(0, rows)
    files = [specimen.name for specimen in specimens(corpus)] if corpus else ["gone.jpg"]
    urls = [f"{server.origin('http', row % 997)}/{files[row % len(files)]}?n={row}" for row in range(found.num_rows)]
    uids = [
        hashlib.md5((text + url).encode(), usedforsecurity=False).hexdigest()
        for text, url in zip(found["text"].to_pylist(), urls, strict=True)
    ]
    for column, values in (("url", urls), ("uid", uids)):
        found = found.set_column(found.schema.get_field_index(column), found.schema.field(column), pa.array(values))
    folder = root / f"pool {name}"
    folder.mkdir()
    pq.write_table(found, folder / "part-00000.parquet")
    return folder


@contextmanager
def pool_on(root: Path, name: str, rows: int, corpus: str) -> Iterator[Path]:
    """Such a pool, while its server runs."""
    with nginx(folder_of(corpus)) as server:
        yield _pool(root, name, rows, server, corpus)


def _rows(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def _download(root: Path, pool: Path, out: str) -> float:
    words = ("--pool", str(pool), "--out", str(root / out), "--samples-per-shard", str(_PER_SHARD))
    more = ("--allow-private-addresses", "--tolerate-failed", "1", "--retries", "0")
    return webpairs(root, "download", *words, *more).total_s


def _beside(shards: Path) -> float:
    """Bytes of the tars less those of their pictures, per picture."""
    whole = pictures = count = 0
    for path in shards.glob("*.tar"):
        whole += path.stat().st_size
        with tarfile.open(path) as tar:
            sizes = [member.size for member in tar if member.name.endswith(".jpg")]
        pictures += sum(sizes)
        count += len(sizes)
    return (whole - pictures) / count


def score_figures(root: Path) -> list[Figure]:
    """`score` of root/3_shards with a model that costs nothing into root/4_scores; exact duplicates."""
    side = scoring("ours")
    cost_of(
        side.command(root / "3_shards", root / "4_scores", SMALLEST), folder=REPOSITORY, log=root / "score.log", env=ONE_THREAD
    )
    rows, size = rows_and_bytes(root / "4_scores")
    arrays = 0
    for path in (root / "4_scores").glob("*.npz"):
        with np.load(path) as found:
            arrays += path.stat().st_size - sum(found[name].nbytes for name in found.files)
    webpairs(root, "dedup", "--by", "exact", "--metadata", str(root / "4_scores"), "--out", str(root / "4_duplicates"))
    _, duplicates = rows_and_bytes(root / "4_duplicates")
    shards = len(list((root / "4_scores").glob("*.npz")))
    return [
        Figure(key="scores_bytes_per_row", value=size / rows, meaning="parquet of scores per row, one model"),
        Figure(key="npz_bytes_per_shard", value=arrays / shards, meaning="bytes of an .npz besides its two arrays"),
        Figure(key="duplicates_bytes_per_row", value=duplicates / rows, meaning="parquet that dedup writes, per row"),
    ]


def reshard_figures(root: Path) -> list[Figure]:
    """`reshard` of root/3_shards several times over, once keeping a third and once nothing: what reading and writing cost."""
    uids = sorted(_rows(root / "4_scores")["uid"].to_pylist())
    rows = len(uids)
    third = uids[: math.ceil(rows / 3)]
    read = (_resharded(root, [], _LINKS) - _resharded(root, [], 1)) / (rows * (_LINKS - 1))
    kept = (_resharded(root, third, _LINKS) - _resharded(root, third, 1)) / (rows * (_LINKS - 1))
    return [
        Figure(key="reshard_read_us", value=1e6 * read, meaning="CPU µs of a sample that is looked at and not chosen"),
        Figure(
            key="reshard_write_us",
            value=1e6 * (kept - read) * rows / len(third),
            meaning="further CPU µs of a sample that is chosen",
        ),
    ]


def _resharded(root: Path, uids: list[str], times: int) -> float:
    folder = root / f"{times} times {len(uids)}"
    (folder / "in").mkdir(parents=True)
    for number, path in enumerate(sorted((root / "3_shards").glob("*.tar")) * times):
        (folder / "in" / f"{number:05d}.tar").hardlink_to(path)
    write_subset(str(folder / "subset.npy"), uids_to_array(uids))
    words = ("-i", str(folder / "in"), "-o", str(folder / "out"), "-s", str(folder / "subset.npy"), "-q")
    return webpairs(root, "reshard", *words).total_s
