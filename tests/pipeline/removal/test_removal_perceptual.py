"""Perceptual hashes on removal lists: read where there are images to compare, refused by name where there are none."""

import hashlib

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.removal import compiled, compiled_each
from schemas.errors import UserError

PHASH = "8f0e1d2c3b4a5968"
UID = hashlib.md5(b"somebody's picture").hexdigest()


@pytest.mark.parametrize("line", [PHASH, PHASH.upper(), f"{PHASH}  # by mail", f"\ufeff{PHASH}\r"])
def test_sixteen_hex_digits_are_a_perceptual_hash(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"{line}\n{UID}\nexample.org\n")
    with compiled_each([str(path)]) as (removal,):
        table = removal.table()
        high, low = table.keys("phash")
        assert (high.tolist(), low.tolist()) == ([int(PHASH, 16)], [0])
        assert table.entries == 3
        assert removal.reasons([UID, "f" * 32], ["https://a.example/", "https://www.example.org/x"]).tolist() == [1, 3]


def test_each_list_is_compiled_by_itself_in_the_order_given(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text(f"{number:032x}\n{number:016x}\n")
    paths = [str(tmp_path / f"{number}.txt") for number in range(2)]
    with compiled_each(paths) as lists:
        assert [list(each.digests) for each in lists] == [[path] for path in paths]
        assert [each.table().keys("phash")[0].tolist() for each in lists] == [[0], [1]]
        assert lists[0].digests[paths[0]] == hashlib.sha256((tmp_path / "0.txt").read_bytes()).hexdigest()


def test_hashes_of_all_lengths_are_told_apart(tmp_path):
    draw = np.random.default_rng(5)
    digits = [draw.bytes(size).hex() for size in (8, 16, 20, 32) for _ in range(50)]
    (tmp_path / "list.txt").write_text("\n".join(draw.permutation(digits).tolist()))
    with compiled_each([str(tmp_path / "list.txt")]) as (removal,):
        for kind, at in (("phash", 0), ("md5", 50), ("sha1", 100), ("sha256", 150)):
            high = removal.table().keys(kind)[0].tolist()
            assert high == sorted(int(each[:16], 16) for each in digits[at : at + 50])


@pytest.mark.parametrize("line", [PHASH, f"{PHASH} # by mail"])
def test_where_no_image_is_compared_they_are_refused_and_not_passed_over(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"{UID}\n{line}\n")
    with (
        pytest.raises(UserError, match=rf"list\.txt:2: '{PHASH}' is a perceptual hash.*for `webpairs revise`"),
        compiled([str(path)]),
    ):
        pass


@pytest.mark.parametrize("stage", ["pool", "download"])
def test_pool_and_download_refuse_them_before_they_begin(tmp_path, capsys, stage):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "in").mkdir()
    pairs = pa.table({"uid": [UID], "url": ["http://127.0.0.1:9/a.jpg"], "text": ["a picture"]})
    pq.write_table(pairs, tmp_path / "in/0.parquet")
    (tmp_path / "list.txt").write_text(PHASH)
    source = "--candidates" if stage == "pool" else "--pool"
    words = [stage, source, str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--remove", str(tmp_path / "list.txt")]
    assert main(words) == 1
    assert "is a perceptual hash" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
