"""A release's parquet files: written the same way everywhere, so that equal rows give equal bytes.

Row groups of GROUP_ROWS with statistics and a page index (domain and url prune), bloom filters on uid and url (a single pair is
found without reading the others), page checksums (a reader of single columns can verify what it read).
"""

from collections.abc import Iterable
from itertools import takewhile
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.row_groups import in_groups
from schemas.releases import SORT_ORDER

GROUP_ROWS = 1 << 16  # 25 to 40 MB of memory each with all columns: many enough to prune, few enough to read fast
_BLOOM_FPP = 0.01  # 1.2 to 2 bytes per value
_BLOOMED = ("uid", "url")


def write_data_file(file: IO[bytes], schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write rows, which must come in SORT_ORDER, in row groups of GROUP_ROWS whatever the tables' own sizes; how many rows.

    No table at all gives a file without rows.
    """
    rows = 0
    with pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        write_page_index=True,
        write_page_checksum=True,
        bloom_filter_options={name: {"ndv": GROUP_ROWS, "fpp": _BLOOM_FPP} for name in _BLOOMED if name in schema.names},
        sorting_columns=[pq.SortingColumn(schema.names.index(name)) for name in takewhile(schema.names.__contains__, SORT_ORDER)],
    ) as writer:
        for group in in_groups(tables, GROUP_ROWS):
            writer.write_table(group.select(schema.names).cast(schema).combine_chunks(), row_group_size=GROUP_ROWS)
            rows += len(group)
    return rows
