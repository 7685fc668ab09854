"""Decoding: exactly as open_clip does it for evaluation, all but exactly and faster for the pool, hostile images left out."""

import io
import struct
import time
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline.score.decoding.tokens import tokens_of
from pipeline.train.decoded.decode import decode_fast, decode_image


def encoded(size, mode="RGB", kind="TIFF", **options):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("size", [(48, 40), (31, 77), (32, 32), (300, 33), (10, 200)])
@pytest.mark.parametrize(("mode", "kind"), [("RGB", "TIFF"), ("L", "TIFF"), ("RGBA", "TIFF"), ("CMYK", "TIFF"), ("RGB", "JPEG")])
def test_decoding_is_open_clip_s_own_transform_before_its_normalisation(demo_clip, size, mode, kind):
    clip, content = demo_clip, encoded(size, mode, kind)
    ours = torch.from_numpy(decode_image(content, clip.image_size_px).copy()).float() / 255
    ours = ((ours - torch.tensor(clip.mean)) / torch.tensor(clip.std)).permute(2, 0, 1)
    assert torch.allclose(ours, clip.preprocess(Image.open(io.BytesIO(content))), atol=1e-5)


def test_of_real_images_the_pool_s_pixels_are_a_hundredth_of_a_level_from_open_clip_s(shared_data):
    table = next(pq.ParquetFile(shared_data / "pairs/train/train-000.parquet").iter_batches(100, columns=["jpg"]))
    for side in (32, 224):
        pairs = [(decode_image(content, side), decode_fast(content, side)) for content in table["jpg"].to_pylist()]
        differences = [np.abs(exact.astype(int) - fast) for exact, fast in pairs]
        assert np.mean([each.mean() for each in differences]) < 0.02
        assert max(each.max() for each in differences) <= 4


def png_that_says(width, height):
    """A PNG whose header tells of that many pixels and whose data is a few bytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def jpeg_that_says(width, height):
    content = bytearray(encoded((16, 16), kind="JPEG"))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def jpeg_of_many_scans():
    """A progressive JPEG, large by its header, whose passes would each go over all of it."""
    content = bytearray(encoded((64, 64), kind="JPEG", progressive=True))
    at = content.index(b"\xff\xc2")
    content[at + 5 : at + 9] = struct.pack(">HH", 12_000, 12_000)
    first = content.index(b"\xff\xda")
    return bytes(content[:first] + content[first:-2] * 30 + content[-2:])


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not an image",
        encoded((40, 40), kind="JPEG")[:-200],
        png_that_says(60_000, 60_000),
        jpeg_that_says(65_000, 65_000),
        jpeg_of_many_scans(),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
    ids=["none", "empty", "text", "cut", "huge png", "huge jpeg", "many scans", "postscript"],
)
@pytest.mark.parametrize("decode", [decode_image, decode_fast])
def test_what_cannot_be_decoded_or_would_take_too_long_is_none_and_soon(decode, content):
    started = time.process_time()
    assert decode(content, 16) is None
    assert time.process_time() - started < 2


@pytest.mark.parametrize("decode", [decode_image, decode_fast])
@pytest.mark.parametrize("size", [(30_000, 1), (1, 30_000), (2, 20_000)])
def test_a_strip_is_decoded_without_being_made_whole(decode, size):
    image = decode(encoded(size, kind="PNG"), 224)
    assert image.shape == (224, 224, 3)
    assert image.flags.c_contiguous


def test_a_caption_made_to_keep_the_tokenizer_busy_is_cut(demo_clip):
    texts = ["a dog", "x" * 2_000_000, "y " * 500_000, ""]
    started = time.process_time()
    tokens = tokens_of(demo_clip.tokenizer, texts)
    assert time.process_time() - started < 2
    assert tokens.dtype == np.int32
    assert tokens[[0, 3]].tolist() == demo_clip.tokenizer([texts[0], texts[3]]).tolist()


def test_no_captions_are_no_tokens(demo_clip):
    assert tokens_of(demo_clip.tokenizer, []).shape == (0, demo_clip.tokenizer([""]).shape[1])
