"""Copies to the byte: the first of each sha256 stands for the others; and rows sort by keys of any length."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup import DedupConfig, run
from pipeline.dedup.order import Order
from pipeline.dedup.sorting import sort_by_words
from pipeline.metadata.hashes import hash_words


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def uids(*digits: str) -> list[str]:
    return [digit * 32 for digit in digits]


def marked(folder, out, read_written, column="exact_dup_of", **settings):
    manifest = run(DedupConfig(metadata=str(folder), out=str(out), by=("exact",), **settings))
    return [uid and uid[0] for uid in read_written(out)[column].to_pylist()], manifest


def test_the_first_row_with_a_hash_stands_for_all_others_across_files(write_pool, tmp_path, read_written):
    images, others = [sha256(name) for name in "xyx"], [sha256(name) for name in "zxy"]
    folder = write_pool([{"uid": uids(*"fea"), "sha256": images}, {"uid": uids(*"cbd"), "sha256": others}])
    copies, manifest = marked(folder, tmp_path / "out", read_written)
    assert copies == ["a", "d", None, None, "a", None]
    assert {name: manifest.counts[name] for name in ("exact_duplicates", "exact_groups", "rows")} == {
        "exact_duplicates": 3,
        "exact_groups": 2,
        "rows": 6,
    }


def test_the_highest_clip_score_comes_first_where_there_is_one(write_pool, tmp_path, read_written):
    scores = pa.array([0.1, 0.3, None, float("nan")], pa.float32())
    folder = write_pool([{"uid": uids(*"abcd"), "sha256": [sha256("x")] * 4, "clip_b32_similarity_score": scores}])
    assert marked(folder, tmp_path / "out", read_written)[0] == ["b", None, "b", "b"]


def test_hashes_that_agree_in_their_first_bits_only_are_no_copies(write_pool, tmp_path, read_written):
    hashes = ["0" * 64, "0" * 63 + "1", "0" * 8 + "f" * 56, "0" * 64, "0" * 63 + "1"]
    folder = write_pool([{"uid": uids(*"abcde"), "sha256": hashes}])
    assert marked(folder, tmp_path / "out", read_written)[0] == [None, None, None, "a", "b"]


def test_a_row_without_a_hash_or_with_a_damaged_one_is_nobodys_copy(write_pool, tmp_path, read_written):
    folder = write_pool([{"uid": uids(*"abcd"), "sha256": [None, None, "../../etc", sha256("x")]}])
    copies, manifest = marked(folder, tmp_path / "out", read_written)
    assert copies == [None] * 4
    assert manifest.counts["rows_without_sha256"] == 3


def test_the_stored_image_may_be_meant_instead(write_pool, tmp_path, read_written):
    folder = write_pool([{"uid": uids(*"ab"), "sha256": [sha256("x"), sha256("y")], "stored_sha256": [sha256("z")] * 2}])
    assert marked(folder, tmp_path / "served", read_written)[0] == [None, None]
    assert marked(folder, tmp_path / "stored", read_written, hash="stored")[0] == [None, "a"]


def test_two_rows_with_one_uid_are_told_apart_by_their_place(write_pool, tmp_path, read_written):
    folder = write_pool([{"uid": uids(*"aa"), "sha256": [sha256("x")] * 2}])
    assert marked(folder, tmp_path / "out", read_written)[0] == [None, "a"]


def test_a_file_without_the_column_is_named_and_the_others_are_compared(write_pool, tmp_path, read_written):
    folder = write_pool([{"uid": uids(*"ab"), "sha256": [sha256("x")] * 2}, {"uid": uids(*"c")}])
    copies, manifest = marked(folder, tmp_path / "out", read_written)
    assert copies == [None, "a"]
    assert [report.error for report in manifest.failed_inputs] == [f"{folder}/00001.parquet: no column sha256"]


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=40), st.randoms())
def test_keys_sort_as_tuples_do_and_ties_keep_their_ids(keys, random):
    ids = random.sample(range(100), len(keys))
    words = np.array(keys, np.uint64).reshape(-1, 3)
    words[:, 0] <<= np.uint64(32 - 1)  # what tells them apart lies in the first 32 bits and behind them

    def read():
        yield np.array(ids[1::2], np.int32), words[1::2]
        yield np.array(ids[::2], np.int32), words[::2]

    firsts = (words[:, 0] >> np.uint64(32)).astype(np.uint32)
    result = sort_by_words(firsts, np.array(ids, np.int32), read)
    by_key = sorted(zip(words.tolist(), ids, strict=True))
    assert result.ids.tolist() == [id_ for _, id_ in by_key]
    assert result.same.tolist() == [bool(i) and by_key[i][0] == by_key[i - 1][0] for i in range(len(by_key))]


NUMBERS = {
    pa.float32(): [0.25, -0.0, 0.0, -1.5, float("inf"), float("-inf"), 1e-40, float("nan"), None],
    pa.float64(): [0.1, -0.1, 1e-320, 1e300, float("nan"), None],
    pa.int64(): [0, -1, 2**62, -(2**62), 7, None],
    pa.int32(): [0, -1, 2**31 - 1, -(2**31), None],
    pa.uint32(): [0, 1, 2**32 - 1, None],
    pa.bool_(): [True, False, None],
}


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_of_all_kinds_order_rows_and_those_without_come_last(kind, sign):
    values = NUMBERS[kind]
    batch = pa.record_batch({"x": pa.array(values, kind)})
    words = Order(("x:high" if sign < 0 else "x",)).words(batch)[:, 0]
    got = [values[row] for row in np.argsort(words, kind="stable")]
    present = [value for value in values if value is not None and not np.isnan(float(value))]
    assert got[: len(present)] == sorted(present, key=lambda value: sign * float(value) if kind != pa.int64() else sign * value)
    assert all(value is None or np.isnan(value) for value in got[len(present) :])


def test_hex_digits_become_words_and_nothing_else_does():
    fits, words = hash_words(pa.array(["00000000000000ff", "FFFFFFFFFFFFFFFF", "xyz", None, "0" * 17]), 16)
    assert fits.tolist() == [True, True, False, False, False]
    assert words[:, 0].tolist() == [255, 2**64 - 1]
    assert hash_words(pa.array(["0" * 32 + "0" * 31 + "1"]), 64)[1].tolist() == [[0, 0, 0, 1]]
    with pytest.raises(TypeError, match="int64; it should be text of 16 hex digits"):
        hash_words(pa.array([1]), 16)
