"""Row groups are of one size, however the rows arrive."""

import pyarrow as pa

from pipeline.row_groups import in_groups

SIZE = 100


def test_groups_are_full_however_the_rows_arrive():
    tables = [pa.table({"a": pa.array(range(rows), pa.int64())}) for rows in (0, 5, SIZE, 1, 2 * SIZE, 0)]
    groups = list(in_groups(tables, SIZE))
    assert [len(group) for group in groups] == [SIZE, SIZE, SIZE, 6]
    assert pa.concat_tables(groups).equals(pa.concat_tables(tables))


def test_no_rows_make_no_group():
    assert list(in_groups([], SIZE)) == []
    assert list(in_groups([pa.table({"a": pa.array([], pa.int64())})], SIZE)) == []
