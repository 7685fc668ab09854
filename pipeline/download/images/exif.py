"""EXIF: the orientation that is applied, and the JSON object of the sidecar's `exif` column."""

import json
from typing import Any

from PIL import ExifTags, Image

from pipeline.download.images.plain_exif import plain_tags

_ORIENTATION = 0x0112
_LONGEST_BLOCK = 2**20  # bytes; a JPEG's is shorter than 2^16, a PNG's could keep Pillow busy
_LONGEST_VALUE = 1000  # characters; longer ones are blobs
_SKIPPED = {"MakerNote", "UserComment", "ExifOffset", "GPSInfo", "JpegIFOffset", "JpegIFByteCount"}


def read_exif(block: bytes) -> tuple[int, str | None]:
    """(orientation 1 to 8, JSON object) of an EXIF block; (1, "{}") of none, (1, None) of a broken or huge one.

    The keys are "Image Make", "EXIF ExposureTime" …, the values strings, as img2dataset writes them. The GPS block,
    thumbnails and maker notes are left out.
    """
    if not block:
        return 1, "{}"
    if len(block) > _LONGEST_BLOCK:
        return 1, None
    try:
        image, camera = plain_tags(block) or _tags_through_pillow(block)
        found = {**_described("Image", image), **_described("EXIF", camera)}
        orientation = image.get(_ORIENTATION, 1)
        return (orientation if orientation in range(1, 9) else 1), json.dumps(found)
    except Exception:  # noqa: BLE001 - Pillow raises many types on malformed EXIF; the image itself may be sound
        return 1, None


def _tags_through_pillow(block: bytes) -> tuple[dict[int, Any], dict[int, Any]]:
    exif = Image.Exif()
    exif.load(block)
    return dict(exif), dict(exif.get_ifd(ExifTags.IFD.Exif))


def _described(group: str, tags: dict[int, Any]) -> dict[str, str]:
    named = {ExifTags.TAGS.get(tag, f"Tag 0x{tag:04X}"): _printable(value) for tag, value in tags.items()}
    return {f"{group} {name}": text for name, text in sorted(named.items()) if name not in _SKIPPED and text is not None}


def _printable(value: Any) -> str | None:
    text = value.decode("latin-1").rstrip("\0") if isinstance(value, bytes) else str(value)
    text = text.strip()
    return text if len(text) <= _LONGEST_VALUE and text.isprintable() else None
