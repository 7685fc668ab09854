"""Which samples a run sees: subset → index → an order that the seed decides."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.train.feeding.order
from pipeline.train.feeding.order import Order, index_of, permuted
from schemas.subsets import uid_rows

_UIDS = st.lists(st.integers(0, 40).map(lambda n: f"{n * (2**120 + 1):032x}"), max_size=30)


@settings(max_examples=100, deadline=None)
@given(wanted=_UIDS, pool=_UIDS)
def test_the_index_is_what_a_search_one_by_one_finds(wanted, pool):
    reference = [pool.index(uid) for uid in wanted if uid in pool]
    assert index_of(uid_rows(wanted), uid_rows(pool)).tolist() == reference


def test_every_epoch_shows_every_row_once_and_a_repeated_row_twice():
    order = Order(np.array([3, 5, 5, 9]), seed=1)
    for epoch in range(3):
        assert sorted(order.batch(4 * epoch, 4)) == [3, 5, 5, 9]


def test_epochs_are_shuffled_apart():
    order = Order(np.arange(50), seed=1)
    assert order.batch(0, 50).tolist() != order.batch(50, 50).tolist()


def test_any_position_can_be_asked_for_without_those_before():
    whole = Order(np.arange(7), seed=2).batch(0, 40)
    assert Order(np.arange(7), seed=2).batch(13, 20).tolist() == whole[13:33].tolist()


def test_another_seed_is_another_order():
    assert Order(np.arange(50), seed=1).batch(0, 50).tolist() != Order(np.arange(50), seed=2).batch(0, 50).tolist()


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 700), seed=st.integers(0, 2**40), epoch=st.integers(0, 9))
def test_a_permutation_that_is_not_held_is_one(n, seed, epoch):
    whole = permuted(np.arange(n), n, (seed, epoch))
    assert sorted(whole.tolist()) == list(range(n))
    assert permuted(np.arange(n // 2, n), n, (seed, epoch)).tolist() == whole[n // 2 :].tolist()


def test_a_permutation_that_is_not_held_puts_every_position_anywhere():
    n, tries = 50, 2000
    counts = np.zeros((n, n))
    for seed in range(tries):
        counts[np.arange(n), permuted(np.arange(n), n, (seed, 0))] += 1
    expected = tries / n
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = (n - 1) ** 2
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_neighbours_are_parted_by_a_permutation_that_is_not_held():
    n = 2**20 + 7
    whole = permuted(np.arange(100_000), n, (3, 1))
    assert abs(np.corrcoef(whole[1:], whole[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(whole, np.arange(100_000))[0, 1]) < 0.02


def test_an_index_too_large_to_be_shuffled_whole_is_shown_once_an_epoch_too(monkeypatch):
    monkeypatch.setattr(pipeline.train.feeding.order, "MOST_HELD", 10)
    index = np.array([7, 7, *range(100, 110)])
    order = Order(index, seed=4)
    epochs = [order.batch(12 * epoch, 12).tolist() for epoch in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [sorted(index.tolist())] * 3
    assert epochs[0] != epochs[1]
    assert Order(index, seed=4).batch(7, 20).tolist() == [row for epoch in epochs for row in epoch][7:27]


def test_a_batch_may_be_larger_than_the_index():
    assert Order(np.array([5]), seed=0).batch(3, 4).tolist() == [5, 5, 5, 5]
