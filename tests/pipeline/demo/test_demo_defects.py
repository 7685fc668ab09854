import io
from collections import Counter
from random import Random

import pytest
from PIL import Image

from pipeline.demo.defects import KINDS, make_pairs
from pipeline.demo.pictures import ENCODINGS, Picture, encode
from pipeline.demo.scenes import sample_scene


def test_kinds_come_in_the_stated_shares():
    counts = Counter(pair.kind for pair in make_pairs(2000, seed=1))
    total = sum(kind.weight for kind in KINDS.values())
    assert counts.total() == 2000
    for name, kind in KINDS.items():
        assert abs(counts[name] - 2000 * kind.weight / total) < 1


def test_two_fifths_of_what_can_be_downloaded_has_a_text_of_something_else():
    weights = {name: kind.weight for name, kind in KINDS.items() if kind.downloadable and name != "duplicate_exact"}
    assert 0.25 <= weights["mismatched"] / sum(weights.values()) <= 0.35


def test_pairs_depend_on_count_and_seed_alone():
    assert make_pairs(300, seed=2) == make_pairs(300, seed=2)
    assert make_pairs(300, seed=2) != make_pairs(300, seed=3)


def test_good_pairs_have_pictures_of_200_px_or_more_and_three_words_or_more():
    for pair in make_pairs(1500, seed=4):
        if KINDS[pair.kind].good:
            assert min(pair.picture.width_px, pair.picture.height_px) >= 200
            assert max(pair.picture.width_px, pair.picture.height_px) <= 3 * min(pair.picture.width_px, pair.picture.height_px)
            assert len(pair.alt.split()) > 2


def test_a_mismatched_text_names_another_colour():
    for pair in make_pairs(1500, seed=5):
        if pair.kind == "mismatched":
            shown = pair.picture.scene.main
            assert f" {shown.colour} {shown.shape}" not in f" {pair.alt.lower()}"


def test_copies_repeat_the_text_of_a_clean_pair():
    pairs = make_pairs(1500, seed=6)
    copies = [pair for pair in pairs if pair.kind.startswith("duplicate")]
    assert copies
    for copy in copies:
        assert pairs[copy.copy_of].kind == "clean"
        assert copy.alt == pairs[copy.copy_of].alt


def picture_of(encoding):
    return Picture(scene=sample_scene(Random(1)), width_px=240, height_px=200, encoding=encoding)


@pytest.mark.parametrize(
    ("encoding", "format", "mode"),
    [
        ("jpeg", "JPEG", "RGB"),
        ("progressive_jpeg", "JPEG", "RGB"),
        ("png", "PNG", "RGB"),
        ("webp", "WEBP", "RGB"),
        ("gif", "GIF", "P"),
        ("cmyk_jpeg", "JPEG", "CMYK"),
        ("exif_rotated_jpeg", "JPEG", "RGB"),
        ("gray_jpeg", "JPEG", "L"),
        ("palette_alpha_png", "PNG", "P"),
    ],
)
def test_a_picture_is_of_the_format_it_claims(encoding, format, mode):
    picture = picture_of(encoding)
    with Image.open(io.BytesIO(encode(picture))) as image:
        image.load()
        assert (image.format, image.mode) == (format, mode)
        assert image.get_format_mimetype() == picture.content_type
        expected = (200, 240) if encoding == "exif_rotated_jpeg" else (240, 200)
        assert image.size == expected
        assert bool(image.info.get("progressive")) == encoding.startswith("progressive")
        assert ("transparency" in image.info) == ("alpha" in encoding)
        assert image.getexif().get(0x0112, 1) == (6 if "exif" in encoding else 1)


def test_every_encoding_is_tested_above():
    assert len(ENCODINGS) == 9


def test_an_encoded_picture_is_the_same_each_time():
    for encoding in ENCODINGS:
        assert encode(picture_of(encoding)) == encode(picture_of(encoding))


def test_a_crop_keeps_the_middle():
    whole = picture_of("png")
    cropped = Picture(scene=whole.scene, width_px=240, height_px=200, encoding="png", kept_share=0.5)
    with Image.open(io.BytesIO(encode(whole))) as full, Image.open(io.BytesIO(encode(cropped))) as part:
        assert part.size == (120, 100)
        assert full.crop((60, 50, 180, 150)).tobytes() == part.tobytes()
