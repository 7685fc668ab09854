"""The tags of an EXIF block that is plainly in order (TIFF 6.0, pp. 13 to 16), as Pillow reads them at several times the cost."""

import math
import struct
from collections import Counter
from fractions import Fraction
from typing import Any

from PIL import ExifTags, TiffTags

_MARK = b"Exif\0\0"
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ENTRY, _MOST_TAGS = "HHL4s", 256
_TEXT = 2
_BYTES = {1: 1, _TEXT: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}  # of a value, by its type
_NUMBERS = {3: "H", 4: "L", 5: "LL", 10: "ll"}  # short, long, and fractions without and with sign
_COUNTED = Counter(ExifTags.TAGS.values())
_SHARED_NAMES = {tag for tag, name in ExifTags.TAGS.items() if _COUNTED[name] > 1}
_NAMED_VALUES = {tag for tag, info in TiffTags.TAGS_V2.items() if info.enum}  # where Pillow makes numbers of some texts


def plain_tags(block: bytes) -> tuple[dict[int, Any], dict[int, Any]] | None:
    """The tags of the image and those of the camera: int, float, str or bytes by number; None where anything is unusual."""
    order = _ORDERS.get(block[len(_MARK) : len(_MARK) + 4])
    if order is None or not block.startswith(_MARK):
        return None
    data = block[len(_MARK) :]
    try:
        image = _directory(data, struct.unpack_from(f"{order}L", data, 4)[0], order)
        camera = _directory(data, image[ExifTags.IFD.Exif], order) if ExifTags.IFD.Exif in image else {}
    except (ValueError, TypeError, struct.error):
        return None
    return image, camera


def _directory(data: bytes, at: int, order: str) -> dict[int, Any]:
    """The tags at a place in the block. Raises ValueError, TypeError or struct.error where they are not plain."""
    (count,) = struct.unpack_from(f"{order}H", data, at)
    begin, end = at + 2, at + 2 + count * struct.calcsize(order + _ENTRY)
    if count > _MOST_TAGS or end + 4 > len(data):
        raise ValueError("too many tags")
    found: dict[int, Any] = {}
    left = len(data)
    for tag, kind, values, where in struct.iter_unpack(order + _ENTRY, data[begin:end]):
        size = values * _BYTES.get(kind, 0)
        if size > len(where):
            (start,), left = struct.unpack(f"{order}L", where), left - size
            raw = data[start : start + size]
        else:
            raw = where[:size]
        if not size or len(raw) < size or left < 0 or tag in found or tag in _SHARED_NAMES:
            raise ValueError("values that are not there, or there twice")
        if kind == _TEXT and tag in _NAMED_VALUES:
            raise ValueError("a text for a number")
        found[tag] = _value(kind, raw, order)
    return found


def _value(kind: int, raw: bytes, order: str) -> Any:
    """A single value; struct.error where there are several numbers."""
    if kind in _NUMBERS:
        number, *below = struct.unpack(order + _NUMBERS[kind], raw)
        return number if not below else float(Fraction(number, below[0])) if below[0] else math.nan
    return raw.removesuffix(b"\0").decode("latin-1") if kind == _TEXT else raw
