"""Small pictures of every format, mode and way of packing that `download` reads, made by code: what its fuzz run damages.

Each that can carry metadata has some, with SECRET in it: nothing that is stored may.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms

SECRET = b"50 deg 5 min N, 8 deg 14 min E"
_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + SECRET + b"</x:xmpmeta>"
# First column and row of each pass of Adam7, and the steps between its columns and rows (PNG 3rd edition §8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_WIDE, _HIGH = 45, 34  # px; neither a whole number of blocks


def pictures() -> dict[str, bytes]:
    """Name ("jpeg progressive" …) → file."""
    return {name: body for maker in (_jpegs, _pngs, _moving, _webps, _bmps, _tiffs, _avifs) for name, body in maker()}


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _image(mode: str = "RGB", width: int = _WIDE, height: int = _HIGH) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    planes = [across, down, (across + down) / 2, 255 - across]
    image = Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8), "RGBA")
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _metadata() -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = 6
    exif[0x8825] = {1: "N", 2: (50.0, 5.0, 0.0)}
    return {"exif": exif.tobytes(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}


def _jpegs() -> Iterator[tuple[str, bytes]]:
    for mode in ("RGB", "L", "CMYK"):
        for progressive in (False, True):
            yield f"jpeg {mode}{' progressive' * progressive}", _saved(_image(mode), "JPEG", progressive=progressive)
    for subsampling in ("4:4:4", "4:2:2"):
        yield f"jpeg {subsampling}", _saved(_image(), "JPEG", subsampling=subsampling, quality=95)
    yield "jpeg restarts", _saved(_image(), "JPEG", restart_marker_blocks=2)
    yield "jpeg rgb", _saved(_image(), "JPEG", keep_rgb=True)
    yield "jpeg grey metadata", _saved(_image("L"), "JPEG", exif=_metadata()["exif"])
    body = _saved(_image(), "JPEG", comment=SECRET, xmp=_XMP, **_metadata())
    more = segment(0xED, b"Photoshop 3.0\0" + SECRET) + segment(0xE0, b"JFXX\0\x13" + SECRET) + segment(0xE2, b"MPF\0" + SECRET)
    yield "jpeg metadata", body[:2] + more + body[2:] + _saved(_image(width=9), "JPEG") + SECRET
    yield "jpeg upright metadata", _saved(_image(), "JPEG", comment=SECRET, xmp=_XMP) + SECRET


def _pngs() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = _image("L").point(lambda level: level * 257, "I").convert("I;16") if mode == "I;16" else _image(mode)
        yield f"png {mode}", _saved(image, "PNG")
    yield "png transparent entry", _saved(_image("P"), "PNG", transparency=bytes(range(0, 256, 2)))
    yield "png transparent colour", _saved(_image(), "PNG", transparency=(0, 0, 0))
    for channels in (3, 4):
        deep = np.asarray(_image("RGBA")).astype(np.uint16)[..., :channels] * 257
        yield f"png 16 bits {channels}", cv2.imencode(".png", deep)[1].tobytes()
    yield "png interlaced", _interlaced(np.asarray(_image()), 8)
    yield "png interlaced 16 bits", _interlaced(np.asarray(_image()).astype(np.uint16) * 257, 16)
    body = _saved(_image(), "PNG", **_metadata())
    text = chunk(b"tEXt", b"Comment\0" + SECRET) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + _XMP)
    yield "png metadata", body[:33] + text + body[33:] + SECRET


def _interlaced(pixels: Any, bits: int) -> bytes:
    """(h, w, 3) in the seven passes."""
    height, width = pixels.shape[:2]
    wide = pixels.astype(">u2" if bits == 16 else np.uint8)
    rows = [b"\0" + row.tobytes() for left, top, dx, dy in _ADAM7 for row in wide[top::dy, left::dx] if row.size]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")


def _moving() -> Iterator[tuple[str, bytes]]:
    frames = [_image("RGBA"), _image("RGBA").rotate(180), _image("RGBA").rotate(90)]
    for kind in ("GIF", "WEBP", "AVIF", "PNG"):
        yield f"{kind.lower()} moving", _saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    yield "gif", _saved(_image("P"), "GIF", comment=SECRET)
    yield "gif transparent", _saved(_image("P"), "GIF", transparency=3, interlace=1)
    yield "gif grey", _saved(_image("L"), "GIF")


def _webps() -> Iterator[tuple[str, bytes]]:
    for mode in ("RGB", "RGBA"):
        for lossless in (False, True):
            yield f"webp {mode}{' lossless' * lossless}", _saved(_image(mode), "WEBP", lossless=lossless)
    yield "webp metadata", _saved(_image("RGBA"), "WEBP", xmp=_XMP, **_metadata())


def _bmps() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"bmp {mode}", _saved(_image(mode), "BMP")
    palette = b"".join(bytes([i, 255 - i, i // 2, 0]) for i in range(256))
    rows = bytes([20, 7, 0, 0, 5, 9, 0, 3, 1, 2, 3, 0, 12, 4, 0, 0, 0, 2, 3, 1, 0, 1])
    head = struct.pack("<IiiHHIIiiII", 40, 20, 3, 1, 8, 1, len(rows), 0, 0, 256, 0)
    yield "bmp runs", b"BM" + struct.pack("<IHHI", 1078 + len(rows), 0, 0, 1078) + head + palette + rows


def _tiffs() -> Iterator[tuple[str, bytes]]:
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"):
        yield f"tiff {compression}", _saved(_image(), "TIFF", compression=compression)
    for compression in ("group3", "group4"):
        yield f"tiff {compression}", _saved(_image("1"), "TIFF", compression=compression)
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "F"):
        image = Image.new(mode, (_WIDE, _HIGH), 7) if mode in ("I;16", "F") else _image(mode if mode != "LAB" else "RGB")
        image = image.convert("LAB") if mode == "LAB" else image
        yield f"tiff {mode}", _saved(image, "TIFF")
    yield "tiff metadata", _saved(_image(), "TIFF", description=SECRET.decode(), **_metadata())
    yield "tiff tiles", _tiles()


def _tiles() -> bytes:
    """48 × 32 grey in six tiles of 16 × 16, deflated."""
    tiles = [zlib.compress(bytes([30 * number]) * 256) for number in range(6)]
    offsets = [8 + sum(map(len, tiles[:number])) for number in range(6)]
    lists = 8 + sum(map(len, tiles))
    tags = [(256, 4, 1, 48), (257, 4, 1, 32), (258, 4, 1, 8), (259, 4, 1, 8), (262, 4, 1, 1), (277, 4, 1, 1)]
    tags += [(322, 4, 1, 16), (323, 4, 1, 16), (324, 4, 6, lists), (325, 4, 6, lists + 24)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    places = struct.pack("<12I", *offsets, *map(len, tiles))
    return b"II*\0" + struct.pack("<I", lists + 48) + b"".join(tiles) + places + struct.pack("<H", len(tags)) + entries + bytes(4)


def _avifs() -> Iterator[tuple[str, bytes]]:
    for mode in ("L", "RGB", "RGBA"):
        yield f"avif {mode}", _saved(_image(mode), "AVIF", quality=70)
    yield "avif 4:4:4", _saved(_image(), "AVIF", subsampling="4:4:4")
    yield "avif metadata", _saved(_image(), "AVIF", xmp=_XMP, **_metadata())
