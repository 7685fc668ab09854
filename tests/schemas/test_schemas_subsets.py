"""uid file: hex uids and the u8,u8 array are two forms of one thing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.subsets import SUBSET_DTYPE, array_to_uids, uids_to_array

UIDS = st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex))


@given(UIDS)
def test_uids_survive_the_round_trip_sorted_with_repeats(uids: list[str]):
    array = uids_to_array(uids)
    assert array.dtype == SUBSET_DTYPE
    assert array_to_uids(array) == sorted(uids)


@given(UIDS)
def test_array_order_is_numpys_order_of_the_pairs(uids: list[str]):
    array = uids_to_array(uids)
    assert np.array_equal(array, np.sort(array))


def test_halves_are_high_then_low():
    array = uids_to_array(["0000000000000001" + "0000000000000002"])
    assert array[0].item() == (1, 2)


def test_a_short_uid_is_refused_by_name():
    with pytest.raises(ValueError, match="'abc' has 3 characters"):
        uids_to_array(["abc"])
