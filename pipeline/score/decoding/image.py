"""Bytes of an image → its pixels as RGB, 8 bits: what Pillow's `convert("RGB")` makes of them, and faster where it is a JPEG.

The first frame of anything that moves, not turned as EXIF says, transparency dropped: as open_clip's training reads images.
"""

import io
import warnings

import numpy as np
import simplejpeg
from PIL import Image

from pipeline.download.images.jpeg import MOST_SCANNED_PX, count_scans

# Pillow's own bound on what a header may say; beyond it, it takes a file for a decompression bomb.
MOST_PX = 2 * (1024**3 // 4 // 3)

_JPEG = b"\xff\xd8\xff"
_PLAIN_COLOURS = frozenset({"YCbCr", "RGB", "Gray"})  # of inks, Pillow's conversion differs
_RUNS_A_PROGRAM = frozenset({"EPS"})  # Pillow hands PostScript to Ghostscript


class BrokenImageError(Exception):
    """The bytes give no whole picture: not an image, cut short, damaged, or too large to be decoded."""


def decode(encoded: bytes) -> np.ndarray:
    """(H, W, 3) uint8, RGB, writable. Raises BrokenImageError."""
    pixels = decode_jpeg(encoded)
    return to_rgb(open_image(encoded)) if pixels is None else pixels


def decode_jpeg(encoded: bytes) -> np.ndarray | None:
    """(H, W, 3) uint8 by libjpeg-turbo alone; None for what is no sound JPEG or no usual one, about which Pillow is to decide.

    Raises BrokenImageError where the header tells of more than MOST_PX.
    """
    if not encoded.startswith(_JPEG):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(encoded)
        if height * width > MOST_PX:
            raise BrokenImageError(f"{width} × {height} px: more than {MOST_PX}")
        if height * width * count_scans(encoded) > MOST_SCANNED_PX:
            raise BrokenImageError("progressive passes that would keep a decoder busy")
        if colours not in _PLAIN_COLOURS:
            return None
        pixels: np.ndarray = simplejpeg.decode_jpeg(encoded)  # strict: it raises where libjpeg only warns
    except ValueError:
        return None
    return pixels


def open_image(encoded: bytes) -> Image.Image:
    """The first frame in the mode that the file has, decoded. Raises BrokenImageError.

    Pillow's warnings are held back for the whole process meanwhile: call it from one thread at a time.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities in images that it reads all the same
            image: Image.Image = Image.open(io.BytesIO(encoded))
            if image.format in _RUNS_A_PROGRAM:
                raise BrokenImageError(f"{image.format}: not decoded")
            image.load()
    except BrokenImageError:
        raise
    except Exception as error:  # Pillow's decoders raise anything from OSError to struct.error on a broken image
        raise BrokenImageError(f"not decodable ({type(error).__name__})") from error
    return image


def to_rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, writable, of an image in any mode. Raises BrokenImageError where Pillow knows no way."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of transparency that is lost
            return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except Exception as error:
        raise BrokenImageError(f"mode {image.mode}: no conversion to RGB") from error
