"""What bench/cluster.sh rests on: that two outputs are told apart, and that no process of a cluster outlives it."""

import io
import json
import subprocess
import sys
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.cluster_compare import differences
from bench.cluster_processes import MARK, end_marked, marked


def make_output(folder, *, score=0.5, duration_s=1.0, image=b"jpeg", part="a-0123456789ab"):
    """A small folder as a stage leaves one: a table, an array, a shard, a manifest."""
    folder.mkdir()
    pq.write_table(
        pa.table({"uid": ["1", "2"], "score": [score, None], "duration_s": [duration_s, 0]}), folder / f"{part}.parquet"
    )
    np.savez(folder / "a.npz", img=np.array([[score]]))
    with tarfile.open(folder / "a.tar", "w") as tar:
        member = tarfile.TarInfo("0.jpg")
        member.size = len(image)
        tar.addfile(member, io.BytesIO(image))
    (folder / "_manifest.json").write_text(json.dumps({"counts": {"rows_out": 2}}))
    return str(folder)


@pytest.mark.parametrize("same", [{}, {"duration_s": 9.0}, {"part": "a-ba9876543210"}], ids=str)
def test_what_may_differ_by_nature_is_no_difference(tmp_path, same):
    assert differences("score", make_output(tmp_path / "one"), make_output(tmp_path / "other", **same)) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"score": 0.25}, ["a.npz: array img differs", "a.parquet: column score differs, first in row 0: 0.5 and 0.25"]),
        ({"image": b"JPEG"}, ["a.tar: member 0.jpg differs"]),
    ],
    ids=str,
)
def test_every_other_difference_is_told(tmp_path, changed, told):
    assert differences("score", make_output(tmp_path / "one"), make_output(tmp_path / "other", **changed)) == told


def test_a_file_on_one_side_only_and_other_counts_are_told(tmp_path):
    one, other = make_output(tmp_path / "one"), make_output(tmp_path / "other")
    (tmp_path / "other" / "b.tar").write_bytes(b"")
    (tmp_path / "other" / "_manifest.json").write_text(json.dumps({"counts": {"rows_out": 3}}))
    assert differences("score", one, other) == [f"b.tar: only in {other}", "counts: {'rows_out': 2} and {'rows_out': 3}"]


def test_a_mark_finds_grandchildren_in_sessions_of_their_own_and_ends_them():
    child = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", child], env={MARK: "test-of-marks-worker0"})
    while len(marked("test-of-marks")) < 2:
        assert process.poll() is None
    end_marked("test-of-marks")
    assert marked("test-of-marks") == []
    assert process.wait() == -9
