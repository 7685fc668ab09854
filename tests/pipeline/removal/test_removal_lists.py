"""Removal lists: what an entry covers, and what is no entry."""

import hashlib

import pytest

from pipeline.removal import REASONS, compiled
from schemas.errors import UserError

UID = hashlib.md5(b"somebody's picture").hexdigest()
URL = "https://images.example.org/a.jpg"


@pytest.fixture
def reason(tmp_path):
    """A function: by what a list of that text removes a pair, None where it does not."""

    def reason(text, url=URL, uid=UID):
        path = tmp_path / "list.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with compiled((str(path),)) as removal:
            (code,) = removal.reasons([uid], [url])
        return REASONS[code - 1] if code else None

    return reason


@pytest.mark.parametrize(
    ("entry", "by"),
    [
        (URL, "url"),
        ("http://IMAGES.example.org:80/a.jpg#x", "url"),
        ("images.example.org", "domain"),
        ("example.org", "domain"),
        ("*.example.org", "domain"),
        (".Example.Org", "domain"),
        (UID, "uid"),
        (UID.upper(), "uid"),
        *((hashlib.new(name, URL.encode()).hexdigest(), "hash") for name in ("md5", "sha1", "sha256")),
    ],
)
@pytest.mark.parametrize("line", ["# asked on Monday\r\n\r\n{}  # by mail\r\n", "{}", "\ufeff{}\r\n", "{}\n# {}"])
def test_an_entry_covers_the_pair_in_any_of_its_forms(reason, entry, by, line):
    assert reason(line.format(entry, "f" * 32)) == by


@pytest.mark.parametrize(
    "entry", ["https://images.example.org/b.jpg", "ample.org", "www.example.org", "org.example", "f" * 32, "0" * 40, "0" * 64]
)
def test_an_entry_covers_nothing_else(reason, entry):
    assert reason(entry) is None


def test_a_pair_that_is_listed_in_several_ways_is_counted_by_the_first(reason):
    assert reason(f"example.org\n{URL}\n{UID}\n") == "uid"
    assert reason(f"example.org\n{URL}\n{hashlib.md5(URL.encode()).hexdigest()}\n") == "url"


@pytest.mark.parametrize("text", ["", "\ufeff# nothing yet\n", "\n\n", " \t\r\n"])
def test_an_empty_list_removes_nothing(reason, text):
    assert reason(text) is None


@pytest.mark.parametrize(
    "entry",
    [
        "not a domain",
        "ftp://example.org/a",
        "http://",
        "word",
        "example.org/a.jpg",
        "a" * 31,
        "g" * 32,
        "me@example.org",
        "..",
        "*",
    ],
)
def test_an_entry_of_no_kind_is_refused_with_its_line(reason, entry):
    with pytest.raises(UserError, match=r"list\.txt:3: .*correct it"):
        reason(f"example.org\n{UID}\n{entry}\n")


@pytest.mark.parametrize("entry", ["co.uk", "*.co.uk", ".CO.UK", "com", "b.kawasaki.jp", "xn--p1ai", "рф"])
def test_a_registry_s_suffix_is_refused_by_name(reason, entry):
    with pytest.raises(
        UserError, match=r"list\.txt:1: .*is a public suffix: it would remove every site below it; name the sites"
    ):
        reason(f"{entry}\n")


def test_a_suffix_of_a_company_s_customers_is_asked_for_with_a_star(reason):
    with pytest.raises(UserError, match=r"list\.txt:1: 'github\.io' holds the sites of many people.*write \*\.github\.io"):
        reason("github.io\n")
    for entry in ("*.github.io", "somebody.github.io"):
        assert reason(f"{entry}\n", url="https://somebody.github.io/cat.jpg") == "domain"
    assert reason("somebody.github.io\n", url="https://another.github.io/cat.jpg") is None


def test_a_domain_below_a_public_suffix_covers_what_is_below_it_only(reason):
    covered = ["http://example.co.uk/a.jpg", "https://i.www.EXAMPLE.co.uk:8080/a.jpg"]
    assert [reason("example.co.uk", url=url) for url in covered] == ["domain", "domain"]
    others = [
        "https://example2.co.uk/a.jpg",
        "https://co.uk.example.org/a.jpg",
        "https://notexample.co.uk/a.jpg",
        "https://example.uk/",
    ]
    assert [reason("example.co.uk", url=url) for url in others] == [None] * 4


@pytest.mark.parametrize("text", [b"\x1f\x8b\x08\xff", f"{UID}\nexample.org\n".encode("utf-16")])
def test_a_list_that_is_not_text_is_refused(reason, text):
    with pytest.raises(UserError, match=r"list\.txt:1: (not a text file in UTF-8|.*correct it)"):
        reason(text)


def test_a_list_that_is_absent_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.txt: no such file"), compiled((str(tmp_path / "absent.txt"),)):
        pass


def test_a_line_without_end_is_refused_before_it_fills_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.removal.lists._BLOCK_BYTES", 1000)
    monkeypatch.setattr("pipeline.removal.lists._LONGEST_LINE_BYTES", 10_000)
    path = tmp_path / "list.txt"
    path.write_text(f"{UID}\n{'x' * 20_000}")
    with pytest.raises(UserError, match=r"list\.txt: has a line of more than 10,000 bytes"), compiled((str(path),)):
        pass
