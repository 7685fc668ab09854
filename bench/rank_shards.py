"""Pairs → shards in img2dataset's layout as `download` leaves them, and truth.parquet; the real pairs are read here, too."""

import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.rank_noise import Pair
from pipeline.pool.language import identify
from pipeline.samples import made_uid
from pipeline.subset_file import write_subset
from schemas.shards import SHARDS
from schemas.subsets import uids_to_array

_PAIRS_PER_SHARD = 2000
_CARRIED = ("uid", "page_url", "lang", "lang_prob", "opted_out")
_COLUMNS = ("url", "text", "lang", "label", "source", "path", "orig_w", "orig_h", "extra", "jpg")
# Tiny-ImageNet is ImageNet made small; with the 64 px that it has, rules for pictures of web pages would drop all of it.
_ENLARGED = {"tinyimagenet": 4}
TRUTH = pa.schema(
    [
        ("uid", pa.string()),
        ("url", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("kind", pa.string()),
        ("original_text", pa.string()),
        ("copy_of", pa.string()),
        ("is_good", pa.bool_()),
    ]
)


def read_pairs(folder: Path, *, first: int, count: int) -> list[Pair]:
    """`count` real pairs from number `first` on, in the order of the files, which is random over their sources."""
    rows, passed = [], 0
    for path in sorted(folder.glob("train-*.parquet")):
        table = pq.read_table(path, columns=list(_COLUMNS))
        rows += table.slice(max(0, first - passed), max(0, first + count - max(first, passed))).to_pylist()
        passed += table.num_rows
        if passed >= first + count:
            break
    return [_pair(row) for row in rows[:count]]


def texts_in_other_languages(folder: Path) -> list[str]:
    """Texts that are not English: the captions of all such pairs, those that are no pair's text among them. Sorted."""
    found = set()
    for path in sorted(folder.glob("train-*.parquet")):
        for row in pq.read_table(path, columns=["text", "lang", "extra"]).to_pylist():
            if row["lang"] != "en":
                found |= {row["text"], *json.loads(row["extra"] or "{}").get("captions", [])}
    return sorted(found)


def _pair(row: dict[str, Any]) -> Pair:
    larger = _ENLARGED.get(row["source"], 1)
    return Pair(
        url=row["url"],
        text=row["text"],
        lang=row["lang"],
        group=row["label"],
        source=row["source"],
        path=row["path"],
        size_px=(larger * row["orig_w"], larger * row["orig_h"]),
        image=row["jpg"],
    )


def write_shards(folder: Path, pairs: Sequence[Pair]) -> list[str]:
    """Write the pairs as shards; their uids. Languages are what the pool's own model says, not what the source does."""
    folder.mkdir(parents=True, exist_ok=True)
    langs, probabilities = identify([pair.text for pair in pairs])
    uids = []
    for shard, start in enumerate(range(0, len(pairs), _PAIRS_PER_SHARD)):
        piece = slice(start, start + _PAIRS_PER_SHARD)
        uids += _write_shard(folder, shard, pairs[piece], list(zip(langs[piece], probabilities[piece], strict=True)))
    return uids


def _write_shard(folder: Path, shard: int, pairs: Sequence[Pair], langs: Sequence[tuple[Any, Any]]) -> list[str]:
    from pipeline.download.layout import key_of, members, sidecar_schema, stats, write_tar
    from pipeline.download.outcomes import SUCCESS

    started = time.time()
    rows = [
        _row(pair, key_of(shard, number, _PAIRS_PER_SHARD)) | {"status": SUCCESS, "lang": lang, "lang_prob": probability}
        for number, (pair, (lang, probability)) in enumerate(zip(pairs, langs, strict=True))
    ]
    table = pa.Table.from_pylist(rows, schema=sidecar_schema([SHARDS.field(name) for name in _CARRIED]))
    with (folder / f"{shard:05d}.tar").open("wb") as file:
        write_tar(file, members(table, "jpg", [pair.image for pair in pairs]))
    pq.write_table(table, folder / f"{shard:05d}.parquet")
    told = stats(Counter({(SUCCESS, None): len(pairs)}), started, time.time())
    (folder / f"{shard:05d}_stats.json").write_text(json.dumps(told, indent=4))
    return [row["uid"] for row in rows]


def _row(pair: Pair, key: str) -> dict[str, Any]:
    with Image.open(io.BytesIO(pair.image)) as image:
        width, height = image.size
    return {
        "uid": made_uid(pair.text, pair.url),
        "page_url": f"https://{pair.source}.example/{key}.html",
        "opted_out": False,
        "caption": pair.text,
        "url": pair.url,
        "key": key,
        "error_message": None,
        "width": width,
        "height": height,
        "original_width": pair.size_px[0],
        "original_height": pair.size_px[1],
        "exif": "{}",
        "sha256": hashlib.sha256(pair.image).hexdigest(),
    }


def write_truth(path: Path, pairs: Sequence[Pair], uids: Sequence[str]) -> None:
    """What is true of each pair, under its uid."""
    rows = [
        {"uid": uid, **{name: getattr(pair, name) for name in TRUTH.names[1:]}} for uid, pair in zip(uids, pairs, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=TRUTH), path)


def write_uids(path: Path, uids: Sequence[str]) -> None:
    """A subset file of these uids, beside which nothing says how it was made: no filter made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_subset(str(path), uids_to_array(list(uids)))
