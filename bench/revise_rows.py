"""A synthetic release and removal lists for the benchmark of revise: seeded, of realistic sizes, no real data.

In: numbers. Out: a release in bench/.cache, made once, and lists of one kind each, of which a tenth is in the release. A domain
has ten rows on average, some have many; rows stand in the order of a release.
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.places import CACHE
from pipeline.release.data_files import write_data_file
from pipeline.release.layout import Release, write_release
from pipeline.release.sums import sums_of, write_sums
from pipeline.subset_file import write_subset
from schemas.columns import doc_of, unit_of
from schemas.releases import RELEASES, SORT_ORDER
from schemas.subsets import uids_to_array

SEED = 20240521
KINDS = ("uid", "url", "domain", "hash", "content", "phash")
_DOMAIN_ROWS = 10
_WORDS = ("red", "new", "old", "house", "blue", "green", "table", "for", "sale", "vintage", "white", "shoes", "garden", "light")


def release(rows: int, files: int) -> Path:
    """A release of so many rows in so many files, with a subset of half of them."""
    folder = CACHE / f"revise_{SEED}_{rows}_{files}"
    if folder.is_dir():
        return folder
    making = folder.with_suffix(".new")
    shutil.rmtree(making, ignore_errors=True)
    (making / "data").mkdir(parents=True)
    (making / "subsets").mkdir()
    table, data = _table(rows), {}
    for number in range(files):
        part = table.slice(number * (rows // files), rows // files if number < files - 1 else None)
        with (making / "data" / f"{number:05d}.parquet").open("wb") as file:
            data[f"data/{number:05d}.parquet"] = write_data_file(file, table.schema, [part])
    half = table["uid"].to_pylist()[::2]
    write_subset(str(making / "subsets/half.npy"), uids_to_array(half))
    columns = tuple({"name": f.name, "type": str(f.type), "unit": unit_of(f), "doc": doc_of(f)} for f in table.schema)
    subsets = {"subsets/half.npy": len(half)}
    described = Release(name="synthetic", rows=rows, columns=columns, sort_order=SORT_ORDER, data=data, subsets=subsets)
    write_release(str(making), described)
    names = [path.relative_to(making).as_posix() for path in making.rglob("*") if path.is_file()]
    write_sums(str(making), sums_of(str(making), names))
    making.rename(folder)
    return folder


def removal_list(table: pa.Table, kind: str, entries: int, path: Path) -> Path:
    """A list of one kind; `table`: some rows of the release, in any order. A tenth of the entries is theirs."""
    draw = np.random.default_rng([SEED, KINDS.index(kind)])
    hits = min(len(table), entries // 10)
    some = table.take(pa.array(np.sort(draw.choice(len(table), hits, replace=False))))
    others = entries - hits
    if kind == "domain":
        listed = [*some["domain"].to_pylist(), *(f"nobody-{number}.example" for number in range(others))]
    elif kind == "url":
        listed = [*some["url"].to_pylist(), *(f"https://nobody.example/{number}.jpg" for number in range(others))]
    else:
        found = _in_release(some, kind)
        listed = [*found, *_digits(draw, others, len(found[0]))]
    path.write_text("\n".join(listed) + "\n")
    return path


def _in_release(some: pa.Table, kind: str) -> list[str]:
    """The entries that name these rows; a perceptual hash is three bits off."""
    if kind == "hash":
        return [hashlib.sha256(url.encode()).hexdigest() for url in some["url"].to_pylist()]
    if kind == "phash":
        return [f"{int(word, 16) ^ 0b1011:016x}" for word in some["phash"].to_pylist()]
    return list(some["uid" if kind == "uid" else "sha256"].to_pylist())


def _digits(draw: np.random.Generator, count: int, digits: int) -> list[str]:
    text = draw.bytes(count * digits // 2).hex()
    return [text[at : at + digits] for at in range(0, len(text), digits)]


def _table(rows: int) -> pa.Table:
    """All rows, in SORT_ORDER, in those of RELEASES' columns that a scored data set fills."""
    draw = np.random.default_rng(SEED)
    sites = rows // _DOMAIN_ROWS
    site = (draw.random(rows) ** 2 * sites).astype(int)
    words = draw.integers(0, len(_WORDS), (rows, 7))
    domains = [f"images-{number}.example" for number in site.tolist()]
    numbers = range(rows)
    urls = [f"https://cdn{n % 9}.{domain}/media/2024/05/{n:09d}/picture.jpg" for n, domain in zip(numbers, domains, strict=True)]
    texts = [" ".join(_WORDS[word] for word in line) for line in words.tolist()]
    digests = _digits(draw, rows, 64)
    columns = {
        "uid": [hashlib.md5((text + url).encode()).hexdigest() for text, url in zip(texts, urls, strict=True)],
        "url": urls,
        "text": texts,
        "domain": domains,
        "lang": ["en"] * rows,
        "lang_prob": draw.random(rows, np.float32),
        "page_url": [f"https://www.{domain}/articles/{n // 12}.html" for n, domain in zip(numbers, domains, strict=True)],
        "crawl": ["CC-MAIN-2024-22"] * rows,
        "original_width": draw.integers(64, 4000, rows).astype(np.int32),
        "original_height": draw.integers(64, 4000, rows).astype(np.int32),
        "clip_b32_similarity_score": draw.random(rows, np.float32),
        "clip_l14_similarity_score": draw.random(rows, np.float32),
        "sha256": digests,
        "stored_sha256": _digits(draw, rows, 64),
        "phash": _digits(draw, rows, 16),
        "key": [f"{n:09d}" for n in numbers],
        "shard": [f"{n // 10_000:05d}" for n in numbers],
    }
    schema = pa.schema([field for field in RELEASES if field.name in columns])
    table = pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
    return table.sort_by([(name, "ascending") for name in SORT_ORDER])
