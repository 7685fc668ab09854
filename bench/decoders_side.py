"""The side of bench.decoders that measures, on one core: libraries step by step, then whole chains with what they lose.

`python -m bench.decoders_side FOLDER EACH` with FOLDER the packages that are tried besides ours.
"""

import io
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from bench.child import serve
from bench.decoders_pictures import SETS, Served, pictures
from pipeline.download.images.compiled.area import shrink
from pipeline.download.images.decode import decode
from pipeline.download.images.header import read_header
from pipeline.download.images.image import ImageSettings, make_picture

_SIDE, _QUALITY, _ROUNDS = 512, 95, 5
_SETTINGS = ImageSettings(size=_SIDE, mode="keep_ratio_largest", enlarge=False, quality=_QUALITY, max_pixels=10**8)

Decoder = Callable[[bytes], Any]


def decoders(kind: str) -> dict[str, Decoder]:
    """Library → what it makes of bytes, an array."""
    import imagecodecs
    import pyvips

    pyvips.voperation.cache_set_max(0)
    codec = {"PNG": imagecodecs.spng_decode, "WebP": imagecodecs.webp_decode, "GIF": imagecodecs.gif_decode}
    named: dict[str, Decoder] = {
        "opencv": lambda body: cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED),
        "Pillow": lambda body: np.asarray(Image.open(io.BytesIO(body)).convert("RGB")),
        "libvips": lambda body: pyvips.Image.new_from_buffer(body, "", access="sequential").numpy(),
        "imagecodecs": codec.get(kind, imagecodecs.jpeg8_decode),
        "ours": lambda body: decode(body, read_header(body)),
    }
    if kind not in codec:
        named["simplejpeg"] = lambda body: simplejpeg.decode_jpeg(body, "BGR")
        named["simplejpeg, an eighth, grey"] = lambda body: simplejpeg.decode_jpeg(body, "GRAY", 1, 1, min_factor=8)
        named["opencv, an eighth, grey"] = lambda body: cv2.imdecode(
            np.frombuffer(body, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8
        )
    return named


def resizers() -> dict[str, Callable[[Any, tuple[int, int]], Any]]:
    """Library and method → what it makes of (h, w, 3) uint8 and a size."""
    import pyvips

    def pillow(how: Image.Resampling) -> Callable[[Any, tuple[int, int]], Any]:
        return lambda pixels, to: np.asarray(Image.fromarray(pixels).resize(to, how))

    def vips(pixels: Any, to: tuple[int, int]) -> Any:
        height, width = pixels.shape[:2]
        image = pyvips.Image.new_from_memory(pixels, width, height, 3, "uchar")
        return image.resize(to[0] / width, vscale=to[1] / height).numpy()

    return {
        "opencv INTER_AREA": lambda pixels, to: cv2.resize(pixels, to, interpolation=cv2.INTER_AREA),
        "opencv INTER_LINEAR": lambda pixels, to: cv2.resize(pixels, to, interpolation=cv2.INTER_LINEAR),
        "Pillow BOX": pillow(Image.Resampling.BOX),
        "Pillow BICUBIC": pillow(Image.Resampling.BICUBIC),
        "libvips lanczos3": vips,
        "ours (area)": lambda pixels, to: shrink(pixels, *to),
    }


def encoders() -> dict[str, Callable[[Any], bytes]]:
    """Library → JPEG bytes, 4:2:0."""

    def pillow(pixels: Any) -> bytes:
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=_QUALITY, subsampling=2)
        return encoded.getvalue()

    return {
        "opencv": lambda pixels: cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes(),
        "simplejpeg": lambda pixels: simplejpeg.encode_jpeg(pixels, _QUALITY, "BGR", "420"),
        "Pillow": pillow,
    }


def chains() -> dict[str, Callable[[bytes], bytes]]:
    """Bytes as served → JPEG as stored, resized to _SIDE."""
    import pyvips

    def theirs(body: bytes) -> bytes:
        pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
        to = _stored_size(pixels.shape[1], pixels.shape[0])
        resized = pixels if to == pixels.shape[1::-1] else cv2.resize(pixels, to, interpolation=cv2.INTER_AREA)
        return cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()

    def scaled(body: bytes) -> bytes:
        if body[:2] != b"\xff\xd8":
            return theirs(body)
        height, width = simplejpeg.decode_jpeg_header(body)[:2]
        to = _stored_size(width, height)
        pixels = simplejpeg.decode_jpeg(body, "BGR", min_height=to[1], min_width=to[0], fastdct=True, fastupsample=True)
        return simplejpeg.encode_jpeg(cv2.resize(pixels, to, interpolation=cv2.INTER_LINEAR), _QUALITY, "BGR", "420")

    return {
        "opencv INTER_AREA, as img2dataset": theirs,
        "ours, always encoded again": lambda body: make_picture(body, _encoded_again()).data,
        "ours": lambda body: make_picture(body, _SETTINGS).data,
        "libvips thumbnail": lambda body: pyvips.Image.thumbnail_buffer(body, _SIDE, height=_SIDE, size="down").jpegsave_buffer(
            Q=_QUALITY, strip=True
        ),
        "scaled decoding, fast DCT": scaled,
    }


def measure(each: int) -> dict[str, Any]:
    """Every table: CPU ms per picture, the median over rounds; decibels of whole chains, the mean over pictures."""
    steps, whole = [], []
    for size in SETS:
        served = defaultdict(list)
        for picture in pictures(size, each):
            served[picture.kind].append(picture)
        for kind, some in served.items():
            bodies = [picture.body for picture in some]
            for name, ms in _costs(decoders(kind), bodies).items():
                steps.append({"set": size, "step": f"decode {kind}", "with": name, "ms": ms})
            for name, ms in _costs(chains(), bodies).items():
                psnr = float(np.mean([_psnr(chains()[name](picture.body), picture) for picture in some]))
                whole.append({"set": size, "kind": kind, "chain": name, "ms": ms, "psnr_db": psnr})
        steps += _resized_and_encoded(size, [picture.original for picture in served["PNG"]])
    return {"steps": steps, "chains": whole}


def _resized_and_encoded(size: str, originals: list[Any]) -> list[dict[str, Any]]:
    found = []
    larger = [(pixels, _stored_size(*pixels.shape[1::-1])) for pixels in originals if max(pixels.shape) > _SIDE]
    resizing = {name: (lambda pair, resizer=resizer: resizer(*pair)) for name, resizer in resizers().items()}
    for name, ms in _costs(resizing, larger).items() if larger else ():
        found.append({"set": size, "step": "resize", "with": name, "ms": ms})
    stored = [shrink(pixels, *_stored_size(*pixels.shape[1::-1])) for pixels in originals]
    for name, ms in _costs(encoders(), stored).items():
        found.append({"set": size, "step": "encode JPEG", "with": name, "ms": ms})
    return found


def _encoded_again() -> ImageSettings:
    return ImageSettings(**{**_SETTINGS.__dict__, "reencode": True})


def _stored_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _psnr(stored: bytes, picture: Served) -> float:
    """Against area averages of the pixels that the picture was made of, in float64, so that coding is part of the loss."""
    pixels = np.asarray(Image.open(io.BytesIO(stored)).convert("RGB")).astype(float)
    expected = cv2.resize(picture.original.astype(float), pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    return float(10 * np.log10(255**2 / np.mean((pixels - expected) ** 2)))


def _costs(functions: dict[str, Callable[[Any], Any]], inputs: list[Any]) -> dict[str, float]:
    """CPU ms per input of each, the median over rounds in which all have their turn; one round before does not count."""
    times = defaultdict(list)
    for _ in range(_ROUNDS + 1):
        for name, function in functions.items():
            started = time.process_time()
            for item in inputs:
                function(item)
            times[name].append((time.process_time() - started) / len(inputs) * 1000)
    return {name: median(spent[1:]) for name, spent in times.items()}


if __name__ == "__main__":
    sys.path.append(sys.argv[1])  # after ours: what stands in both is taken from ours
    os.environ["VIPS_CONCURRENCY"] = "1"
    serve(lambda: measure(int(sys.argv[2])))
