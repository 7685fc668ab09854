"""Pictures that Pillow decodes → (h, w) or (h, w, 3) uint8, BGR, on white; in strips, so that one copy is whole at a time."""

import io
import threading
from contextlib import nullcontext
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pipeline.download.images.colour import cmyk_to_rgb
from pipeline.download.images.flatten import on_white, strips, to_eight_bits

# An AVIF may say that it is small and hold frames that are not, which libavif decodes before it compares: one at a time.
_one_avif = threading.Lock()


def decode_with_pillow(body: bytes, kind: str, size: tuple[int, int], profile: bytes) -> tuple[Any, bytes]:
    """The first frame, and the profile that is to be applied to it still: that of inks is applied here.

    Raises ValueError; nothing is decoded where Pillow finds another size (width, height) than the header was read to say.
    """
    try:
        with Image.open(io.BytesIO(body), formats=(kind,)) as image:
            if image.size != size:
                raise ValueError(f"{image.size}, expected {size}")
            with _one_avif if kind == "AVIF" else nullcontext():
                image.load()
            return _converted(image, profile), b"" if image.mode == "CMYK" else profile
    except Exception as error:
        raise ValueError("not decodable") from error  # Pillow raises many types on malformed files


def _converted(image: Image.Image, profile: bytes) -> Any:
    if image.mode in ("I", "F"):
        raise ValueError("no range of values is known")
    grey = image.mode in ("1", "L") and image.format != "GIF" and "transparency" not in image.info
    grey = grey or image.mode.startswith("I;16")
    shape = (image.height, image.width)
    stored = np.empty(shape if grey else (*shape, 3), np.uint8)
    colours = _palette(image) if image.mode == "P" else None
    for rows in strips(*shape):
        stored[rows] = _as_stored(image, image.crop((0, rows.start, image.width, rows.stop)), colours, profile)
    return stored


def _as_stored(image: Image.Image, strip: Image.Image, colours: Any, profile: bytes) -> Any:
    """A strip of the image, whose mode and transparency say what its pixels mean; `colours` where those are a palette's."""
    if colours is not None:
        return cv2.applyColorMap(np.asarray(strip), colours)
    if image.mode.startswith("I;16"):
        return to_eight_bits(np.array(strip).astype(np.uint16))
    if image.mode == "CMYK":
        return _bgr(cmyk_to_rgb(strip, profile) or strip.convert("RGB"))
    if _has_alpha(image):
        return on_white(_bgra(strip))
    if image.mode in ("1", "L") and image.format != "GIF":
        return np.asarray(strip.convert("L"))
    return _bgr(strip.convert("RGB"))


def _palette(image: Image.Image) -> Any:
    """(256, 1, 3): each entry on white."""
    entries = Image.frombytes("P", (256, 1), bytes(range(256)))
    entries.putpalette(image.getpalette("RGB") or [])
    if "transparency" in image.info:
        entries.info["transparency"] = image.info["transparency"]
    elif image.palette is not None and image.palette.mode == "RGBA":
        entries.putpalette(image.getpalette("RGBA") or [], "RGBA")
    return np.ascontiguousarray(on_white(_bgra(entries)).reshape(256, 1, 3))


def _has_alpha(image: Image.Image) -> bool:
    return "A" in image.mode or "a" in image.mode or "transparency" in image.info


def _bgra(image: Image.Image) -> Any:
    return cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA)


def _bgr(image: Image.Image) -> Any:
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
