"""pull --columns: the rows of the release with these columns only, and of the others not a byte."""

import hashlib
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import main
from pipeline.pull.columns import Wanted, fetch_columns
from pipeline.pull.persisting import Patience
from pipeline.pull.web import Web
from pipeline.release.layout import read_release
from pipeline.release.sums import read_sums, sums_of
from schemas.errors import UsageError, UserError
from tests.pipeline.pull.serving import corrupt, cut, for_ever, serving, status, then_replaced_by, whole_always
from tests.pipeline.release.making import make_release, row

NAME = "data/00000.parquet"
WANTED = ["uid", "text", "domain", "robots", "clip_b32_similarity_score"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A release whose texts and page addresses are long and do not compress: the columns are most of the file."""
    rng = np.random.default_rng(0)
    rows = [
        row(i, text=rng.bytes(60).hex(), page_url=f"https://p.example/{rng.bytes(200).hex()}", robots=["noai"] * (i % 3))
        for i in range(700)
    ]
    return make_release(tmp_path_factory.mktemp("wide"), rows, file_rows=500, arrays=16, subsets={"some": [rows[7]["uid"]]})


@pytest.fixture
def server(wide):
    with serving(wide) as served:
        yield served


def test_the_rows_are_those_of_the_release_and_the_copy_is_a_release(pulled, wide, tmp_path):
    pulled(columns=("text", "clip_b32_similarity_score", "domain", "robots"))
    copy = tmp_path / "copy"
    for name in read_release(str(wide)).data:
        found = pq.read_table(copy / name)
        assert found.equals(pq.read_table(wide / name, columns=found.column_names))
        assert sorted(found.column_names) == sorted(WANTED)
        assert found.schema.field("text").metadata == pq.read_schema(wide / name).field("text").metadata
    described = read_release(str(copy))
    assert [column["name"] for column in described.columns] == found.column_names
    assert described.parent == hashlib.sha256((wide / "SHA256SUMS").read_bytes()).hexdigest()
    assert (described.rows, described.sort_order, described.arrays) == (700, ("domain",), {})
    sums = read_sums(str(copy))
    assert sums == sums_of(str(copy), sums)
    assert (copy / "subsets" / "some.npy").read_bytes() == (wide / "subsets" / "some.npy").read_bytes()
    assert not (copy / "data" / "00000.npz").exists()
    assert not (copy / "README.md").exists(), "it describes columns that are not here"
    group = pq.ParquetFile(copy / NAME).metadata.row_group(0)
    assert [each.column_index for each in group.sorting_columns] == [found.column_names.index("domain")]


def test_of_other_columns_not_a_byte_is_asked_for(pulled, server, wide):
    manifest = pulled(columns=("text",))
    metadata = pq.read_metadata(wide / NAME)
    group = metadata.row_group(0)
    chunks = {each.path_in_schema: each.total_compressed_size for each in map(group.column, range(group.num_columns))}
    assert server.bytes_sent(NAME) == chunks["uid"] + chunks["text"] + metadata.serialized_size + 8
    assert manifest.counts["bytes_downloaded"] == server.bytes_sent()
    assert manifest.counts["bytes_of_the_whole_files"] == sum(path.stat().st_size for path in wide.glob("data/*.parquet"))
    pages = _bytes_of(wide / NAME, "page_url")
    asked = [one.headers["range"].removeprefix("bytes=").split("-") for one in server.requests(NAME)]
    assert all(int(last) < pages.start or int(first) >= pages.stop for first, last in asked if first)


def _bytes_of(path, column):
    group = pq.read_metadata(path).row_group(0)
    chunk = next(each for each in map(group.column, range(group.num_columns)) if each.path_in_schema == column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    return range(start, start + chunk.total_compressed_size)


def test_filter_works_on_such_a_copy(pulled, tmp_path, wide):
    pulled(columns=("text", "clip_b32_similarity_score"))
    words = ["filter", "--name", "clip_score", "--arch", "b32", "--threshold", "0.3"]
    for folder in (tmp_path / "copy", wide):
        assert main([*words, "--metadata-dir", str(folder / "data"), "--save-path", str(tmp_path / f"{folder.name}.npy")]) == 0
    assert (tmp_path / "copy.npy").read_bytes() == (tmp_path / f"{wide.name}.npy").read_bytes()


def test_again_nothing_is_downloaded_and_other_columns_need_another_folder(pulled, server):
    pulled(columns=("text",))
    before = len(server.asked)
    assert pulled(columns=("text", "uid")).counts["files_downloaded"] == 0
    assert len(server.asked) == before + 2
    with pytest.raises(UserError, match="holds the columns text, uid, not the columns lang, uid; give another DIR"):
        pulled(columns=("lang",))
    with pytest.raises(UserError, match="holds the columns text, uid, not all columns"):
        pulled()


@pytest.mark.parametrize("columns", [(), ("text",)])
def test_a_run_killed_before_it_had_noted_a_file_is_no_trouble(columns, pulled, tmp_path):
    pulled(columns=columns)
    copy = tmp_path / "copy"
    whole = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and not path.name.startswith("_")}
    journal = (copy / "_pulled.jsonl").read_bytes()
    (copy / "_pulled.jsonl").write_bytes(journal[: journal.index(b"data/00000.parquet")])
    (copy / "SHA256SUMS").unlink()
    assert pulled(columns=columns).failed_inputs == []
    assert {path: path.read_bytes() for path in whole} == whole
    assert pulled(columns=columns).counts["files_downloaded"] == 0


def test_arrays_come_with_columns_if_they_are_asked_for(pulled, tmp_path):
    pulled(columns=("text",), files=("data/*",))
    assert read_release(str(tmp_path / "copy")).arrays == {"b32_img": 16}


def test_an_unknown_column_is_told_with_those_there_are(pulled):
    with pytest.raises(UsageError, match=r"--columns texte: not in this release; it has uid, url, text, domain"):
        pulled(columns=("texte", "text"))


def test_a_server_without_ranges_cannot_give_columns(pulled, server):
    server.on(NAME, for_ever(whole_always))
    manifest = pulled(columns=("text",))
    assert "does not send parts of files, which --columns needs" in manifest.failed_inputs[0].error
    assert server.requests(NAME)[0].bytes_sent < 2_000_000


@pytest.mark.parametrize("where", [0.1, 0.5, 0.95])
def test_damage_in_a_wanted_page_is_found_and_downloaded_once_more(where, pulled, server, wide, tmp_path):
    text = _bytes_of(wide / NAME, "text")
    flip = corrupt(text.start + int(len(text) * where))
    server.on(NAME, flip, flip, flip, flip)
    pulled(columns=("text",))
    assert pq.read_table(tmp_path / "copy" / NAME)["text"].equals(pq.read_table(wide / NAME)["text"])
    server.on(NAME, for_ever(flip))
    manifest = pulled(columns=("text",), out=str(tmp_path / "second"))
    assert [each.path for each in manifest.failed_inputs] == [NAME]
    assert "damaged" in manifest.failed_inputs[0].error
    assert not (tmp_path / "second" / "SHA256SUMS").exists()


def test_a_broken_pull_of_columns_goes_on_where_it_broke(pulled, server, wide, tmp_path):
    text = _bytes_of(wide / NAME, "text")
    server.on(NAME, *[_nothing] * 3, cut(20_000), *[_nothing] * 2, status(404))
    assert [each.path for each in pulled(columns=("text",)).failed_inputs] == [NAME]
    before = server.bytes_sent(NAME)
    manifest = pulled(columns=("text",))
    assert manifest.counts["resumed"] == 1
    footers = 3 * (pq.read_metadata(wide / NAME).serialized_size + 8)
    assert server.bytes_sent(NAME) == len(text) + len(_bytes_of(wide / NAME, "uid")) + footers
    assert server.bytes_sent(NAME) > before


def _nothing(handler):
    handler.send_file()


def test_a_file_that_changes_meanwhile_is_never_mixed(pulled, server, wide, tmp_path):
    other = make_release(tmp_path / "changing", [row(i, text=f"other {i}" * 20) for i in range(700)], file_rows=500)
    right = (other / NAME).read_bytes()
    (other / NAME).write_bytes((wide / NAME).read_bytes())
    with serving(other) as changing:
        changing.on(NAME, *[_nothing] * 2, then_replaced_by(right, 1000))
        assert pulled(url=changing.url, columns=("text",)).failed_inputs == []
    (other / NAME).write_bytes(right)
    assert pq.read_table(tmp_path / "copy" / NAME).equals(pq.read_table(other / NAME, columns=["uid", "text"]))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100, b"PAR1" + b"\xff" * 50 + b"\x10\0\0\0PAR1", b"\xff\xff\xff\x7fPAR1"])
def test_a_file_that_is_no_parquet_file_fails_by_name(data, pulled, wide, tmp_path):
    shutil.copytree(wide, tmp_path / "broken")
    (tmp_path / "broken" / NAME).write_bytes(data)
    manifest = pulled(url=str(tmp_path / "broken"), columns=("text",))
    assert [each.path for each in manifest.failed_inputs] == [NAME]
    assert "damaged" in manifest.failed_inputs[0].error


@settings(max_examples=10)
@given(
    st.sets(st.sampled_from(["url", "lang", "robots", "phash", "opted_out"])),
    st.lists(st.integers(0, 60_000), max_size=4),
)
def test_whatever_columns_and_breaks_the_values_are_the_sources(tmp_path_factory, wide, columns, breaks):
    target = tmp_path_factory.mktemp("columns") / "00000.parquet"
    with serving(wide) as server:
        for position in breaks:
            server.on(NAME, _nothing, _nothing, cut(position))
        source = Web(server.url, connections=1, timeout_s=5)
        wanted = Wanted(name=NAME, columns=sorted({*columns, "uid"}), rows=500, key=os.urandom(32).hex())
        total = fetch_columns(source, wanted, target, Patience(attempts=10, first_wait_s=0, most_bytes=1 << 30))
        source.hang_up()
    found = pq.read_table(target)
    assert total == (wide / NAME).stat().st_size
    assert set(found.column_names) == set(wanted.columns)
    assert found.equals(pq.read_table(wide / NAME, columns=found.column_names))


def test_lookup_and_revise_work_on_such_a_copy(pulled, tmp_path, wide, capsys):
    pulled(columns=("domain", "url"))
    uid = row_of(wide, 7)
    assert main(["lookup", str(tmp_path / "copy"), uid]) == 0
    assert "row 1 of 1" in capsys.readouterr().out
    (tmp_path / "list").write_text(uid)
    assert main(["revise", str(tmp_path / "copy"), "--remove", str(tmp_path / "list"), "--out", str(tmp_path / "next")]) == 0
    after = read_release(str(tmp_path / "next"))
    assert (after.rows, after.revision) == (699, 2)
    assert uid not in pq.read_table(tmp_path / "next" / NAME)["uid"].to_pylist()


def row_of(release, number):
    """The uid in one row of the first file."""
    return pq.read_table(release / NAME, columns=["uid"])["uid"][number].as_py()
