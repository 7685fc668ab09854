"""Pixels → the bytes that are stored, in one of img2dataset's formats and with its meaning of quality."""

from typing import Any

import cv2

from pipeline.download.images.modes import StoredFormat

_FLAGS: dict[StoredFormat, int] = {
    "jpg": cv2.IMWRITE_JPEG_QUALITY,
    "png": cv2.IMWRITE_PNG_COMPRESSION,
    "webp": cv2.IMWRITE_WEBP_QUALITY,
}
LONGEST_SIDE: dict[StoredFormat, int] = {"jpg": 65_500, "png": 2**20, "webp": 16_383}  # px


def encode(pixels: Any, kind: StoredFormat, quality: int) -> bytes | None:
    """(h, w[, 3]) uint8, BGR → bytes; `quality` is 1 to 100, of png the compression, 0 to 9. None: a side is too long."""
    if max(pixels.shape[:2]) > LONGEST_SIDE[kind]:
        return None
    done, data = cv2.imencode(f".{kind}", pixels, [_FLAGS[kind], quality])
    return data.tobytes() if done else None
