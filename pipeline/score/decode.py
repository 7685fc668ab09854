"""A sample → its row and pixels, or the reason why it cannot be scored."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from PIL import Image

from pipeline.samples import Dropped, Sample, pair_of
from pipeline.score.phash import phash
from pipeline.score.rows import told_columns

Preprocess = Callable[[Any], torch.Tensor]


@dataclass(frozen=True)
class Decoded:
    """A sample that can be scored: its columns without the score, and its pixels, (3, H, W) float32."""

    columns: dict[str, Any]
    pixels: torch.Tensor


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


def decode(sample: Sample, beside: Mapping[str, Any], preprocess: Preprocess) -> Decoded | Dropped:
    """Decode one sample; `beside` is its row of the sidecar."""
    pair = pair_of(sample, beside)
    if isinstance(pair, Dropped):
        return pair
    try:
        with Image.open(io.BytesIO(pair.image)) as image:
            image.load()
            seen = {"width": image.width, "height": image.height, "phash": phash(image)}
            pixels = preprocess(image)
    except Exception:  # noqa: BLE001 - Pillow's decoders raise anything from OSError to struct.error on a broken image
        return Dropped(sample.key, "broken_image")
    return Decoded({"uid": pair.uid, "text": pair.caption, "key": pair.key, **told_columns(pair.told), **seen}, pixels)
