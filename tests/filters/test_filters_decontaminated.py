"""Pairs near evaluation images are dropped, of all sets or of some."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.decontaminated import Decontaminated
from filters.registry import Context, build
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "eval_set", "eval_item", "eval_cos", "eval_bits"))
SETS = st.sampled_from([None, "imagenet", "flickr30k", "coco"])
ROWS = st.lists(st.tuples(SETS, st.one_of(st.none(), st.floats(0, 1, width=32)), st.one_of(st.none(), st.integers(0, 64))))


def kept(rule: Decontaminated, rows: list, sets: pa.DataType | None = None) -> list[bool]:
    columns = {
        "eval_set": pa.array([row[0] for row in rows], sets or pa.string()),
        "eval_cos": pa.array([row[1] for row in rows], pa.float32()),
        "eval_bits": pa.array([row[2] for row in rows], pa.int32()),
    }
    return rule.keep(pa.record_batch(columns)).to_pylist()


@given(ROWS, st.floats(0, 1, width=32), st.integers(0, 64), st.sampled_from([None, (), ("coco",), ("coco", "imagenet")]))
def test_a_row_is_dropped_that_is_near_by_either_measure(rows: list, bound: float, bits: int, sets: tuple | None):
    expected = []
    for name, cosine, distance in rows:
        asked = name is not None and (sets is None or name in sets)
        near = (cosine is not None and cosine >= bound) or (distance is not None and distance <= bits)
        expected.append(not (asked and near))
    assert kept(Decontaminated(bound, bits, sets), rows) == expected


def test_sets_that_stand_in_large_strings_are_found():
    rows = [("coco", 0.99, None), ("imagenet", 0.99, None), (None, None, None)]
    assert kept(Decontaminated(0.95, 4, ("coco",)), rows, pa.large_string()) == [False, True, True]


def test_without_the_columns_of_decontaminate_the_error_says_how_to_get_them():
    with pytest.raises(UserError, match=r"no column eval_set, eval_cos, eval_bits; run `webpairs decontaminate`"):
        build("decontaminated", {}, Context(columns=("uid",)))


def test_sets_are_a_list_of_names():
    assert build("decontaminated", {"sets": ["coco"]}, CONTEXT) == Decontaminated(0.95, 4, ("coco",))
    for values, message in [({"sets": "coco"}, "a list"), ({"cosine": 2.0}, "cosine 2.0"), ({"bits": 65}, "bits 65")]:
        with pytest.raises(UsageError, match=message):
            build("decontaminated", values, CONTEXT)
