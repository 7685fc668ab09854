"""file_name_text: what is a file's name and what only mentions one, in texts as pages have them."""

import re
import time

import pyarrow as pa
import pytest

from filters.file_name_text import KINDS, NoFileName
from filters.registry import Context, build
from schemas.errors import UsageError

NAMES = {
    "file": ["sunset.jpg", "image.png", "uploads/2019/sunset-300x200.jpg?w=5", "Sunset (1).PNG", "صورة.jpg", "red%20car.webp"],
    "camera": [
        "IMG_1234",
        "IMG_1234.JPG",
        "dsc0001",
        "DSC_0001 (2)",
        "P1010001",
        "100_1234",
        "_MG_1234",
        "IMG-20200101-WA0001",
        "PXL_20210101_123456789",
        "GOPR0001",
        "WhatsApp Image 2021-05-06 at 13.40.12",
        "Screen Shot 2016-11-11 at 15.10.08 PM",
        "Bildschirmfoto 2020-01-02 um 10.11.12",
    ],
    "numbered": ["image1", "Photo 12", "photo-12.jpeg", "slide-3", "untitled_3", "logo (2)"],
    "number": ["20190102_123456", "1920x1080", "88 × 31 px", "00012345678"],
    "identifier": ["550e8400-e29b-41d4-a716-446655440000", "d41d8cd98f00b204e9800998ecf8427e", "5f3aB9kQ2mZ81xWv7LpT3"],
    "address": [
        "https://example.org/a?b=c",
        "www.example.org",
        "//cdn.example.org/a",
        "cdn.example.com/a/b",
        "data:image/gif;base64,R0",
    ],
}
TEXTS = [
    "How to open a .jpg",
    "convert PNG to jpg",
    "a sunset.jpg of mine",
    "Rename sunset.jpg to beach.jpg",
    "Winter Root.png",
    "photo",
    "logo",
    "iPhone 12",
    "Sam 2020",
    "Boeing 747-400",
    "2019-01-02",
    "2020-2021",
    "1984",
    "+49 89 123456",
    "example.org",
    "see https://example.org/a",
    "The best of www.example.org",
    "Photo 12 of the series",
    "and/or",
    "N.Y./NYC",
    "Node.js",
    "Canon EOS R5",
    "IMG Worlds of Adventure",
    "Nikon D7500",
    "3x4",
    "10 x 10 tiles",
    "supercalifragilisticexpialidocious",
    "ISBN 9783161484100",
    "صورة جميلة",
    "日本の車",
    "Mr.Raw",
]


def kept(texts, kinds=KINDS) -> list[bool]:
    return NoFileName(tuple(kinds)).keep(pa.record_batch({"text": pa.array(texts, pa.string())})).to_pylist()


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_a_kind_are_dropped_by_that_kind(kind: str):
    assert [name for name, answer in zip(NAMES[kind], kept(NAMES[kind], [kind]), strict=True) if answer] == []


def test_texts_that_only_mention_one_are_kept():
    assert [text for text, answer in zip(TEXTS, kept(TEXTS), strict=True) if not answer] == []


def test_blanks_and_marks_of_direction_around_a_name_do_not_save_it():
    assert kept([" IMG_1234.jpg \n", "\u200fIMG_1234.jpg\u200e", "\ufeffimage1"]) == [False] * 3


def test_null_is_dropped_and_what_has_no_text_is_not_a_name():
    assert kept([None, "", "  ", "\x00", "\x00.jpg"]) == [False, True, True, True, False]


def test_file_suffixes_are_found_as_the_plain_search_finds_them():
    words = [
        f"{stem}{end}"
        for stem in ("a", "a b", "ä-1", "", "a.b", "a ")
        for end in (".jpg", ".JPEG", ".jpgs", "jpg", ".png ", ".txt")
    ]
    plain = [re.fullmatch(r"\S+\.(jpg|jpeg|png)", word.strip().lower()) is None for word in words]
    assert kept(words, ["file"]) == plain


def test_texts_of_200_000_characters_take_time_linear_in_them():
    hostile = ["a1" * 100_000, "1_" * 100_000, "img_" * 50_000, "-copy" * 40_000 + "x", "(1)" * 66_666, "x" * 200_000 + ".jpg"]
    started = time.process_time()
    assert kept(hostile) == [False, True, True, True, True, False]
    assert time.process_time() - started < 5


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="kinds has 'films'; the kinds are file, camera"):
        build("file_name_text", {"kinds": ["films"]}, Context(columns=("text",)))
    with pytest.raises(UsageError, match="kinds is empty"):
        build("file_name_text", {"kinds": []}, Context(columns=("text",)))
