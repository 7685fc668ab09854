"""JPEGs that need no change keep their bytes, less metadata; whatever is not plainly fine is decoded."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.download.images.image import BadImageError, ImageSettings, make_picture
from pipeline.download.images.jpeg import stripped
from pipeline.download.outcomes import RESIZE_FAILURES

USUAL = ImageSettings(size=100, mode="keep_ratio_largest", enlarge=False, quality=95, max_pixels=10**6)
SECRET = b"50 deg N, 8 deg E"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "L"}, {"restart_marker_rows": 1}, {"subsampling": 0}])
def test_a_small_jpeg_keeps_its_pixels_exactly(make, options):
    body = make.picture(90, 60, **options)
    made = make_picture(body, USUAL)
    assert made.passed
    assert made[1:5] == (90, 60, 90, 60)
    assert np.array_equal(pixels(made.data), pixels(body))


def test_its_bytes_are_those_that_were_served_less_what_is_not_needed(make):
    body = make.picture(90, 60)
    made = make_picture(body, USUAL)
    assert len(made.data) <= len(body)
    assert made.data[20:] in body


def test_place_thumbnail_text_and_further_pictures_are_gone(make):
    tag = Image.Exif()
    tag[0x010F] = "Maker"
    tag[0x010E] = SECRET.decode()
    tag[0x8825] = {1: "N", 2: (50.0, 0.0, 0.0)}
    body = make.picture(90, 60, exif=tag, comment=SECRET)
    body = body[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET) + body[2:]
    body = body[:2] + segment(0xED, b"Photoshop 3.0\0" + SECRET) + segment(0xE0, b"JFXX\0\x13" + SECRET) + body[2:]
    made = make_picture(body + make.picture(50, 50) + SECRET, USUAL)
    assert made.passed
    assert SECRET not in made.data
    assert b"Exif" not in made.data
    assert made.data.count(b"\xff\xd8") == 1
    assert np.array_equal(pixels(made.data), pixels(body))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_one_is_decoded_and_turned(make, orientation):
    tag = Image.Exif()
    tag[0x0112] = orientation
    made = make_picture(make.picture(90, 60, exif=tag), USUAL)
    assert not made.passed
    assert (made.width, made.height) == ((60, 90) if orientation > 4 else (90, 60))
    assert not Image.open(io.BytesIO(made.data)).getexif()


@pytest.mark.parametrize(
    "changed",
    [{"reencode": True}, {"format": "webp"}, {"size": 89}, {"enlarge": True}, {"mode": "border", "enlarge": True}],
)
def test_one_that_is_to_be_changed_is_decoded(make, changed):
    assert not make_picture(make.picture(90, 60), ImageSettings(**{**USUAL.__dict__, **changed})).passed


def test_one_with_faces_to_blur_is_decoded(make):
    assert not make_picture(make.picture(90, 60), USUAL, boxes=[(0.1, 0.1, 0.5, 0.5)]).passed


@pytest.mark.parametrize("mode", ["CMYK"])
def test_one_of_other_colours_is_decoded(make, mode):
    assert not make_picture(make.picture(90, 60, mode=mode), USUAL).passed
    rgb = io.BytesIO()
    Image.fromarray(make.smooth(90, 60)).save(rgb, "JPEG", keep_rgb=True)
    assert not make_picture(rgb.getvalue(), USUAL).passed


def test_a_cut_one_is_refused_not_stored(make):
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1}):
        body = make.picture(90, 60, **options)
        for cut in (2, 10, 100, len(body) // 2):
            with pytest.raises(BadImageError, match="truncated"):
                make_picture(body[:-cut], USUAL)


def test_one_that_ends_too_early_does_not_pass(make):
    body = make.picture(90, 60)
    missing_rows = body[:-200] + b"\xff\xd9"
    assert stripped(missing_rows) is not None
    assert not make_picture(missing_rows, USUAL).passed


def test_a_start_inside_and_strange_segments_are_not_plain(make):
    body = make.picture(90, 60)
    assert stripped(body[:2] + b"\xff\xd8" + body[2:]) is None
    assert stripped(body[:2] + segment(0xCC, bytes(10)) + body[2:]) is None
    assert stripped(body[:2] + b"junk" + body[2:]) is None
    assert stripped(body[:-2]) is None
    filled = body[:2] + b"\xff\xff\xff" + body[2:-2] + b"\xff\xff" + body[-2:]
    assert stripped(filled) == stripped(body)


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=3), st.booleans(), st.integers(0, 200))
def test_what_passes_can_be_decoded_whole(make, changes, progressive, cut):
    body = bytearray(make.picture(40, 30, progressive=progressive))
    for at, value in changes:
        body[at % len(body)] = value
    try:
        made = make_picture(bytes(body[: len(body) - cut]), USUAL)
    except BadImageError as bad:
        assert str(bad) in RESIZE_FAILURES  # noqa: PT017
        return
    with Image.open(io.BytesIO(made.data)) as image:
        image.load()
        assert image.size == (made.width, made.height)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def pixels(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(body)))
