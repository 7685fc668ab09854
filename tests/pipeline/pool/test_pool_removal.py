"""Removal lists: what an entry covers, and what is no entry."""

import hashlib

import pytest

from pipeline.pool.removal import read_lists
from schemas.errors import UserError

UID = hashlib.md5(b"somebody's picture").hexdigest()
URL = "https://images.example.org/a.jpg"


@pytest.fixture
def removal(tmp_path):
    def read(text):
        path = tmp_path / "list.txt"
        path.write_bytes(text.encode())
        return read_lists((str(path),))

    return read


@pytest.mark.parametrize(
    "entry",
    [
        URL,
        "http://IMAGES.example.org:80/a.jpg#x",
        "example.org",
        "*.example.org",
        ".Example.Org",
        UID,
        UID.upper(),
        *(hashlib.new(name, URL.encode()).hexdigest() for name in ("md5", "sha1", "sha256")),
    ],
)
def test_an_entry_covers_the_pair_in_any_of_its_forms(removal, entry):
    assert removal(f"# asked on Monday\r\n\r\n{entry}  # by mail\r\n").covers(UID, URL)


@pytest.mark.parametrize(
    "entry", ["https://images.example.org/b.jpg", "ample.org", "www.example.org", "org.example", "f" * 32, "0" * 40, "0" * 64]
)
def test_an_entry_covers_nothing_else(removal, entry):
    assert not removal(entry).covers(UID, URL)


def test_an_empty_list_removes_nothing(removal):
    assert removal("\ufeff# nothing yet\n").empty


@pytest.mark.parametrize(
    "entry", ["not a domain", "ftp://example.org/a", "http://", "word", "example.org/a.jpg", "a" * 31, "me@example.org"]
)
def test_an_entry_of_no_kind_is_refused_with_its_line(removal, entry):
    with pytest.raises(UserError, match=r"list\.txt:2: .*correct it"):
        removal(f"example.org\n{entry}\n")


def test_a_list_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "list.gz"
    path.write_bytes(b"\x1f\x8b\x08\xff")
    with pytest.raises(UserError, match="not a text file in UTF-8"):
        read_lists((str(path),))


def test_a_list_that_is_absent_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.txt: no such file"):
        read_lists((str(tmp_path / "absent.txt"),))
