"""A sample → its row and pixels, or the reason why it cannot be scored."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from PIL import Image

from pipeline.score.phash import phash
from pipeline.score.rows import clean, parse_json, told_columns, uid_of
from pipeline.score.samples import Sample

_IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")

Preprocess = Callable[[Any], torch.Tensor]


@dataclass(frozen=True)
class Decoded:
    """A sample that can be scored: its columns without the score, and its pixels, (3, H, W) float32."""

    columns: dict[str, Any]
    pixels: torch.Tensor


@dataclass(frozen=True)
class Dropped:
    """A sample that cannot, and why."""

    key: str
    reason: str


def decode_batches(
    samples: Iterable[Sample], told: Mapping[str, Mapping[str, Any]], preprocess: Preprocess, *, pool: Executor, size: int
) -> Iterator[list[Decoded | Dropped]]:
    """Lists of at most `size` samples, in order; while the caller works on one, the pool decodes the next."""
    source = iter(samples)
    ahead: list[Future[Decoded | Dropped]] = []
    while True:
        coming = [pool.submit(decode, sample, told.get(sample.key, {}), preprocess) for sample in islice(source, size)]
        if ahead:
            yield [future.result() for future in ahead]
        if not coming:
            return
        ahead = coming


def decode(sample: Sample, told: Mapping[str, Any], preprocess: Preprocess) -> Decoded | Dropped:
    """Decode one sample; `told` is its row of the sidecar, which its json completes."""
    told = {**told, **{name: value for name, value in parse_json(sample.members.get("json")).items() if value is not None}}
    uid, caption = uid_of(told), _caption(sample, told)
    suffix = next((suffix for suffix in _IMAGES if suffix in sample.members), None)
    if suffix is None:
        return Dropped(sample.key, "no_image")
    if caption is None:
        return Dropped(sample.key, "no_caption")
    if uid is None:
        return Dropped(sample.key, "no_uid")
    content = sample.members[suffix]
    if content is None:
        return Dropped(sample.key, "too_large_image")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            seen = {"width": image.width, "height": image.height, "phash": phash(image)}
            pixels = preprocess(image)
    except Exception:  # noqa: BLE001 - Pillow's decoders raise anything from OSError to struct.error on a broken image
        return Dropped(sample.key, "broken_image")
    return Decoded({"uid": uid, "text": caption, "key": sample.key, **told_columns(told), **seen}, pixels)


def _caption(sample: Sample, told: Mapping[str, Any]) -> str | None:
    text = sample.members.get("txt")
    return text.decode("utf-8", "replace") if text is not None else clean(told.get("caption"))
