"""Small data roots for the release's tests: real files in the layout of the stages, told only by what matters to a test."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest import Manifest, to_json
from pipeline.release import ReleaseConfig
from pipeline.subset_file import write_subset
from schemas.duplicates import DUPLICATES
from schemas.pool import POOL
from schemas.scores import SCORES
from schemas.shards import SHARDS
from schemas.subsets import uids_to_array

FETCHED = datetime(2024, 5, 21, tzinfo=UTC)
DIMENSIONS = 4


def pair(number, **values):
    """One pair as the pool has it; seven per domain unless told otherwise."""
    domain = values.pop("domain", f"site{number * 7919 % 100 // 7:02d}.example")
    url = values.pop("url", f"https://{domain}/{number:05d}.jpg")
    text = values.pop("text", f"picture number {number}")
    made = {
        "uid": hashlib.md5((text + url).encode()).hexdigest(),
        "url": url,
        "text": text,
        "page_url": f"https://{domain}/page",
        "crawl": "CC-MAIN-2024-22",
        "wat_path": "crawl-data/CC-MAIN-2024-22/a.warc.wat.gz",
        "record_offset": 1000 * number,
        "fetched_at": FETCHED,
        "html_lang": "en",
        "robots": [],
        "source": "img",
        "lang": "en" if number % 3 else "de",
        "lang_prob": 0.9,
        "domain": domain,
        "opted_out": False,
        "n_records": 1,
        "sample_rank": number,
    }
    return made | values


def make_root(root, pairs, *, shard_rows=40, arrays=False, subsets=None, failing=5):
    """A root with 3_shards, 4_scores, 4_duplicates (and 5_subsets): of every `failing` pairs the first was not downloaded."""
    root = Path(root)
    for number, start in enumerate(range(0, len(pairs), shard_rows)):
        stem, part = f"{number:05d}", pairs[start : start + shard_rows]
        tried = [_tried(each, stem, place, place % failing != 0) for place, each in enumerate(part)]
        _write(root / "3_shards", stem, tried, SHARDS)
        scored = [_scored(each, number) for each in tried if each["status"] == "success"]
        _write(root / "4_scores", stem, scored, SCORES)
        _write(root / "4_duplicates", stem, [{"uid": each["uid"]} for each in scored], DUPLICATES)
        if arrays:
            vectors = np.array([_vector(each["uid"]) for each in scored], np.float16).reshape(-1, DIMENSIONS)
            np.savez(root / "4_scores" / f"{stem}.npz", b32_img=vectors, b32_txt=-vectors)
    for name, uids in (subsets or {}).items():
        (root / "5_subsets").mkdir(exist_ok=True)
        write_subset(str(root / "5_subsets" / f"{name}.npy"), uids_to_array(list(uids)))
        told = {
            "asked": {"filter": name},
            "config": {"metadata_dir": str(root / "4_scores"), "lists": ["/home/someone/my list.txt"]},
        }
        (root / "5_subsets" / f"{name}.json").write_bytes(to_json(told))
    write_manifest(root, "3_shards", "download", {"pool": str(root / "2_pool")}, rows_in=len(pairs), rows_out=len(uids_of(root)))
    return root


def make_pool(root, pairs, *, file_rows=50):
    """A root with 2_pool alone."""
    for number, start in enumerate(range(0, len(pairs), file_rows)):
        _write(Path(root) / "2_pool", f"part-{number:05d}", pairs[start : start + file_rows], POOL)
    return Path(root)


def write_manifest(root, folder, stage, config, **counts):
    """The account of a stage that ran."""
    made = Manifest(
        stage=stage,
        config={"stage": stage, **config, f"upstream {root}/2_pool": "0123456789abcdef"},
        config_hash="0123456789abcdef",
        versions={"python": "3.11.0", "webpairs": "0.1.0"},
        counts=counts,
        inputs=(),
        parts=(),
        parts_resumed=0,
        facts={},
        started_at="2024-06-01T10:00:00+00:00",
        duration_s=1.0,
        peak_rss_bytes=1,
    )
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "_manifest.json").write_bytes(to_json(made))


def config_of(root, out, **options):
    return ReleaseConfig(root=str(root), out=str(out), **options)


def uids_of(root):
    return [uid for path in sorted((root / "4_scores").glob("*.parquet")) for uid in pq.read_table(path)["uid"].to_pylist()]


def released(out):
    """The rows of a release, in the order of its files."""
    return [row for path in sorted((Path(out) / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def contents(out):
    """The bytes of every released file by relative name: what begins with _ is the stage's own."""
    found = {path.relative_to(out).as_posix(): path for path in sorted(Path(out).rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not any(each.startswith("_") for each in name.split("/"))}


def vector_of(uid):
    return np.array(_vector(uid), np.float16)


def _vector(uid):
    return [int(uid[at : at + 2], 16) / 256 for at in range(0, 2 * DIMENSIONS, 2)]


def _tried(each, stem, place, succeeded):
    told = {name: value for name, value in each.items() if name in SHARDS.names}
    digest = hashlib.sha256(each["uid"].encode()).hexdigest()
    return told | {
        "caption": each["text"],
        "key": f"{stem}{place:04d}",
        "status": "success" if succeeded else "failed_to_download",
        "sha256": digest if succeeded else None,
        "original_width": 640,
        "original_height": 480,
        "width": 256,
        "height": 192,
    }


def _scored(tried, number):
    row = {name: value for name, value in tried.items() if name in SCORES.names}
    return row | {
        "text": tried["caption"],
        "shard": f"{number:05d}",
        "clip_b32_similarity_score": (int(tried["uid"][0], 16)) / 16,
    }


def _write(folder, stem, rows, schema):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{stem}.parquet")
