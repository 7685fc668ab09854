"""Colours as stored: sRGB without a profile. What a picture's own ICC profile means otherwise is converted by littlecms.

A profile that is sRGB in all but name is found by what it does to a few colours, once per process and profile; one that is
broken, or made for other kinds of pixels, is ignored. Conversion is relative colorimetric with black point compensation.
"""

import hashlib
import io
import threading
from collections import OrderedDict
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageCms

from pipeline.download.images.flatten import strips

_SAME = 3  # grey levels by which a colour may differ from sRGB's and still be called the same
_KEPT = 64  # profiles remembered
_DATE, _ID = slice(24, 36), slice(84, 100)  # of a profile (ICC.1, 7.2): some programs make a new one for every file
Space = Literal["RGB", "L", "CMYK"]
_SPACES: dict[Space, str] = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_SRGB = ImageCms.createProfile("sRGB")


def is_srgb(profile: bytes, space: Space = "RGB") -> bool:
    """Whether pixels may be stored as they are: no profile, sRGB's, or none that can be applied."""
    return not profile or _transform(profile, space) is None


def to_srgb(pixels: Any, profile: bytes) -> Any:
    """(h, w) or (h, w, 3) uint8, BGR, as the profile understands them → the same in sRGB. The array given is overwritten."""
    transform = _transform(profile, "L" if pixels.ndim == 2 else "RGB")
    if transform is None:
        return pixels
    pixels = np.require(pixels, requirements="W")
    for strip in strips(*pixels.shape[:2]):
        rows = pixels[strip]
        if pixels.ndim == 2:
            rows[:] = np.asarray(transform.apply(Image.fromarray(rows)))[..., 0]
        else:
            rows[:] = np.asarray(transform.apply(Image.fromarray(np.ascontiguousarray(rows[..., ::-1]))))[..., ::-1]
    return pixels


def cmyk_to_rgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """A CMYK image of Pillow's through its profile; None where that cannot be applied."""
    transform = _transform(profile, "CMYK")
    return None if transform is None else transform.apply(image)


class _Cache:
    """Profile → transform, None for "leave the pixels alone"; the last used ones, by digest: profiles may be megabytes.

    When a profile was made does not tell it from others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, ImageCms.ImageCmsTransform | None] = OrderedDict()

    def get(self, profile: bytes, space: Space) -> ImageCms.ImageCmsTransform | None:
        told = profile[: _DATE.start] + profile[_DATE.stop : _ID.start] + profile[_ID.stop :]
        key = hashlib.sha256(space.encode() + told).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        made = _make(profile, space)
        with self._lock:
            self._known[key] = made
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return made


_transforms = _Cache()


def _transform(profile: bytes, space: Space) -> ImageCms.ImageCmsTransform | None:
    return _transforms.get(profile, space) if profile else None


def _make(profile: bytes, space: Space) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[space].strip():
            return None
        transform = ImageCms.buildTransform(
            source,
            _SRGB,
            space,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if space != "CMYK" and _changes_little(transform, space) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, SyntaxError):
        return None


def _changes_little(transform: ImageCms.ImageCmsTransform, space: Space) -> bool:
    levels = np.arange(0, 256, 17 if space == "RGB" else 1, dtype=np.uint8)
    if space == "L":
        before = levels[None, :]
        after = np.asarray(transform.apply(Image.fromarray(before)))[..., 0]
    else:
        before = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, len(levels), 3)
        after = np.asarray(transform.apply(Image.fromarray(before)))
    return int(np.abs(after.astype(int) - before).max()) <= _SAME
