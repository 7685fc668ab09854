"""Thumbnails: small JPEGs in data: URIs, and nothing where an image cannot or should not be decoded."""

import base64
import io
import struct
import tarfile
import zlib

import pytest
from PIL import Image

from pipeline.report.gallery import THUMBNAIL_PX, thumbnail, thumbnails


def encoded(mode: str, kind: str, size: tuple[int, int] = (400, 300)) -> bytes:
    written = io.BytesIO()
    Image.new(mode, size, 90).save(written, kind)
    return written.getvalue()


def decoded(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("RGBA", "WEBP")])
def test_any_stored_image_becomes_a_small_jpeg(mode, kind):
    with decoded(thumbnail(encoded(mode, kind))) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert image.size == (THUMBNAIL_PX, THUMBNAIL_PX * 3 // 4)


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds hardly any pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0" * 1000)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        encoded("RGB", "JPEG")[:200],
        png_header(9_000, 9_000),
        png_header(12_000, 12_000),
        png_header(2**16, 2**16),
    ],
)
def test_damage_and_bombs_give_no_thumbnail(data):
    assert thumbnail(data) is None


def test_a_shard_that_is_not_there_gives_no_thumbnails(tmp_path):
    assert thumbnails(str(tmp_path), [{"uid": "0" * 32, "key": "000000000", "shard": "00000"}]) == {}


def write_tar(path, **members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("shard", ["../elsewhere/00000", "{folder}/elsewhere/00000", "", ".", None, 7, ["00000"]])
def test_a_shard_that_is_no_listed_tar_is_not_opened(tmp_path, shard):
    write_tar(tmp_path / "elsewhere" / "00000.tar", k_jpg=encoded("RGB", "JPEG"))
    write_tar(tmp_path / "shards" / "00001.tar", k_jpg=encoded("RGB", "JPEG"))
    asked = shard.format(folder=tmp_path) if isinstance(shard, str) else shard
    rows = [{"uid": "0" * 32, "key": "k", "shard": asked}, {"uid": "1" * 32, "key": "k", "shard": "00001"}]
    assert list(thumbnails(str(tmp_path / "shards"), rows)) == ["1" * 32]


def test_images_of_every_kind_that_is_scored_are_shown_by_the_key_that_scores_name(tmp_path):
    write_tar(tmp_path / "00000.tar", a_TIF=encoded("RGB", "TIFF"), b_gif=encoded("P", "GIF"), c_seg_png=encoded("L", "PNG"))
    rows = [{"uid": key * 32, "key": key, "shard": "00000"} for key in "abc"]
    assert list(thumbnails(str(tmp_path), rows)) == ["a" * 32, "b" * 32]


def test_a_key_that_is_no_text_has_no_thumbnail(tmp_path):
    write_tar(tmp_path / "00000.tar", k_jpg=encoded("RGB", "JPEG"))
    assert thumbnails(str(tmp_path), [{"uid": "0" * 32, "key": ["k"], "shard": "00000"}]) == {}
