"""Shards in img2dataset's layout for the score benchmark: synthetic pictures, real alt texts; made once in bench/.cache.

In: a kind of picture and a number of pairs. Out: a folder of tars, each with its parquet and its stats, as the downloader leaves
them. Pictures are JPEGs of quality 95 that repeat (nothing here keeps what it has decoded); texts do not, as far as they reach.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.download_picture import picture
from bench.places import CACHE, digest_of, shared

_ASPECTS = (1.0, 1.25, 4 / 3, 1.5, 1.78, 0.8, 0.75, 0.667)  # width ÷ height, as in the download benchmark
_DETAIL, _QUALITY = 4.0, 95
_WORDS = ("a", "photo", "of", "red", "car", "the", "old", "house", "by", "sea", "2021", "new", "Schloß", "日本")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of picture: what it is, how many different ones there are, and its size by width ÷ height, px."""

    number: int
    meaning: str
    pictures: int
    pixels: int = 0  # of the whole picture
    short_side: int = 0

    def size(self, aspect: float) -> tuple[int, int]:
        """Width and height, px."""
        short = self.short_side or (self.pixels * min(aspect, 1 / aspect)) ** 0.5
        long = short * max(aspect, 1 / aspect)
        return (round(long), round(short)) if aspect >= 1 else (round(short), round(long))


KINDS = {
    "web": Kind(number=1, meaning="0.43 megapixels, as the web serves them", pictures=256, pixels=430_000),
    "256": Kind(number=2, meaning="short side 256 px, as a downloader resizes them", pictures=256, short_side=256),
    "32": Kind(number=3, meaning="short side 32 px", pictures=64, short_side=32),
}


def shards(kind: str, pairs: int, count: int) -> Path:
    """A folder with `pairs` pairs in `count` tars of equal size (give or take one), made where it is not there yet."""
    made_by = "".join(digest_of(Path(__file__).with_name(name))[:6] for name in ("download_picture.py", "score_shards.py"))
    folder = CACHE / f"score_{kind}_{pairs}_{count}_{texts()[1]}_{made_by}"
    if folder.is_dir():
        return folder
    print(f"making {folder}: {pairs:,} pairs in {count} shards, {KINDS[kind].meaning}", flush=True)
    making = folder.with_suffix(".new")
    making.mkdir(parents=True, exist_ok=True)
    pictures, numbers = _pictures(kind), np.array_split(np.arange(pairs), count)
    for shard, rows in enumerate(numbers):
        write_shard(making, shard, rows.tolist(), pictures)
    return making.rename(folder)


@cache
def texts() -> tuple[tuple[str, ...], str]:
    """Distinct captions and what they are: "real" alt texts of the shared data's pages, "synthetic" where that is absent."""
    try:
        golden = shared("wat", "bench_base.warc.golden.parquet")
    except SystemExit:
        draw = np.random.default_rng(1)
        lengths = np.minimum(60, np.rint(np.exp(draw.normal(1.8, 0.9, 10_000)))).astype(int) + 1  # words, about as real ones
        return tuple(f"{' '.join(draw.choice(_WORDS, length))} {row}" for row, length in enumerate(lengths)), "synthetic"
    found = pq.read_table(golden, columns=["text"])["text"].to_pylist()
    distinct = sorted({text.strip() for text in found} - {""})
    order = np.random.default_rng(2).permutation(len(distinct))
    return tuple(distinct[at] for at in order), "real"


def write_shard(folder: Path, number: int, rows: Sequence[int], pictures: Sequence[bytes]) -> None:
    """NNNNN.tar with jpg, json and txt per row, its parquet and its stats; a row's picture and text follow from its number."""
    name, captions = f"{number:05d}", texts()[0]
    told = [
        _row(f"{name}{at:04d}", row, captions[row % len(captions)], pictures[row % len(pictures)]) for at, row in enumerate(rows)
    ]
    with tarfile.open(folder / f"{name}.tar", "w") as tar:
        for row, one in zip(rows, told, strict=True):
            _add(tar, f"{one['key']}.jpg", pictures[row % len(pictures)])
            _add(tar, f"{one['key']}.json", json.dumps(one, indent=4).encode())
            _add(tar, f"{one['key']}.txt", str(one["caption"]).encode())
    pq.write_table(pa.Table.from_pylist(told), folder / f"{name}.parquet")
    stats = {"count": len(rows), "successes": len(rows), "failed_to_download": 0, "failed_to_resize": 0}
    (folder / f"{name}_stats.json").write_text(json.dumps(stats))


def _row(key: str, number: int, caption: str, jpeg: bytes) -> dict[str, object]:
    url = f"https://host{number % 997}.example/{number}.jpg"
    width, height = _size_of(jpeg)
    return {
        "uid": hashlib.md5(url.encode(), usedforsecurity=False).hexdigest(),
        "caption": caption,
        "url": url,
        "key": key,
        "status": "success",
        "error_message": None,
        "width": width,
        "height": height,
        "original_width": width,
        "original_height": height,
        "exif": "{}",
        "sha256": hashlib.sha256(jpeg).hexdigest(),
    }


@cache
def _size_of(jpeg: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(jpeg)).size


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))


def _pictures(kind: str) -> list[bytes]:
    count = KINDS[kind].pictures
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as workers:
        return list(workers.map(encoded, repeat(kind), range(count), chunksize=8))


def encoded(kind: str, number: int) -> bytes:
    """The JPEG of that number, always the same."""
    width, height = KINDS[kind].size(_ASPECTS[number % len(_ASPECTS)])
    pixels = picture((KINDS[kind].number, number), width, height, _DETAIL)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
