"""A synthetic release for the benchmark of `lookup`: seeded, of realistic lengths and site sizes, no real data.

In: a number of rows. Out: a release's folder in bench/.cache, made once, in several processes. Sites have sizes by Zipf's law:
the largest holds a twentieth of all rows, most hold a few. One row in twelve is marked as a copy of another.
"""

import hashlib
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.places import CACHE
from pipeline.release.data_files import write_data_file
from pipeline.release.layout import Release, write_release
from pipeline.subset_file import write_subset
from schemas.releases import LEDGERS, RELEASES, SORT_ORDER
from schemas.subsets import sort_rows, uid_rows

SEED = 20240521
FILE_ROWS = 1_000_000
_ROWS_PER_SITE, _WORDS, _LEDGER_ROWS = 20, 20_000, 100_000
_LARGEST_SHARE, _COPIES_SHARE = 0.05, 1 / 12
_DAY_US = 1_716_249_600_000_000  # 2024-05-21
_LICENSES = [None, "https://creativecommons.org/licenses/by/4.0/", "https://creativecommons.org/licenses/by-sa/3.0/"]
_SUBSETS = {"first_tenth": 0.1, "first_third": 1 / 3}


@dataclass(frozen=True)
class Sites:
    """Names, ascending, and the row at which each begins (one more than there are sites)."""

    names: list[str]
    starts: np.ndarray

    @property
    def largest(self) -> int:
        """The number of the site with the most rows."""
        return int(np.argmax(np.diff(self.starts)))


def release_of(rows: int, processes: int) -> Path:
    """The folder of a release with `rows` rows."""
    folder = CACHE / f"release_{SEED}_{rows}"
    if folder.is_dir():
        return folder
    making = folder.with_suffix(".new")
    for name in ("data", "subsets", "ledger"):
        (making / name).mkdir(parents=True, exist_ok=True)
    jobs = [(str(making), number, rows) for number in range(-(-rows // FILE_ROWS))]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        data = dict(pool.starmap(_write_file, jobs))
    subsets = dict(_write_subsets(making))
    gone = [hashlib.sha256(hashlib.md5(f"gone {n}".encode()).hexdigest().encode()).hexdigest() for n in range(_LEDGER_ROWS)]
    listed = {"uid_sha256": sorted(gone), "reason": ["domain"] * len(gone), "list_sha256": ["0" * 64] * len(gone)}
    pq.write_table(pa.table(listed, LEDGERS), making / "ledger" / "00002.parquet")
    removed = ({"revision": 2, "rows": len(gone), "domain": len(gone)},)
    write_release(
        str(making),
        Release(name="synthetic", revision=2, rows=rows, sort_order=SORT_ORDER, data=data, subsets=subsets, removed=removed),
    )
    making.rename(folder)
    return folder


def sites_of(rows: int) -> Sites:
    """The sites of a release with `rows` rows."""
    draw = np.random.default_rng(SEED)
    words, count = words_of(draw), max(2, rows // _ROWS_PER_SITE)
    picks = draw.integers(0, len(words), (count, 2)).tolist()
    ends = np.array(["com", "org", "net", "de", "co.uk", "ru", "com.br", "fr"])[draw.integers(0, 8, count)].tolist()
    names = sorted({f"{words[a]}-{words[b]}{n % 100}.{end}" for n, ((a, b), end) in enumerate(zip(picks, ends, strict=True))})
    weights = 1 / np.arange(2, len(names) + 1) ** 0.9
    sizes = np.append(_LARGEST_SHARE, (1 - _LARGEST_SHARE) * weights / weights.sum())
    starts = np.append(0, np.round(np.cumsum(draw.permutation(sizes)) * rows)).astype(np.int64)
    return Sites(names, starts)


def words_of(draw: np.random.Generator) -> list[str]:
    """Made-up words of two to nine letters, the same for the same draw."""
    letters = np.array(list("eeeeaaaiiioootttnnnsssrrrhlldcumfpgwybvk"))
    return ["".join(letters[draw.integers(0, len(letters), size)]) for size in draw.integers(2, 10, _WORDS).tolist()]


def _write_file(folder: str, number: int, rows: int) -> tuple[str, int]:
    """Name and rows of data file `number`, when it stands."""
    name = f"data/{number:05d}.parquet"
    first, last = number * FILE_ROWS, min(rows, (number + 1) * FILE_ROWS)
    with (Path(folder) / name).open("wb") as file:
        return name, write_data_file(file, RELEASES, [_table(sites_of(rows), first, last)])


def _table(sites: Sites, first: int, last: int) -> pa.Table:
    """Rows first to last, in SORT_ORDER: a site's URLs ascend by row number."""
    draw = np.random.default_rng(SEED + 1 + first)
    words = words_of(np.random.default_rng(SEED))
    numbers = np.arange(first, last)
    at = (np.searchsorted(sites.starts, numbers, side="right") - 1).tolist()
    domains = [sites.names[site] for site in at]
    count = len(numbers)
    hosts = [
        f"{chr(97 + 4 * (row - start) // size)}.img.{name}" for row, start, size, name in _within(sites, at, numbers, domains)
    ]
    picks = draw.integers(0, len(words), (count, 14)).tolist()
    lengths = draw.integers(3, 13, count).tolist()
    texts = [" ".join(words[word] for word in pick[:length]) for pick, length in zip(picks, lengths, strict=True)]
    urls = [
        f"https://{host}/media/{row:010d}/{words[pick[0]]}-{words[pick[12]]}-{words[pick[13]]}_{pick[11] % 2048}x{pick[10]}.jpg"
        for host, row, pick in zip(hosts, numbers.tolist(), picks, strict=True)
    ]
    uids = [hashlib.md5((text + url).encode()).hexdigest() for text, url in zip(texts, urls, strict=True)]
    pages = [
        f"https://www.{name}/{words[row // 4 % len(words)]}/{row // 4}/a-page-with-{words[row // 28 % len(words)]}.html"
        for name, row in zip(domains, numbers.tolist(), strict=True)
    ]
    columns = {"uid": uids, "url": urls, "text": texts, "domain": domains, "page_url": pages} | _others(draw, numbers, uids)
    arrays = [_array(columns.get(field.name), field, count) for field in RELEASES]
    return pa.Table.from_arrays(arrays, schema=RELEASES)


def _within(sites: Sites, at: list[int], numbers: np.ndarray, domains: list[str]) -> Iterator[tuple[int, int, int, str]]:
    """Row number, first row and rows of its site, name of its site."""
    starts, sizes = sites.starts[at].tolist(), np.diff(sites.starts)[at].tolist()
    return zip(numbers.tolist(), starts, sizes, domains, strict=True)


def _others(draw: np.random.Generator, numbers: np.ndarray, uids: list[str]) -> dict[str, Any]:
    """Provenance, scores, hashes and duplicates."""
    count = len(uids)
    digests = draw.bytes(count * 32).hex()
    sha256 = [digests[at : at + 64] for at in range(0, len(digests), 64)]
    copies = np.flatnonzero(draw.random(count) < _COPIES_SHARE)
    of: list[str | None] = [None] * count
    for copy, original in zip(copies.tolist(), draw.integers(0, count, len(copies)).tolist(), strict=True):
        of[copy] = uids[original]
    cosine = pa.array(draw.random(count).astype(np.float32), mask=np.isin(np.arange(count), copies, invert=True))
    return {
        "lang": np.array(["en", "de", "ru", "fr"])[draw.integers(0, 4, count)].tolist(),
        "lang_prob": draw.random(count).astype(np.float32),
        "crawl": ["CC-MAIN-2024-22"] * count,
        "wat_path": [
            f"crawl-data/CC-MAIN-2024-22/segments/1715971/wat/CC-MAIN-20240521-{file:05d}.warc.wat.gz"
            for file in (numbers % 9000).tolist()
        ],
        "record_offset": draw.integers(0, 1 << 30, count),
        "fetched_at": pa.array(_DAY_US + draw.integers(0, 10**12, count)).cast(pa.timestamp("us", "UTC")),
        "license_url": [_LICENSES[pick] for pick in np.minimum(2, draw.geometric(0.9, count) - 1).tolist()],
        "robots": [[]] * count,
        "opted_out": [False] * count,
        "source": ["img"] * count,
        "original_width": draw.integers(64, 4000, count),
        "original_height": draw.integers(64, 4000, count),
        "clip_b32_similarity_score": draw.normal(0.25, 0.06, count).astype(np.float32),
        "clip_l14_similarity_score": draw.normal(0.22, 0.05, count).astype(np.float32),
        "sha256": sha256,
        "stored_sha256": sha256,
        "phash": [digest[:16] for digest in sha256],
        "key": [f"{number:09d}" for number in numbers.tolist()],
        "shard": [f"{number:05d}" for number in (numbers // 10_000).tolist()],
        "dup_of": of,
        "dup_cos": cosine,
    }


def _array(values: Any, field: pa.Field, count: int) -> pa.Array:
    """A column of RELEASES; without values one of nulls, or of empty strings where it has none."""
    if values is None:
        return pa.nulls(count, field.type) if field.nullable else pa.array([""] * count, field.type)
    return pa.array(values).cast(field.type)


def _write_subsets(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and entries of each subset: the smallest uids, of the smaller one a thousand of them twice."""
    files = sorted((folder / "data").glob("*.parquet"))
    uids = np.concatenate([uid_rows(pq.read_table(path, columns=["uid"])["uid"].combine_chunks()) for path in files])
    uids = sort_rows(uids)
    for name, share in _SUBSETS.items():
        kept = uids[: int(len(uids) * share)]
        kept = np.sort(np.concatenate([kept, kept[:1000]]), order=("f0", "f1")) if len(kept) < 2_000_000 else kept
        write_subset(str(folder / "subsets" / f"{name}.npy"), kept)
        yield f"subsets/{name}.npy", len(kept)
