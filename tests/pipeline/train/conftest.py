"""Small shards, drawn here: one coloured square each, its caption naming the colour."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from schemas.subsets import uids_to_array

COLOURS = {"red": (220, 40, 40), "green": (40, 160, 60), "blue": (40, 80, 220), "white": (245, 245, 245)}


def uid_of(number):
    return hashlib.md5(f"pair {number}".encode()).hexdigest()


def picture(number, size=(48, 40)):
    """JPEG bytes of a coloured square on noise; deterministic."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(90, 130, (size[1], size[0], 3)).astype(np.uint8)
    pixels[8:32, 10:34] = list(COLOURS.values())[number % 4]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92)
    return out.getvalue()


def caption(number):
    return f"a {list(COLOURS)[number % 4]} square"


def write_shard(folder, shard, numbers, broken=()):
    """{shard}.tar and .parquet of the pairs `numbers`; those in `broken` hold bytes that are no image."""
    rows = []
    with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
        for position, number in enumerate(numbers):
            key = f"{shard:05d}{position:04d}"
            row = {
                "uid": uid_of(number),
                "key": key,
                "caption": caption(number),
                "url": f"http://a/{number}",
                "status": "success",
            }
            members = {"jpg": b"not an image" if number in broken else picture(number), "txt": row["caption"].encode()}
            for suffix, content in {**members, "json": json.dumps(row).encode()}.items():
                header = tarfile.TarInfo(f"{key}.{suffix}")
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
            rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{shard:05d}.parquet")


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """200 pairs in two shards; number 7 is broken."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder, 0, range(100), broken={7})
    write_shard(folder, 1, range(100, 200))
    return folder


def write_subset(folder, numbers, name="no_filter.npy"):
    """The path of a subset file of the pairs `numbers`."""
    np.save(folder / name, uids_to_array([uid_of(number) for number in numbers]))
    return str(folder / name)


@pytest.fixture
def subset(tmp_path):
    """A function: pair numbers → the path of a subset file."""
    return lambda numbers: write_subset(tmp_path, numbers)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The subset of all pairs, the broken one included."""
    return write_subset(tmp_path_factory.mktemp("subset"), range(200))


@pytest.fixture(scope="session")
def demo_clip():
    """The demo model, untrained."""
    from pipeline.clip import load_clip

    return load_clip("demo", None)
