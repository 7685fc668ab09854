"""Pools of distinct URLs on the benchmark's server, as both sides read them: parquet with uid, url and text.

Hosts are as in a pool from the web: few have many URLs and many have one (Zipf), so that under half of the requests find a
connection open. A file is served under several addresses and query strings, so that few files make many URLs.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.download_corpus import Specimen, specimens
from bench.nginx import HOSTS, Server

_WORDS = ("a", "photo", "of", "red", "car", "the", "old", "house", "by", "sea", "2021", "new", "Schloß", "日本")
_WORDS_EACH = 10


def write_pool(folder: Path, corpus: str, scheme: str, server: Server, rows: int) -> Path:
    """A folder with one parquet file of `rows` rows: every file of the corpus in turn, on hosts drawn for each URL."""
    folder.mkdir(parents=True)
    hosts = np.random.default_rng(rows).choice(HOSTS, rows, p=_zipf(HOSTS))
    files = specimens(corpus)
    urls = [
        f"{server.origin(scheme, int(host))}/{files[row % len(files)].name}?n={row // len(files)}"
        for row, host in enumerate(hosts)
    ]
    draw = np.random.default_rng(rows)
    texts = [" ".join(draw.choice(_WORDS, _WORDS_EACH)) for _ in urls]
    uids = [hashlib.md5(url.encode(), usedforsecurity=False).hexdigest() for url in urls]
    pq.write_table(pa.table({"uid": uids, "url": urls, "text": texts}), folder / "part-00000.parquet")
    return folder


def specimen_of(url: str, corpus: str) -> Specimen:
    """The file that a URL of such a pool shows."""
    return specimens(corpus)[int(url.rpartition("/")[2].partition(".")[0])]


def is_first_of_its_file(url: str) -> bool:
    """Whether no earlier URL of the pool shows the same file."""
    return url.endswith("?n=0")


def _zipf(count: int) -> np.ndarray:
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()
