"""What a WAT is called: without secrets wherever it is written down, and its part the same whatever is read besides."""

from pathlib import Path

import pytest

from pipeline.extract import ExtractConfig, run
from pipeline.extract.naming import part_name, public_path, wat_path
from schemas.errors import UserError


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("https://h.example/a/x.wat.gz?X-Amz-Signature=SECRET", "https://h.example/a/x.wat.gz"),
        ("https://user:SECRET@h.example:8080/x.wat.gz#SECRET", "https://h.example:8080/x.wat.gz"),
        ("https://us:SEC?RET@h.example/x.wat.gz", "https://h.example/x.wat.gz"),
        ("http://[::1]:80/x.wat.gz?SECRET", "http://[::1]:80/x.wat.gz"),
        ("http://[::1/x.wat.gz", "http://[::1/x.wat.gz"),
        ("ftp://user:SECRET@h.example/x.wat.gz", "ftp://h.example/x.wat.gz"),
        ("s3://bucket/x.wat.gz", "s3://bucket/x.wat.gz"),
        ("abfs://container@account.dfs.core.windows.net/x.wat.gz", "abfs://container@account.dfs.core.windows.net/x.wat.gz"),
        ("simplecache::https://u:SECRET@h.example/x.wat.gz?SECRET", "simplecache::https://h.example/x.wat.gz"),
        ("zip://x.wat.gz::https://h.example/a.zip?SECRET", "zip://x.wat.gz::https://h.example/a.zip"),
        ("/a/what?/a#b@c/x.wat.gz", "/a/what?/a#b@c/x.wat.gz"),
        ("C:x?.wat.gz", "C:x?.wat.gz"),
    ],
)
def test_a_url_is_written_down_without_user_query_and_fragment_and_a_local_path_as_it_is(path, public):
    assert public_path(path) == public


def test_a_file_of_common_crawl_is_called_as_there_whichever_mirror_it_comes_from():
    named = "crawl-data/CC-TEST-1/wat/x.warc.wat.gz"
    assert {wat_path(f"{mirror}/{named}") for mirror in ("https://h.example", "s3://commoncrawl", "/mirror")} == {named}
    assert wat_path(f"https://h.example/{named}?token=SECRET") == named


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/a/CC-MAIN-2024-0001.warc.wat.gz", "CC-MAIN-2024-0001"),
        ("/a/x.arc.wat.gz", "x"),
        ("/a/y.wat", "y"),
        ("https://h.example/z.warc.wat.gz?token=1", "z"),
        ("/a/_hidden.wat.gz", "hidden"),
        ("/a/..wat.gz", "wat"),
        ("/a/ü <b>'$(rm)\n.wat.gz", "b_rm_"),
        ("/a/\udcff.wat.gz", "wat"),
        ("/a/" + "n" * 300 + ".wat.gz", "n" * 120),
    ],
)
def test_a_part_s_name_is_a_safe_file_name_that_begins_as_the_wat_s(path, base):
    name, _, digest = part_name(path).rpartition("-")
    assert name == base
    assert len(digest) == 12
    assert set(digest) <= set("0123456789abcdef")


def test_a_part_s_name_depends_on_its_own_path_alone_and_on_all_of_it():
    paths = ["/a/x.warc.wat.gz", "/b/x.warc.wat.gz", "/b/X.wat.gz", "/b/x.wat"]
    assert len({part_name(path).lower() for path in paths}) == 4
    assert part_name("https://h.example/x.wat.gz?token=1") == part_name("https://h.example/x.wat.gz?token=2")


def wat_in(folder: Path, make, name: str) -> Path:
    folder.mkdir()
    (folder / "x.warc.wat.gz").write_bytes(make.member(make.record(make.page([make.image(f"{name}.jpg")]))))
    return folder / "x.warc.wat.gz"


def test_a_wat_of_the_same_name_that_is_added_leaves_the_first_one_s_part_as_it_is(make, tmp_path):
    first, out = wat_in(tmp_path / "a", make, "first"), tmp_path / "out"
    named = (f"{tmp_path}/?/*.wat.gz",)
    before = run(ExtractConfig(out=str(out), wat=named)).parts
    wat_in(tmp_path / "b", make, "second")
    after = run(ExtractConfig(out=str(out), wat=named))
    assert before == (part_name(str(first)),)
    assert after.parts_resumed == 1
    assert sorted(path.stem for path in out.glob("*.parquet")) == sorted(after.parts)


def test_wats_that_only_their_query_tells_apart_are_refused(tmp_path):
    named = ("https://h.example/get?file=1&key=SECRET", "https://h.example/get?file=2&key=SECRET")
    with pytest.raises(UserError, match=r"^https://h\.example/get: stands for several WATs") as caught:
        run(ExtractConfig(out=str(tmp_path / "out"), wat=named))
    assert "SECRET" not in str(caught.value)
