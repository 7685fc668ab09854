"""The next revision against the obvious: the old rows less those that a slow reading of the lists finds."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.release.layout import read_release
from pipeline.release.sums import read_sums
from pipeline.revise.listed import REASONS
from schemas.errors import UserError
from tests.pipeline.release.making import make_release, row
from tests.pipeline.revise.making import entries_of, lists, reason, revised, rows_of, sums, verified

ROWS = [row(number) for number in range(40)]
SHORT = [  # some of each kind of entry, for rows all over the release
    *(each["uid"] for each in ROWS[::7]),
    *(each["uid"].upper() for each in ROWS[3::9]),
    *(each["url"] for each in ROWS[1::8]),
    *(each["url"].replace("https://img", "http://IMG") + "#x" for each in ROWS[2::8]),
    "site003.example",
    "*.site005.example",
    "img.site006.example",
    "www.site001.example",
    *(hashlib.new(name, ROWS[at]["url"].encode()).hexdigest() for at, name in ((11, "md5"), (12, "sha1"), (13, "sha256"))),
    *(each["sha256"] for each in ROWS[4::11]),
    *(each["page_url"] for each in ROWS[5::12]),
    *(
        f"{int(each['phash'], 16) ^ mask:016x}"
        for each, mask in zip(ROWS[6::6], (0, 1, 0b1111, 0b11111, 1 << 63, 7), strict=True)
    ),
    "f" * 32,
    "nobody.example",
    "0123456789abcdef",
]


@pytest.fixture
def release(tmp_path):
    uids = [each["uid"] for each in ROWS]
    return make_release(tmp_path / "one", ROWS, file_rows=8, subsets={"all": uids * 2, "some": uids[:3], "none": []}, arrays=4)


@settings(max_examples=15)
@given(st.data())
def test_a_revision_is_the_release_less_what_the_lists_name(data):
    # Per example: some rows, a list or two, bits and pages.
    numbers = data.draw(st.lists(st.integers(0, len(ROWS) - 1), unique=True, min_size=1, max_size=24))
    groups = data.draw(st.lists(st.lists(st.sampled_from(SHORT), min_size=1, max_size=5), min_size=1, max_size=3))
    bits, pages = data.draw(st.integers(0, 6)), data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = [ROWS[number] for number in numbers]
        uids = [each["uid"] for each in rows]
        old = make_release(folder / "one", rows, file_rows=6, subsets={"all": uids * 2, "some": uids[:3]}, arrays=2)
        before, new = sums(old), folder / "two"
        manifest = revised(old, new, *groups, folder=folder, phash_bits=bits, pages=pages)
        judge = {"bits": bits, "pages": pages}
        whys = {each["uid"]: next(filter(None, (reason(each, group, **judge) for group in groups)), None) for each in rows}
        going = {uid for uid, why in whys.items() if why}
        assert sums(old) == before
        assert manifest.counts["rows_removed"] == len(going)
        if not going:
            assert not new.exists()
            return
        require_next(old, new, going)
        ledger = pq.read_table(new / "ledger/00002.parquet").to_pylist()
        assert {entry["uid_sha256"]: entry["reason"] for entry in ledger} == {hashed(uid): whys[uid] for uid in going}
        assert [entry["uid_sha256"] for entry in ledger] == sorted(entry["uid_sha256"] for entry in ledger)
        verified(new, *groups, folder=folder, phash_bits=bits, pages=pages, parent=str(old))


def hashed(uid):
    return hashlib.sha256(uid.encode()).hexdigest()


def require_next(old, new, going):
    """Rows, arrays, subsets, untouched files and description of the revision after `old`, from which those uids went."""
    assert rows_of(new) == [each for each in rows_of(old) if each["uid"] not in going]
    told, there = read_release(str(new)), sums(new)
    assert read_sums(str(new)) == {name: digest for name, digest in there.items() if name != "SHA256SUMS"}
    for path in sorted((old / "data").glob("*.parquet")):
        name = f"data/{path.name}"
        keep = [uid not in going for uid in pq.read_table(path)["uid"].to_pylist()]
        assert told.data[name] == sum(keep)
        if path.with_suffix(".npz").exists():
            was, now = (np.load(folder / "data" / f"{path.stem}.npz")["b32_img"] for folder in (old, new))
            assert now.dtype == np.float16
            assert np.array_equal(now, was[keep])
        if all(keep):
            assert there[name] == sums(old)[name]
        assert pq.read_schema(new / name).equals(pq.read_schema(path), check_metadata=True)
    for path in (old / "subsets").glob("*.npy"):
        was, now = entries_of(path), entries_of(new / "subsets" / path.name)
        assert now == [uid for uid in was if uid not in going]
        assert told.subsets[f"subsets/{path.name}"] == len(now)
        if now == was:
            assert (new / "subsets" / path.name).read_bytes() == path.read_bytes()
    assert told.parent == sums(old)["SHA256SUMS"]
    assert told.rows == sum(told.data.values()) == len(rows_of(new))
    assert told.revision == read_release(str(old)).revision + 1


def test_two_revisions_have_the_rows_of_one_by_both_lists(release, tmp_path):
    one, two = ["site003.example", ROWS[0]["uid"]], [ROWS[30]["url"], "site003.example", ROWS[31]["sha256"]]
    revised(release, tmp_path / "a", one, folder=tmp_path)
    revised(tmp_path / "a", tmp_path / "b", two, folder=tmp_path)
    revised(release, tmp_path / "c", one, two, folder=tmp_path)
    assert rows_of(tmp_path / "b") == rows_of(tmp_path / "c")
    assert entries_of(tmp_path / "b/subsets/all.npy") == entries_of(tmp_path / "c/subsets/all.npy")
    ledger = "ledger/00002.parquet"
    assert (tmp_path / "b" / ledger).read_bytes() == (tmp_path / "a" / ledger).read_bytes()
    both = [pq.read_table(tmp_path / "b" / f"ledger/0000{number}.parquet")["uid_sha256"].to_pylist() for number in (2, 3)]
    assert sorted([*both[0], *both[1]]) == pq.read_table(tmp_path / "c" / ledger)["uid_sha256"].to_pylist()
    told = read_release(str(tmp_path / "b"))
    assert [(entry["revision"], entry["rows"]) for entry in told.removed] == [(2, 6), (3, 2)]
    verified(tmp_path / "b", one, two, folder=tmp_path, parent=str(tmp_path / "a"))


def test_a_domain_touches_the_files_that_have_it_and_a_file_may_be_left_without_rows(release, tmp_path):
    gone = {each["domain"] for each in rows_of(release)[8:16]}
    revised(release, tmp_path / "two", sorted(gone), folder=tmp_path)
    was, now = sums(release), sums(tmp_path / "two")
    assert read_release(str(tmp_path / "two")).data["data/00001.parquet"] == 0
    assert pq.read_table(tmp_path / "two/data/00001.parquet").num_rows == 0
    assert [name for name in was if name.startswith("data/00004") and was[name] == now[name]] == [
        "data/00004.npz",
        "data/00004.parquet",
    ]
    same = (release / "data/00004.npz").stat().st_ino == (tmp_path / "two/data/00004.npz").stat().st_ino
    assert same, "an untouched file is linked, not copied"


def test_the_description_tells_of_the_revision_by_hashes_alone(release, tmp_path):
    first, second = ["site003.example", "nobody.example"], [ROWS[0]["sha256"], ROWS[16]["uid"]]
    revised(release, tmp_path / "two", first, second, folder=tmp_path)
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in lists(tmp_path, first, second)]
    (entry,) = read_release(str(tmp_path / "two")).removed
    assert (entry["revision"], entry["rows"], entry["by_reason"]) == (2, 6, {"content": 1, "domain": 5})
    assert entry["lists"] == [
        {"sha256": digests[0], "entries": 2, "hits": 5},
        {"sha256": digests[1], "entries": 2, "hits": 1},
    ]
    ledger = pq.read_table(tmp_path / "two/ledger/00002.parquet").to_pylist()
    assert {row["list_sha256"] for row in ledger if row["reason"] == "content"} == {digests[1]}
    for path in (tmp_path / "two").rglob("*"):
        if path.suffix in {".json", ".md"} or path.name == "SHA256SUMS":
            text = path.read_text()
            assert "site003" not in text
            assert ROWS[0]["uid"] not in text
            assert str(tmp_path) not in text
    assert not [path.name for path in (tmp_path / "two").rglob("_*")]
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "two", check=False)
    assert done.returncode == 0


def test_a_subset_keeps_how_it_was_made_and_gets_a_line_on_the_revision(release, tmp_path):
    revised(release, tmp_path / "two", ROWS[20]["uid"], folder=tmp_path)
    told = json.loads((tmp_path / "two/subsets/all.json").read_text())
    assert told == {
        "recipe": "made for a test",
        "revisions": [{"revision": 2, "removed_entries": 2, "entries": 78}],
    }
    for name in ("some.npy", "some.json", "none.npy"):
        assert (tmp_path / "two/subsets" / name).read_bytes() == (release / "subsets" / name).read_bytes()


def test_a_pair_that_only_a_subset_has_goes_from_it_by_uid(tmp_path):
    stranger = "e" * 32
    release = make_release(tmp_path / "one", ROWS[:9], subsets={"all": [stranger, ROWS[0]["uid"]]})
    revised(release, tmp_path / "two", stranger, folder=tmp_path)
    assert entries_of(tmp_path / "two/subsets/all.npy") == [ROWS[0]["uid"]]
    assert rows_of(tmp_path / "two") == rows_of(release)
    verified(tmp_path / "two", stranger, folder=tmp_path, parent=str(release))


def test_rows_of_one_uid_go_together(tmp_path):
    twin = ROWS[0] | {"sha256": "a" * 64, "phash": None}
    release = make_release(tmp_path / "one", [ROWS[0], twin, *ROWS[5:9]], file_rows=1)
    revised(release, tmp_path / "two", "a" * 64, folder=tmp_path)
    assert [each["uid"] for each in rows_of(tmp_path / "two")] == [each["uid"] for each in rows_of(release)[2:]]
    assert pq.read_table(tmp_path / "two/ledger/00002.parquet").num_rows == 1


def test_what_is_named_as_repeated_stays_named(tmp_path):
    """A survivor's dup_of may name a pair that went: files that have no listed row are left as they are."""
    copy = row(10, dup_of=ROWS[0]["uid"], dup_cos=0.99)
    release = make_release(tmp_path / "one", [*ROWS[:9], copy], file_rows=4)
    revised(release, tmp_path / "two", ROWS[0]["uid"], folder=tmp_path)
    assert [each["dup_of"] for each in rows_of(tmp_path / "two") if each["uid"] == copy["uid"]] == [ROWS[0]["uid"]]


@pytest.mark.parametrize("by", ["content", "phash", "page"])
def test_reasons_beyond_the_pool_s_are_among_those_that_ledgers_know(by):
    assert REASONS == ("uid", "url", "domain", "hash", "content", "phash", "page")
    assert by in REASONS


def test_a_release_without_the_pair_is_left_alone_and_said_so(release, tmp_path, capsys):
    manifest = revised(release, tmp_path / "two", ["f" * 32, "nobody.example", "0123456789abcdef"], folder=tmp_path)
    assert (manifest.counts["rows_in"], manifest.counts["rows_removed"]) == (40, 0)
    assert "nothing on these lists" in capsys.readouterr().out
    assert not (tmp_path / "two").exists()


def test_a_file_of_the_publisher_s_own_is_carried_over(release, tmp_path):
    (release / "LICENSE").write_text("CC-BY-4.0\n")
    digest = hashlib.sha256(b"CC-BY-4.0\n").hexdigest()
    with (release / "SHA256SUMS").open("a") as file:
        file.write(f"{digest}  LICENSE\n")
    revised(release, tmp_path / "two", ROWS[0]["uid"], folder=tmp_path)
    assert read_sums(str(tmp_path / "two"))["LICENSE"] == sums(tmp_path / "two")["LICENSE"] == digest


def test_a_release_without_perceptual_hashes_refuses_a_list_of_them(release, tmp_path):
    path = release / "data/00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["phash"]), path)
    with pytest.raises(UserError, match=r"00001\.parquet: no column phash to compare"):
        revised(release, tmp_path / "two", "0123456789abcdef", folder=tmp_path)
    shutil.rmtree(tmp_path / "two", ignore_errors=True)
