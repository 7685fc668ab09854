"""Sampled pairs → thumbnails: each image is read from its shard's tar and becomes a small JPEG in a data: URI."""

import base64
import tarfile
import warnings
from collections import defaultdict
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from PIL import Image

from pipeline import io
from pipeline.samples import IMAGE_SUFFIXES, split_name

THUMBNAIL_PX = 144
QUALITY = 70
MOST_PIXELS = 50_000_000  # a stored image is far smaller; more is damage or malice
MOST_BYTES = 64_000_000


def thumbnails(shards: str, rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """A data: URI by uid for the rows (uid, key, shard) whose image can be read; the others are left out.

    Each tar is read once, forwards. A tar or an image that is damaged costs its own thumbnails only. What a row says of its
    shard is never made into a path: it has to be the stem of a tar that is listed in `shards`.
    """
    tars = {io.stem(path): path for path in io.list_files(shards, ".tar")} if io.exists(shards) else {}
    wanted: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        shard, key = row["shard"], row["key"]
        if isinstance(shard, str) and isinstance(key, str) and shard in tars:
            wanted[tars[shard]][key] = row["uid"]
    found: dict[str, str] = {}
    for path in sorted(wanted):
        found.update(_of_shard(path, wanted[path]))
    return found


def thumbnail(data: bytes) -> str | None:
    """A data: URI of a JPEG whose longer side is at most THUMBNAIL_PX, or None where `data` is no readable image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of what it takes for a bomb, and of damaged metadata
            with Image.open(BytesIO(data)) as image:
                if image.width * image.height > MOST_PIXELS:
                    return None
                small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return None
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    written = BytesIO()
    small.save(written, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def _of_shard(path: str, uids: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        with io.open_read(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                key, suffix = split_name(member.name)
                if key in uids and suffix in IMAGE_SUFFIXES and member.isfile() and member.size <= MOST_BYTES:
                    opened = tar.extractfile(member)
                    uri = thumbnail(opened.read()) if opened else None
                    if uri:
                        found[uids[key]] = uri
                if len(found) == len(uids):
                    break
    except (tarfile.TarError, OSError):  # a truncated tar: what was read before the damage is shown
        pass
    return found
