"""Two outputs of a stage, wherever they lie: what differs, in tables by row, in arrays and subsets by byte, in shards by member.

What may differ by nature is named here, and nothing else may: when a picture was fetched and how long that took; the name of a
part of `extract`, which ends in a hash of the WAT's own path; the accounts (names beginning with `_`, NAME.json beside a shard or
a subset), which tell times, paths and the machine, and of which the counts of rows are compared.
"""

import io as memory
import json
import re
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io

TIMES = ("duration_s", "image_fetched_at")
_HASH_OF_PATH = re.compile(r"-[0-9a-f]{12}(?=\.parquet$)")


def differences(stage: str, one: str, other: str) -> list[str]:
    """What differs between two folders of a stage, in words; nothing where they are equal."""
    ours, theirs = _files(one), _files(other)
    if not ours:
        return [f"{one}: no files"]
    found = [f"{name}: only in {one if name in ours else other}" for name in sorted(set(ours) ^ set(theirs))]
    for name in sorted(set(ours) & set(theirs)):
        found += [f"{name}: {what}" for what in _between(name, io.read_bytes(ours[name]), io.read_bytes(theirs[name]))]
    if stage != "filter":
        found += [f"counts: {a} and {b}" for a, b in [(counts(one), counts(other))] if a != b]
    return found


def counts(folder: str) -> dict[str, Any]:
    """What a stage's manifest counted."""
    return dict(json.loads(io.read_bytes(io.join(folder, "_manifest.json")))["counts"])


def subset_rows(path: str) -> int:
    """Rows of a subset."""
    return len(np.load(memory.BytesIO(io.read_bytes(path)), allow_pickle=False))


def _files(folder: str) -> dict[str, str]:
    """Comparable name → path, of the files with data; hidden ones and accounts left out."""
    paths = [path for ending in ("parquet", "npz", "npy", "tar") for path in io.list_files(folder, f".{ending}")]
    return {_HASH_OF_PATH.sub("", path.rsplit("/", 1)[-1]): path for path in paths}


def _between(name: str, one: bytes, other: bytes) -> Iterator[str]:
    if name.endswith(".parquet"):
        yield from _between_tables(pq.read_table(memory.BytesIO(one)), pq.read_table(memory.BytesIO(other)))
    elif name.endswith(".npz"):
        yield from _between_arrays(one, other)
    elif name.endswith(".tar"):
        yield from _between_members(_members(one), _members(other))
    elif one != other:
        yield "bytes differ"


def _between_tables(one: pa.Table, other: pa.Table) -> Iterator[str]:
    if one.schema != other.schema:
        yield f"columns differ: {one.schema.names} and {other.schema.names}"
        return
    if one.num_rows != other.num_rows:
        yield f"{one.num_rows} rows and {other.num_rows}"
        return
    for column in one.column_names:
        if column not in TIMES and not _equal(one[column], other[column]):
            pairs = zip(one[column].to_pylist(), other[column].to_pylist(), strict=True)
            row, values = next((i, values) for i, values in enumerate(pairs) if repr(values[0]) != repr(values[1]))
            yield f"column {column} differs, first in row {row}: {values[0]!r} and {values[1]!r}"


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """The same values in the same order; a NaN is equal to a NaN, unlike in Arrow's own comparison."""
    return bool(one.equals(other)) or [repr(value) for value in one.to_pylist()] == [repr(value) for value in other.to_pylist()]


def _between_arrays(one: bytes, other: bytes) -> Iterator[str]:
    with np.load(memory.BytesIO(one)) as ours, np.load(memory.BytesIO(other)) as theirs:
        if sorted(ours) != sorted(theirs):
            yield f"arrays differ: {sorted(ours)} and {sorted(theirs)}"
            return
        for key in sorted(ours):
            if ours[key].dtype != theirs[key].dtype or ours[key].tobytes() != theirs[key].tobytes():
                yield f"array {key} differs"


def _members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=memory.BytesIO(data)) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member)) is not None}


def _between_members(one: dict[str, bytes], other: dict[str, bytes]) -> Iterator[str]:
    if list(one) != list(other):
        yield f"members differ: {sorted(set(one) ^ set(other))[:4]} or their order"
    for name in one.keys() & other.keys():
        if one[name] != other[name]:
            yield f"member {name} differs"
