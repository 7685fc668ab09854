"""Images that look alike: every pair of perceptual hashes within the distance is found, a viral image costs next to nothing."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup import DedupConfig, run
from pipeline.dedup.perceptual import cheapest_cut, nearest_hashes, part_radii, part_widths


def by_all_pairs(hashes: np.ndarray, bits: int) -> tuple[list[int], list[int]]:
    index, distance = [-1] * len(hashes), [0] * len(hashes)
    for row in range(1, len(hashes)):
        apart = np.bitwise_count(hashes[:row] ^ hashes[row])
        if apart.min() <= bits:
            index[row], distance[row] = int(apart.argmin()), int(apart.min())
    return index, distance


def with_near_copies(rng: np.random.Generator, n: int, most: int) -> np.ndarray:
    """(n,) uint64: random hashes, of which each one in two is another with up to `most` bits turned over."""
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    for row in rng.permutation(n)[: n // 2]:
        flips = rng.choice(64, rng.integers(0, most + 1), replace=False).astype(np.uint64)
        hashes[row] = hashes[rng.integers(0, n)] ^ np.bitwise_or.reduce(np.uint64(1) << flips, initial=np.uint64(0))
    return hashes


@pytest.mark.parametrize("bits", [0, 1, 3, 8, 12, 16])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_nearest_earlier_hash_is_found_for_every_row(bits, threads):
    hashes = with_near_copies(np.random.default_rng(bits), 3000, bits + 2)
    hashes[100:200] = hashes[5]
    index, distance = nearest_hashes(hashes, bits=bits, threads=threads)
    assert (index.tolist(), distance.tolist()) == by_all_pairs(hashes, bits)


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 15), max_size=30), st.integers(0, 16))
def test_hashes_of_any_kind_are_searched_alike(hashes, bits):
    index, distance = nearest_hashes(np.array(hashes, np.uint64), bits=bits)
    assert (index.tolist(), distance.tolist()) == by_all_pairs(np.array(hashes, np.uint64), bits)


@pytest.mark.parametrize("bits", range(17))
@pytest.mark.parametrize("n", [2, 10_000, 10**8])
def test_two_hashes_within_the_distance_are_near_in_one_part_at_least(bits, n):
    parts = cheapest_cut(n, bits)
    assert sum(part_widths(parts)) == 64
    assert max(part_widths(parts)) <= 24
    assert sum(radius + 1 for radius in part_radii(parts, bits)) == bits + 1  # more than two such hashes can differ in


def test_an_image_that_is_found_a_million_times_is_searched_for_once():
    hashes = np.zeros(1_000_000, np.uint64)
    hashes[-1] = 1
    nearest_hashes(hashes[-2:], bits=8)  # compile
    started = time.process_time()
    index, distance = nearest_hashes(hashes, bits=8)
    assert time.process_time() - started < 3
    assert index[1:].tolist() == [0] * 999_999
    assert (distance[:-1] == 0).all()
    assert distance[-1] == 1


def test_columns_tell_the_nearest_earlier_row_and_how_far_it_is(write_pool, tmp_path, read_written):
    hashes = ["0" * 16, "00000000000000ff", "000000000000000f", None, "?", "0" * 16]
    folder = write_pool([{"uid": [c * 32 for c in "abcdef"][i : i + 3], "phash": hashes[i : i + 3]} for i in (0, 3)])
    manifest = run(DedupConfig(metadata=str(folder), out=str(tmp_path / "out"), by=("perceptual",), bits=4))
    table = read_written(tmp_path / "out")
    assert [uid and uid[0] for uid in table["phash_dup_of"].to_pylist()] == [None, None, "a", None, None, "a"]
    assert table["phash_dup_bits"].to_pylist() == [None, None, 4, None, None, 0]
    assert table.column_names == ["uid", "phash_dup_of", "phash_dup_bits"]
    assert manifest.counts == {
        "perceptual_duplicates": 2,
        "perceptual_groups": 1,
        "rows": 6,
        "rows_without_phash": 2,
    }
