"""Pictures that compress like photographs, made by code: the same every time, in every format, with what they were made of."""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {"quality": 80}),
    "GIF": ("GIF", {}),
}
# Share of each kind among the images of a crawl.
SHARES = {"JPEG": 0.574, "progressive JPEG": 0.246, "WebP": 0.08, "PNG": 0.07, "GIF": 0.03}
SETS = {"dense": (800, 0.35), "small": (380, 0.45)}  # longer side: median in px, spread of its logarithm
_OCTAVES, _FALL = 7, 0.62


class Served(NamedTuple):
    """A picture as served, and the pixels that it was made of, (h, w, 3) uint8, RGB."""

    kind: str
    body: bytes
    original: Any


def pictures(size: str, each: int) -> Iterator[Served]:
    """`each` pictures of every kind."""
    median, spread = SETS[size]
    for seed in range(each):
        random = np.random.default_rng(seed)
        longer = int(np.clip(random.lognormal(np.log(median), spread), 100, 3000))
        shorter = int(longer * random.uniform(0.6, 1))
        original = _photograph(*((longer, shorter) if seed % 5 < 3 else (shorter, longer)), random)
        for kind, (encoder, options) in KINDS.items():
            more = {"quality": int(random.integers(75, 93))} if encoder == "JPEG" else {}
            encoded = io.BytesIO()
            Image.fromarray(original).save(encoded, encoder, **options, **more)
            yield Served(kind, encoded.getvalue(), original)


def _photograph(width: int, height: int, random: Any) -> Any:
    """Noise of every scale, the coarser the stronger."""
    sum_of_all = np.zeros((height, width, 3), np.float32)
    for octave in range(1, _OCTAVES + 1):
        cells = 2**octave
        noise = random.normal(size=(min(height, 2 * cells) + 1, min(width, 2 * cells) + 1, 3)).astype(np.float32)
        sum_of_all += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / cells**_FALL
    least, most = sum_of_all.min(), sum_of_all.max()
    return ((sum_of_all - least) / (most - least) * 255).astype(np.uint8)
