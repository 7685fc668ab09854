"""Bytes to stored picture: sizes, orientation, transparency, depth; headers that lie; EXIF."""

import importlib.util
import io
import json
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pipeline.download.images.compiled.area import shrink
from pipeline.download.images.exif import read_exif
from pipeline.download.images.header import read_header
from pipeline.download.images.image import BadImageError, ImageSettings, make_picture
from pipeline.download.images.resize import resize

SETTINGS = ImageSettings(size=100, mode="keep_ratio_largest", enlarge=False, quality=95, max_pixels=10**6)
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_says_the_format_and_size_without_decoding(make, kind):
    header = read_header(make.picture(321, 123, kind=kind))
    assert header is not None
    assert (header.format, header.width, header.height) == (kind, 321, 123)


@pytest.mark.parametrize("settings", [{"lossless": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}, {"quality": 50}])
def test_all_three_kinds_of_webp_header_are_read(make, settings):
    assert read_header(make.picture(321, 123, kind="WEBP", **settings))[1:3] == (321, 123)


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X", b"BM"])
)
def test_any_bytes_are_a_picture_or_are_refused_by_name(tail, magic):
    with pytest.raises(BadImageError, match=r"not_image|corrupt|truncated|too_many_pixels"):
        make_picture(magic + tail, SETTINGS)


@given(st.integers(0, 2000), st.integers(0, 255), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]))
def test_a_damaged_picture_is_stored_or_refused(make, at, value, kind):
    damaged = bytearray(make.picture(20, 20, kind=kind))
    damaged[at % len(damaged)] = value
    try:
        assert make_picture(bytes(damaged), SETTINGS).width <= 100
    except BadImageError as bad:
        assert str(bad) in {"not_image", "corrupt", "truncated", "too_many_pixels"}  # noqa: PT017


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(make, orientation):
    tag = Image.Exif()
    tag[0x0112] = orientation
    served = make.picture(160, 80, exif=tag, quality=95)
    made = make_picture(served, SETTINGS)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(served))).convert("RGB")
    expected = np.asarray(upright.resize((made.width, made.height), Image.Resampling.BOX)).astype(int)
    assert (made.original_width, made.original_height) == upright.size
    assert np.abs(_pixels(made) - expected).mean() < 3


def test_sixteen_bits_are_scaled_not_cut(make):
    ramp = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)
    encoded = io.BytesIO()
    Image.fromarray(ramp).save(encoded, "PNG")
    assert np.abs(_pixels(make_picture(encoded.getvalue(), SETTINGS)) - ramp / 257).mean() < 2


def test_transparent_parts_become_white():
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:20, :, 3] = 255
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    stored = _pixels(make_picture(encoded.getvalue(), SETTINGS))
    assert stored[:18].max() < 10
    assert stored[22:].min() > 245


def test_pixels_beyond_the_bound_are_not_decoded(make):
    with pytest.raises(BadImageError, match="too_many_pixels"):
        make_picture(make.picture(1001, 1000, kind="GIF"), SETTINGS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_half_an_image_is_truncated(make, kind):
    whole = make.picture(300, 200, kind=kind)
    with pytest.raises(BadImageError, match="truncated"):
        make_picture(whole[: len(whole) // 2], SETTINGS)


def test_exif_is_told_as_json_without_the_place(make):
    tag = Image.Exif()
    tag[0x010F] = "Maker <b>"
    tag[0x8825] = {1: "N", 2: (50.0, 0.0, 0.0)}
    told = json.loads(make_picture(make.picture(50, 50, exif=tag), SETTINGS).exif)
    assert told == {"Image Make": "Maker <b>"}


@given(st.binary(max_size=300))
def test_any_exif_block_is_read_or_refused(block):
    orientation, told = read_exif(b"Exif\0\0" + block)
    assert orientation in range(1, 9)
    assert told is None or isinstance(json.loads(told), dict)


@pytest.fixture(scope="module")
def theirs():
    """img2dataset's own Resizer, and a function that calls it on pixels."""
    if importlib.util.find_spec("img2dataset") is None:
        pytest.skip("needs the extra img2dataset")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from img2dataset.resizer import Resizer
    return Resizer


MODES = ["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]
METHODS = ["nearest", "linear", "bilinear", "cubic", "bicubic", "area", "lanczos", "lanczos4"]
SIZES = [(60, 40), (100, 100), (200, 300), (250, 130), (99, 301), (101, 7), (640, 481)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("enlarge", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_every_resize_mode_gives_img2datasets_pixels(theirs, make, mode, enlarge, method):
    for width, height in SIZES:
        for channels in (1, 3):
            pixels = make.smooth(width, height, channels=3)[..., :channels].squeeze()
            expected, *_ = _theirs(theirs, pixels, mode, enlarge, method)
            mine = resize(pixels, 100, mode, enlarge=enlarge, upscale=method, downscale=method)
            _same(mine, expected, exactly=method != "area")


@pytest.mark.parametrize("mode", MODES)
def test_stored_without_loss_a_png_is_img2datasets(theirs, make, mode):
    for width, height in SIZES:
        for kind in ("RGB", "RGBA", "L", "LA", "P"):
            served = make.picture(width, height, kind="PNG", mode=kind)
            settings = ImageSettings(size=100, mode=mode, enlarge=False, quality=1, max_pixels=10**6, format="png")
            made = make_picture(served, settings)
            expected, *sizes = _theirs(theirs, served, mode, False, None)
            assert made[1:5] == tuple(sizes)
            _same(cv2.imdecode(np.frombuffer(made.data, np.uint8), cv2.IMREAD_UNCHANGED), expected, exactly=False)


@pytest.mark.parametrize(("width", "height"), [(960, 720), (801, 600), (601, 1303), (513, 512), (2000, 1500), (3000, 517)])
def test_area_averages_are_opencvs_but_for_roundings(width, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    for side in (511, 512, 100):
        to = [max(1, round(length * side / max(width, height))) for length in (width, height)]
        _same(shrink(pixels, *to), cv2.resize(pixels, to, interpolation=cv2.INTER_AREA), exactly=False)


def _theirs(resizer, served, mode, enlarge, method):
    """(pixels, width, height, original width, original height) as img2dataset's Resizer makes them of pixels or bytes."""
    if isinstance(served, np.ndarray):
        served = cv2.imencode(".png", served)[1].tobytes()
    methods = {"upscale_interpolation": method, "downscale_interpolation": method} if method else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored, *sizes, error = resizer(100, mode, not enlarge, encode_quality=1, encode_format="png", **methods)(
            io.BytesIO(served)
        )
    assert error is None
    return cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED), *sizes


def _same(mine, expected, *, exactly):
    assert mine.shape == expected.shape
    difference = np.abs(mine.astype(int) - expected)
    assert difference.max() <= (0 if exactly else 1)
    assert (difference > 0).mean() < 1e-3


def _pixels(made) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(made.data))).astype(int)
