"""A clean set of pairs, other scenes than the web's, as shards: on it the demo trains the CLIP that scores the web's pairs."""

import hashlib
import io as streams
import json
import time
from collections import Counter
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.demo.captions import caption
from pipeline.demo.scenes import draw, sample_scene
from pipeline.samples import made_uid
from pipeline.subset_file import write_subset
from schemas.shards import SHARDS
from schemas.subsets import uids_to_array

SUBSET_NAME = "seed.npy"
_SHORT_SIDE_PX = 112
_PAIRS_PER_SHARD = 1000
_CARRIED = ("uid",)


def write_seed_set(folder: str, pairs: int, seed: int) -> str:
    """Write `pairs` pairs to `folder`/shards and the subset of all their uids to `folder`/seed.npy; the subset's path."""
    io.make_folder(f"{folder}/shards")
    rng, uids = Random(f"seed set {seed}"), []
    for shard, start in enumerate(range(0, pairs, _PAIRS_PER_SHARD)):
        uids += _write_shard(f"{folder}/shards", shard, min(_PAIRS_PER_SHARD, pairs - start), rng)
    path = f"{folder}/{SUBSET_NAME}"
    write_subset(path, uids_to_array(uids))
    return path


def _write_shard(folder: str, shard: int, pairs: int, rng: Random) -> list[str]:
    """One shard in the layout that download writes (tar, sidecar, stats); the uids in it."""
    from pipeline.download.layout import key_of, members, sidecar_schema, stats, write_tar
    from pipeline.download.outcomes import SUCCESS

    started, rows, images = time.time(), [], []
    for number in range(pairs):
        jpg, width, height, text = _make_pair(rng)
        rows.append(_sample(jpg, width, height, text, key_of(shard, number, _PAIRS_PER_SHARD)) | {"status": SUCCESS})
        images.append(jpg)
    table = pa.Table.from_pylist(rows, schema=sidecar_schema([SHARDS.field(name) for name in _CARRIED]))
    with io.atomic_write(f"{folder}/{shard:05d}.tar") as file:
        write_tar(file, members(table, "jpg", images))
    with io.atomic_write(f"{folder}/{shard:05d}.parquet") as file:
        pq.write_table(table, file)
    with io.atomic_write(f"{folder}/{shard:05d}_stats.json") as file:
        file.write(json.dumps(stats(Counter({(SUCCESS, None): pairs}), started, time.time()), indent=4).encode())
    return [row["uid"] for row in rows]


def _make_pair(rng: Random) -> tuple[bytes, int, int, str]:
    """JPEG bytes, width and height in px, and the caption of a random scene, in the aspects that the web's pictures have."""
    scene = sample_scene(rng)
    width, height = round(_SHORT_SIDE_PX * rng.choice((1.0, 1.0, 4 / 3, 3 / 2, 16 / 9))), _SHORT_SIDE_PX
    if rng.random() < 0.3:
        width, height = height, width
    return encode_jpeg(draw(scene, width, height)), width, height, caption(scene, rng)


def encode_jpeg(image: Any) -> bytes:
    """A PIL picture as JPEG of quality 92."""
    target = streams.BytesIO()
    image.save(target, "JPEG", quality=92)
    return target.getvalue()


def _sample(jpg: bytes, width: int, height: int, text: str, key: str) -> dict[str, Any]:
    url = f"http://seed.example/{key}.jpg"
    return {
        "uid": made_uid(text, url),
        "caption": text,
        "url": url,
        "key": key,
        "error_message": None,
        "width": width,
        "height": height,
        "original_width": width,
        "original_height": height,
        "exif": "{}",
        "sha256": hashlib.sha256(jpg).hexdigest(),
    }
