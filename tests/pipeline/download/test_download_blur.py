"""Faces: the pixels of img2dataset's own blurrer, and what is no box."""

import importlib.util
import io
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.download.images.blur import _gaussian, blur
from pipeline.download.images.image import ImageSettings, make_picture

BOXES = [
    [(0.2, 0.3, 0.4, 0.6)],
    [(0.0, 0.0, 0.2, 0.2), (0.7, 0.6, 1.0, 1.0)],
    [(0.5, 0.5, 0.5, 0.5)],
    [(0.9, 0.1, 0.999, 0.13), (0.1, 0.1, 0.12, 0.14)],
    [(0.0, 0.0, 1.0, 1.0)],
]


@pytest.mark.parametrize("boxes", BOXES)
@pytest.mark.parametrize("size", [(300, 200), (123, 457), (20, 30)])
def test_pixels_are_img2datasets(make, boxes, size):
    if importlib.util.find_spec("img2dataset") is None:
        pytest.skip("needs the extra img2dataset")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from img2dataset.blurrer import BoundingBoxBlurrer

        pixels = make.smooth(*size)
        noisy = np.bitwise_xor(pixels, np.random.default_rng(0).integers(0, 32, pixels.shape, dtype=np.uint8))
        theirs = BoundingBoxBlurrer()(img=noisy, bbox_list=boxes)
    difference = np.abs(blur(noisy, boxes).astype(int) - theirs)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("size", [(1500, 4), (4, 1500)])
def test_a_ribbon_is_blurred_as_with_a_square_kernel(size):
    """Faces wider than it is high: the kernel is cut off there, as cv2 would keep rows for all of it."""
    plane = np.random.default_rng(0).random((size[1], size[0]), dtype=np.float32)
    square = cv2.GaussianBlur(plane, (301, 301), 0)
    assert np.abs(_gaussian(plane, 301) - square).max() < 0.02


def test_a_huge_face_is_blurred_like_a_reduced_one(make, monkeypatch):
    pixels = make.smooth(600, 400)
    exact = blur(pixels, [(0.2, 0.2, 0.8, 0.8)])
    monkeypatch.setattr("pipeline.download.images.blur._MOST_WORK", 10**6)
    assert np.abs(blur(pixels, [(0.2, 0.2, 0.8, 0.8)]).astype(int) - exact).max() <= 4


def test_no_box_changes_nothing_and_grey_is_blurred_too(make):
    pixels = make.smooth(50, 40)
    assert blur(pixels, []) is pixels
    assert blur(pixels[..., 0], [(0.2, 0.2, 0.8, 0.8)]).shape == (40, 50)


def test_what_reaches_beyond_the_picture_is_cut_off(make):
    pixels = make.smooth(50, 40)
    assert np.array_equal(blur(pixels, [(-3.0, 0.2, 7.0, 0.6)]), blur(pixels, [(0.0, 0.2, 1.0, 0.6)]))


@pytest.mark.parametrize("box", [(0.1, 0.1, float("nan"), 0.5), (0.1, 0.1, float("inf"), 0.5), (0.1, 0.1, 0.5)])
def test_what_is_no_box_is_named(make, box):
    with pytest.raises(ValueError, match="four finite numbers"):
        blur(make.smooth(50, 40), [box])


def test_boxes_turn_with_the_picture(make):
    """They are parts of the image as served, as DataComp computed them; this one is its left third."""
    tag = Image.Exif()
    tag[0x0112] = 6
    body = make.picture(120, 60, exif=tag, quality=98)
    settings = ImageSettings(size=512, mode="no", enlarge=False, quality=1, max_pixels=10**6, format="png", reencode=True)
    plain, blurred = (decoded(make_picture(body, settings, boxes=boxes)) for boxes in ([], [(0.0, 0.0, 0.34, 1.0)]))
    changed = (plain != blurred).any(axis=(1, 2))
    assert len(changed) == 120
    assert changed[:35].mean() > 0.8
    assert not changed[70:].any()


def decoded(made) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(made.data)).convert("RGB"))
