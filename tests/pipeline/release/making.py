"""Small releases for tests: real files in the layout that `webpairs release` writes, without a pipeline before them."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.release.data_files import write_data_file
from pipeline.release.layout import Release, write_release
from pipeline.release.sums import sums_of, write_sums
from pipeline.subset_file import write_subset
from schemas.columns import doc_of, unit_of
from schemas.releases import RELEASES, SORT_ORDER
from schemas.subsets import uids_to_array

FETCHED = datetime(2024, 5, 21, tzinfo=UTC)


def uid_of(url, text):
    return hashlib.md5((text + url).encode()).hexdigest()


def row(number, *, domain=None, text=None, **others):
    """One row; five per domain unless a domain is given."""
    domain = domain or f"site{number // 5:03d}.example"
    url, text = f"https://img.{domain}/{number:05d}.jpg", text or f"a picture with the number {number}"
    digest = hashlib.sha256(f"image {number}".encode()).hexdigest()
    made = {
        "uid": uid_of(url, text),
        "url": url,
        "text": text,
        "domain": domain,
        "lang": "en",
        "lang_prob": 0.9,
        "page_url": f"https://www.{domain}/page{number % 3}.html",
        "crawl": "CC-MAIN-2024-22",
        "wat_path": "a.warc.wat.gz",
        "record_offset": 1000 * number,
        "fetched_at": FETCHED,
        "robots": [],
        "opted_out": False,
        "source": "img",
        "original_width": 640,
        "original_height": 480,
        "clip_b32_similarity_score": (number % 40) / 100,
        "sha256": digest,
        "stored_sha256": digest,
        "phash": f"{int(digest[:16], 16):016x}",
        "key": f"{number // 100:05d}{number % 100:04d}",
        "shard": f"{number // 100:05d}",
    }
    return made | others


def make_release(folder, rows, *, file_rows=100, subsets=None, arrays=0, name="small"):
    """A release of these rows below `folder` (a Path): `subsets` name → uids; `arrays`: dimensions of b32_img, 0 for none."""
    folder = Path(folder)
    ordered = sorted(rows, key=lambda each: tuple(each[key] for key in SORT_ORDER))
    data = {}
    for start in range(0, max(len(ordered), 1), file_rows):
        part = ordered[start : start + file_rows]
        path = folder / "data" / f"{start // file_rows:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            data[f"data/{path.name}"] = write_data_file(file, RELEASES, [pa.Table.from_pylist(part, schema=RELEASES)])
        if arrays:
            seeds = [int(each["uid"][:8], 16) for each in part]
            vectors = np.array([np.random.default_rng(seed).normal(size=arrays) for seed in seeds], np.float16).reshape(
                -1, arrays
            )
            np.savez(path.with_suffix(".npz"), b32_img=vectors)
    counts = {}
    for key, uids in (subsets or {}).items():
        (folder / "subsets").mkdir(exist_ok=True)
        write_subset(str(folder / "subsets" / f"{key}.npy"), uids_to_array(list(uids)))
        (folder / "subsets" / f"{key}.json").write_text('{"recipe": "made for a test"}\n')
        counts[f"subsets/{key}.npy"] = len(uids)
    (folder / "README.md").write_text("# small\n")
    columns = tuple({"name": f.name, "type": str(f.type), "unit": unit_of(f), "doc": doc_of(f)} for f in RELEASES)
    described = Release(
        name=name,
        license="cc-by-4.0",
        rows=len(ordered),
        columns=columns,
        sort_order=SORT_ORDER,
        data=data,
        arrays={"b32_img": arrays} if arrays else {},
        subsets=counts,
    )
    write_release(str(folder), described)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    write_sums(str(folder), sums_of(str(folder), names))
    return folder
