"""Where a uid stands: in the subsets as often as it is listed there, in the ledger of the revision that took it out."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import main
from pipeline.lookup.standing import Removal, Subsets, removals_of
from pipeline.release.layout import Release
from schemas.errors import UserError
from schemas.releases import LEDGERS
from schemas.subsets import SUBSET_DTYPE, uids_to_array
from tests.pipeline.release.making import make_release, row

FEW = [f"{high:016x}{low:016x}" for high in (0, 1, 2**63, 2**64 - 1) for low in (0, 1, 2**64 - 1)]


def subsets_with(folder, array, name="some"):
    (folder / "subsets").mkdir(exist_ok=True)
    np.save(folder / "subsets" / f"{name}.npy", array)
    return Subsets(str(folder), Release(name="r", subsets={f"subsets/{name}.npy": len(array)}))


@settings(max_examples=30)
@given(st.lists(st.sampled_from(FEW), max_size=30))
def test_a_weight_is_how_often_a_uid_stands_in_the_file(tmp_path_factory, uids):
    subsets = subsets_with(tmp_path_factory.mktemp("subset"), uids_to_array(uids))
    assert [subsets.weights(uid) for uid in FEW] == [{"some": uids.count(uid)} for uid in FEW]


def test_a_file_is_not_read_to_find_a_weight(tmp_path):
    sparse = tmp_path / "subsets" / "huge.npy"
    sparse.parent.mkdir()
    entries = 1_000_000_000  # 16 GB of zeros that take no room on the disk
    with sparse.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": [("f0", "<u8"), ("f1", "<u8")], "fortran_order": False, "shape": (entries,)}
        )
        file.truncate(file.tell() + 16 * entries)
    subsets = Subsets(str(tmp_path), Release(name="r", subsets={"subsets/huge.npy": entries}))
    assert subsets.weights("0" * 32) == {"huge": entries}
    assert subsets.weights("f" * 32) == {"huge": 0}


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2), SUBSET_DTYPE), np.array(["a"])])
def test_a_file_that_is_no_subset_is_refused(tmp_path, array):
    with pytest.raises(UserError, match=r"some\.npy: not a subset"):
        subsets_with(tmp_path, array)


@pytest.mark.parametrize("data", [b"", b"PK", b"\x93NUMPY\x01\x00\x10\x00{'shape': evil()}", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_refused(tmp_path, data):
    (tmp_path / "subsets").mkdir()
    (tmp_path / "subsets" / "some.npy").write_bytes(data)
    with pytest.raises(UserError, match="not a subset"):
        Subsets(str(tmp_path), Release(name="r", subsets={"subsets/some.npy": 1}))


def test_a_subset_that_was_cut_short_is_refused(tmp_path):
    subsets_with(tmp_path, uids_to_array(FEW))
    path = tmp_path / "subsets" / "some.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match="length"):
        Subsets(str(tmp_path), Release(name="r", subsets={"subsets/some.npy": 1}))


def with_ledger(folder, revision, uids, reason="domain"):
    (folder / "ledger").mkdir(exist_ok=True)
    hashes = [hashlib.sha256(uid.encode()).hexdigest() for uid in uids]
    rows = {"uid_sha256": sorted(hashes), "reason": [reason] * len(uids), "list_sha256": ["ab" * 32] * len(uids)}
    pq.write_table(pa.table(rows, LEDGERS), folder / "ledger" / f"{revision:05d}.parquet")


def test_a_uid_that_was_taken_out_is_told_with_revision_and_reason(tmp_path):
    with_ledger(tmp_path, 2, FEW[:3])
    with_ledger(tmp_path, 3, FEW[3:5], reason="phash")
    release = Release(name="r", revision=4, removed=({"revision": 2}, {"revision": 3}, {"revision": 4}))
    assert removals_of(str(tmp_path), release, FEW[1]) == [Removal(2, "domain", "ab" * 32)]
    assert removals_of(str(tmp_path), release, FEW[4]) == [Removal(3, "phash", "ab" * 32)]
    assert removals_of(str(tmp_path), release, FEW[7]) == []


def test_the_command_tells_of_weights_and_removals(tmp_path, capsys):
    from dataclasses import replace

    from pipeline.release.layout import read_release, write_release

    rows = [row(i) for i in range(4)]
    gone = FEW[5]
    folder = make_release(tmp_path, rows, subsets={"basic": [rows[1]["uid"]] * 3 + [gone], "none": []})
    with_ledger(folder, 2, [gone], reason="url")
    write_release(str(folder), replace(read_release(str(folder)), revision=2, removed=({"revision": 2, "rows": 1},)))
    assert main(["lookup", str(folder), rows[1]["uid"]]) == 0
    told = capsys.readouterr().out
    assert "basic  3 times" in told
    assert "none   not in it" in told
    assert main(["lookup", str(folder), gone]) == 0
    told = capsys.readouterr().out
    assert "removed: revision 2 took out a pair with this uid, reason url" in told
    assert "yet stands in subsets: basic once" in told
