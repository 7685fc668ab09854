"""Perceptual hash: images that look alike have hashes that differ in few bits."""

import numpy as np
from PIL import Image
from scipy.fft import dctn

_SIDE = 32
_KEPT = 8


def phash(image: Image.Image) -> str:
    """64 bits as 16 hex digits: the low 8 × 8 frequencies of the 32 × 32 grey image, each against their median.

    Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section on the DCT hash.
    """
    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    low = dctn(grey, type=2)[:_KEPT, :_KEPT]
    bits = low > np.median(low)
    return np.packbits(bits).tobytes().hex()
