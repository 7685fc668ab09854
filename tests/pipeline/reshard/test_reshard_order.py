"""The look-up and the order: against slow references, for any subset, any seed and any size of shards."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reshard.order import Source, chosen, shard_parts
from pipeline.reshard.plan import PICK
from pipeline.reshard.subset import look_up, prepare
from schemas.subsets import SUBSET_DTYPE, array_to_uids, sort_rows

HALVES = st.sampled_from([0, 1, 2, 2**63, 2**64 - 2, 2**64 - 1])
UIDS = st.lists(st.tuples(HALVES, HALVES), max_size=40).map(lambda rows: np.array(rows, SUBSET_DTYPE))


@given(UIDS, UIDS)
def test_a_uid_is_found_as_often_as_it_is_there(subset, uids):
    subset = sort_rows(subset)
    first, times = look_up(subset, uids)
    there = Counter(subset.tolist())
    assert times.tolist() == [there[uid] for uid in uids.tolist()]
    assert first.tolist() == [sum(other < uid for other in subset.tolist()) for uid in uids.tolist()]


@pytest.mark.parametrize("raw", [True, False])
def test_uids_are_mapped_from_npy_and_from_nothing_but_uids(tmp_path, raw):
    uids = sort_rows(np.random.default_rng(0).integers(0, 4, (100, 2)).astype("<u8").view(SUBSET_DTYPE).reshape(-1))
    path = tmp_path / "subset.npy"
    if raw:
        uids.tofile(path)
    else:
        np.save(path, uids)
    found = prepare(str(path), str(tmp_path))
    assert (found.path, found.rows, found.distinct) == (str(path), 100, len(np.unique(uids)))


def test_a_subset_that_is_not_sorted_is_sorted_in_a_copy(shards, make):
    shards.fill()
    shards.choose([7, 7, 40])
    given_order = np.load(shards.subset)[::-1]
    np.save(shards.subset, given_order)
    shards.run()
    assert shards.keys() == [f"{make.uid(7)}-0", f"{make.uid(7)}-1", f"{make.uid(40)}-0"]
    assert np.load(shards.out / "sample_ids.npy").tolist() == given_order.tolist()


def sources_of(folder, counts):
    """Per list of counts a source whose picks have them; a pick's hi is the source, its lo the pick."""
    sources, first = [], 0
    for number, times in enumerate(counts):
        picks = np.zeros(len(times), PICK)
        picks["count"], picks["hi"], picks["lo"] = times, number, np.arange(len(times))
        np.save(folder / f"{number}.npy", picks)
        copies = int(sum(times))
        if copies:
            sources.append(Source(path=f"{number}.tar", picks=f"{folder}/{number}.npy", first=first, copies=copies, sha256="0"))
        first += copies
    return sources


COUNTS = st.lists(st.lists(st.integers(1, 4), max_size=6), max_size=6)


@given(COUNTS, st.integers(1, 9), st.integers(0, 12), st.integers(0, 3))
def test_every_copy_is_in_one_shard_and_blocks_are_permuted(tmp_path_factory, counts, shard_size, block, seed):
    folder = tmp_path_factory.mktemp("picks")
    parts = shard_parts(sources_of(folder, counts), shard_size=shard_size, shuffle_bufsize=block, form="{:04d}.tar")
    found = []
    for part in parts:
        copies = chosen(part, shuffle_bufsize=block, seed=seed)
        assert [part.sources[place].path for place in copies.sources] == [f"{number}.tar" for number in copies.picks["hi"]]
        found.append(list(zip(copies.picks["hi"].tolist(), copies.picks["lo"].tolist(), copies.copies.tolist(), strict=True)))
    every = [(s, p, j) for s, times in enumerate(counts) for p, time in enumerate(times) for j in range(time)]
    assert all(len(shard) == shard_size for shard in found[:-1])
    flat = [copy for shard in found for copy in shard]
    step = block or 1
    assert [sorted(flat[i : i + step]) for i in range(0, len(flat), step)] == [
        every[i : i + step] for i in range(0, len(every), step)
    ]


def test_shuffling_depends_on_the_seed_and_on_nothing_else(shards):
    shards.fill()
    shards.choose(range(60))
    orders = []
    for seed, size in [(1, 10), (1, 7), (2, 10)]:
        shards.run(shuffle_bufsize=64, seed=seed, shard_size=size, overwrite=True)
        orders.append(shards.keys())
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(orders[2])
    assert orders[0] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_uids_of_names_are_hex(shards, make):
    shards.fill(shards=1)
    shards.choose([3])
    shards.run()
    assert array_to_uids(np.load(shards.out / "sample_ids.npy")) == [make.uid(3)]
