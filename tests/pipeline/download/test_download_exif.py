"""EXIF: what is read without Pillow is what Pillow reads."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from pipeline.download.images.exif import read_exif
from pipeline.download.images.plain_exif import plain_tags

MARK = b"Exif\0\0"
ORIENTATION, MAKE, UNIT, EXPOSURE, VERSION, BIAS = 0x0112, 0x010F, 0x0128, 0x829A, 0x9000, 0x9204
# Values as they stand in the block, big-endian: (type, their number, bytes).
SHORT, LONG = (3, 1, b"\0\6"), (4, 1, b"\0\0\0\3")
TEXT, WIDE_TEXT = (2, 5, b"inch\0"), (2, 8, b" Ma\xe9\xfcer\0")
THIRD, NOTHING, LESS = (5, 1, struct.pack(">LL", 1, 3)), (5, 1, bytes(8)), (10, 1, struct.pack(">ll", 0, -7))
RAW, SEVERAL, UNKNOWN = (7, 4, b"0230"), (3, 3, b"\0\1\0\2\0\3"), (99, 1, b"abcd")


def directory(at, tags):
    """The bytes of a directory that stands at a place: (number, type, how many, bytes) each; long values behind it."""
    entries, behind = b"", b""
    for number, kind, count, raw in tags:
        place = struct.pack(">L", at + 2 + 12 * len(tags) + 4 + len(behind)) if len(raw) > 4 else raw.ljust(4, b"\0")
        behind += raw if len(raw) > 4 else b""
        entries += struct.pack(">HHL", number, kind, count) + place
    return struct.pack(">H", len(tags)) + entries + bytes(4) + behind


def block(image, camera=()):
    """An EXIF block with these tags of the image and of the camera."""
    tags = [(number, *value) for number, value in image]
    pointer = (ExifTags.IFD.Exif, 4, 1, b"abcd")
    at = 8 + len(directory(8, [*tags, pointer]))
    first = directory(8, [*tags, (*pointer[:3], struct.pack(">L", at))])
    return MARK + b"MM\0*\0\0\0\x08" + first + directory(at, [(number, *value) for number, value in camera])


def as_pillow_reads(body):
    exif = Image.Exif()
    exif.load(body)
    return dict(exif), dict(exif.get_ifd(ExifTags.IFD.Exif))


def texts(tags):
    return [{number: value if isinstance(value, bytes) else str(value) for number, value in group.items()} for group in tags]


def test_a_plain_block_is_read_as_pillow_reads_it():
    body = block([(ORIENTATION, SHORT), (MAKE, WIDE_TEXT), (UNIT, LONG)], [(EXPOSURE, THIRD), (VERSION, RAW), (BIAS, LESS)])
    image, camera = plain_tags(body)
    assert texts((image, camera)) == texts(as_pillow_reads(body))
    assert (image[ORIENTATION], image[MAKE], camera[VERSION], str(camera[BIAS])) == (6, " Ma\xe9\xfcer", b"0230", "0.0")
    assert read_exif(body)[0] == 6


@pytest.mark.parametrize(
    "body",
    [
        block([(ORIENTATION, SEVERAL)]),
        block([(ORIENTATION, UNKNOWN)]),
        block([(ORIENTATION, SHORT), (ORIENTATION, LONG)]),
        block([(UNIT, TEXT)]),
        block([(0x920B, SHORT), (0xA20B, SHORT)]),
        block([(MAKE, (2, 60_000, b"far too short"))]),
        block([(MAKE, WIDE_TEXT)])[:-20],
        MARK + block([(MAKE, WIDE_TEXT)]),
        block([(MAKE, WIDE_TEXT)]).replace(b"MM\0*", b"MM\0+"),
        block([(number, SHORT) for number in range(300)]),
    ],
)
def test_what_is_not_plain_is_left_to_pillow(body):
    assert plain_tags(body) is None


@settings(max_examples=400)
@given(st.data())
def test_any_block_is_told_in_the_same_words(data):
    value = st.sampled_from([SHORT, LONG, TEXT, WIDE_TEXT, THIRD, NOTHING, LESS, RAW, SEVERAL, UNKNOWN])
    number = st.sampled_from([ORIENTATION, MAKE, UNIT, EXPOSURE, VERSION, BIAS, 0x920B, 0xA20B, 0x8825, 0xFDE8])
    tags = st.lists(st.tuples(number, value), max_size=4)
    body = bytearray(block(data.draw(tags), data.draw(tags)))
    for place, byte in data.draw(st.lists(st.tuples(st.integers(6, len(body) - 1), st.integers(0, 255)), max_size=2)):
        body[place] = byte
    found = plain_tags(bytes(body))
    if found is not None:
        assert texts(found) == texts(as_pillow_reads(bytes(body)))
