"""Synthetic candidates and removal lists for the pool's benchmark: seeded, of realistic sizes and repetition, no real data.

In: numbers. Out: files in bench/.cache, made once. Within a file (a WAT) no pair repeats, as `extract` leaves it; across files
about 30 % of the rows are copies. Texts, URLs and provenance have the lengths of real ones; 3 % of the pages opt out.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.places import CACHE
from schemas.candidates import CANDIDATES

SEED = 20240521
_COMMON_SHARE = 0.45  # of a file's rows: pairs that other files have, too
_COMMON_PER_FILE = 0.15  # of the common pairs stand in each file
_HOSTS, _WORDS = 20_000, 30_000
_ROBOTS = [["noai"], ["noindex", "none"], ["noimageindex"], ["noai", "noimageai"]]


def candidates(rows: int, files: int) -> Path:
    """A folder of `files` files with `rows` rows in all."""
    folder = CACHE / f"pool_{SEED}_{rows}_{files}"
    if folder.is_dir():
        return folder
    draw = np.random.default_rng(SEED)
    words = ["".join(draw.choice(list("abcdefghiklmnoprstuvwäéцжшы"), draw.integers(2, 10))) for _ in range(_WORDS)]
    per_file, fresh = rows // files, 0
    common = int(per_file * _COMMON_SHARE / _COMMON_PER_FILE)
    making = folder.with_suffix(".new")
    making.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        shared = draw.choice(common, int(per_file * _COMMON_SHARE), replace=False)
        own = np.arange(fresh, fresh + per_file - len(shared)) + common
        fresh += len(own)
        pairs = draw.permutation(np.concatenate([shared, own]))
        pq.write_table(_table(pairs, number, words, draw), making / f"{number:05d}.parquet", compression="zstd")
    making.rename(folder)
    return folder


def removal_list(entries: int) -> Path:
    """A list of random md5 and sha256 digests, half of each, in hex."""
    path = CACHE / f"removal_{SEED}_{entries}.txt"
    if not path.exists():
        draw = np.random.default_rng(SEED)
        making = path.with_suffix(".new")
        with making.open("w") as file:
            for size in (16, 32):
                for start in range(0, entries // 2, 1_000_000):
                    count = min(1_000_000, entries // 2 - start)
                    digits = draw.bytes(count * size).hex()
                    file.write("\n".join(digits[at : at + 2 * size] for at in range(0, len(digits), 2 * size)) + "\n")
        making.rename(path)
    return path


def _table(pairs: Any, number: int, words: list[str], draw: np.random.Generator) -> pa.Table:
    count = len(pairs)
    texts, urls = zip(*(_pair(int(pair), words) for pair in pairs), strict=True)
    pages = draw.integers(0, count // 12, count)  # about twelve images on a page
    robots: list[list[str]] = [_ROBOTS[page % len(_ROBOTS)] if page % 33 == 0 else [] for page in pages.tolist()]
    day = datetime(2024, 5, 21, tzinfo=UTC).timestamp() * 1e6
    columns = {
        "uid": [hashlib.md5((text + url).encode()).hexdigest() for text, url in zip(texts, urls, strict=True)],
        "url": urls,
        "text": texts,
        "page_url": [
            f"https://www.site-{page % _HOSTS}.example/articles/{number}/{page}/a-page-with-images.html" for page in pages
        ],
        "crawl": ["CC-MAIN-2024-22"] * count,
        "wat_path": [f"crawl-data/CC-MAIN-2024-22/segments/171/wat/CC-MAIN-20240521-{number:05d}.warc.wat.gz"] * count,
        "record_offset": pages * 9000,
        "fetched_at": pa.array((day + pages * 1_000_000.0).astype(np.int64), pa.timestamp("us", "UTC")),
        "html_lang": np.where(pages % 6 == 0, None, "en").tolist(),
        "content_language": [None] * count,
        "license_url": [None] * count,
        "robots": robots,
        "tdm_reserved": [None] * count,
        "source": ["img"] * count,
    }
    arrays = [
        pa.array(columns[f.name], f.type) if not isinstance(columns[f.name], pa.Array) else columns[f.name] for f in CANDIDATES
    ]
    return pa.Table.from_arrays(arrays, schema=CANDIDATES)


def _pair(pair: int, words: list[str]) -> tuple[str, str]:
    """Text and URL of a pair: a function of its number alone, so that copies are equal."""
    digest = hashlib.blake2b(pair.to_bytes(8, "big"), digest_size=32).digest()
    picks = np.frombuffer(digest, np.uint16)
    text = " ".join(words[int(pick) % _WORDS] for pick in picks[: 3 + digest[31] % 8])
    host = int(picks[13]) ** 2 % _HOSTS  # some have many images, most have few
    name = words[int(picks[14]) % _WORDS].encode().hex()
    return text, f"https://cdn{host % 9}.images-{host}.example/media/2024/05/{digest[:6].hex()}/{name}.jpg"
