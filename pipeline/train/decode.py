"""One shard → its images as raw uint8 and its uids and captions: what is decoded once and read by every run."""

import io as bytes_io
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline import io
from pipeline.manifest import InputReport, PartReport
from pipeline.options import StageConfig, option
from pipeline.samples import Dropped, TarReader, pair_of, read_sidecar
from pipeline.stage import Part, PartFolder
from schemas.errors import UserError

_ROWS = pa.schema([pa.field("uid", pa.string(), False), pa.field("text", pa.string(), False)])


@dataclass(frozen=True, kw_only=True)
class DecodeConfig(StageConfig):
    """What decides the decoded images."""

    image_size_px: int = option("side of the square images")


def decode_shard(config: DecodeConfig, part: Part, folder: PartFolder) -> PartReport:
    """Write {shard}.u8, n × (H, W, 3) bytes, and {shard}.rows with uid and text of the same n samples, in the tar's order."""
    (path,) = part.inputs
    sidecar = read_sidecar(path, ("uid", "caption"))
    rows: list[dict[str, str]] = []
    drops: Counter[str] = Counter()
    with io.open_read(path) as file, folder.open(f"{part.name}.u8") as pixels, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of oddities in images that it reads all the same
        reader = TarReader(file)
        for sample in reader:
            pair = pair_of(sample, sidecar.get(sample.key, {}))
            image = None if isinstance(pair, Dropped) else decode_image(pair.image, config.image_size_px)
            if isinstance(pair, Dropped) or image is None:
                drops[f"dropped_{pair.reason}" if isinstance(pair, Dropped) else "dropped_broken_image"] += 1
                continue
            pixels.write(image.tobytes())
            rows.append({"uid": pair.uid, "text": pair.caption})
    if reader.damage and not rows:
        raise UserError(f"{path}: not a readable tar ({reader.damage})")
    with folder.open(f"{part.name}.rows") as file:
        pq.write_table(pa.Table.from_pylist(rows, _ROWS), file)
    total = len(rows) + sum(drops.values())
    status = InputReport(path=path, status="partial" if reader.damage else "ok", error=reader.damage, rows=total)
    return PartReport(name=part.name, counts={"rows_in": total, "rows_out": len(rows), **drops}, inputs=(status,))


def decode_image(content: bytes | None, side_px: int) -> np.ndarray | None:
    """(side, side, 3) uint8: short side resized (bicubic), centre crop; None for what Pillow cannot read.

    The same as open_clip's evaluation transform up to its normalisation, but for palette images: those it resizes before their
    colours are looked up, hence without interpolation.
    """
    try:
        with Image.open(bytes_io.BytesIO(content or b"")) as opened:
            image = opened.convert("RGB")
    except Exception:  # noqa: BLE001 - whatever Pillow's decoders raise on hostile bytes, the sample is counted and left out
        return None
    width, height = image.size
    short = min(width, height)
    size = (int(side_px * width / short), int(side_px * height / short))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - side_px) / 2), round((size[1] - side_px) / 2)
    return np.asarray(image.crop((left, top, left + side_px, top + side_px)))
