"""Which samples a run sees: subset → index → an order that the seed decides."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.train.order import Order, index_of
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
