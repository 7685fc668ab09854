"""The arms of a ranking: the filters' subsets and their controls, all of the pool and a random subset of each filter's size.

Controls are made by `filter`'s own no_filter and random_subset, from the uids of the decoded pool: what can be trained on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.filter import FilterConfig
from pipeline.filter import run as filter_
from pipeline.rank.controls import LIKE, RANDOM, SIZES_APART
from pipeline.subset_file import read_subset
from pipeline.train.feeding.order import index_of
from schemas.errors import UserError
from schemas.rankings import BASELINE
from schemas.subsets import array_to_uids

_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What every seed is trained on. `rows`: its samples in the pool; `control_of`: the filters whose random control it is."""

    name: str
    subset: str
    rows: int
    control_of: tuple[str, ...] = ()


def make_arms(subsets: Sequence[str], decoded: np.ndarray, folder: str) -> list[Arm]:
    """no_filter, the filters in order, then random subsets; of the controls those that are not given are written to `folder`.

    `decoded`: (n,) `u8,u8`, the uids of the decoded pool. A random subset has as many pairs as its filter has in the pool,
    repeats counted. Filters of nearly one size share it; one of nearly the pool's size needs none beside no_filter. The same pool
    and subsets give the same files. Raises UserError for a subset that has nothing in the pool.
    """
    paths = {io.stem(path): path for path in subsets}
    pool = decoded[np.unique(index_of(decoded, decoded))]
    rows = {name: _rows(path, pool) for name, path in paths.items()}
    source = _write_pool(pool[np.unique(rows[BASELINE])] if BASELINE in paths else pool, folder)
    if BASELINE not in paths:
        paths = {BASELINE: _select(BASELINE, source, io.join(folder, f"{BASELINE}.npy")), **paths}
        rows[BASELINE] = _rows(paths[BASELINE], pool)
    given = {name: (name.removeprefix(LIKE),) for name in paths if name.startswith(LIKE)}
    arms = [Arm(name=name, subset=path, rows=len(rows[name]), control_of=given.get(name, ())) for name, path in paths.items()]
    without = [name for name in paths if name != BASELINE and name not in given and LIKE + name not in given]
    sizes = {name: len(rows[name]) for name in without}
    return [*arms, *_random_arms(sizes, len(rows[BASELINE]), folder, source)]


def _rows(path: str, pool: np.ndarray) -> np.ndarray:
    """The subset's rows of the pool, repeats kept."""
    rows = index_of(read_subset(path), pool)
    if not len(rows):
        raise UserError(f"{path}: none of its uids is among the {len(pool):,} pairs of the shards; was it made from others?")
    return rows


def _write_pool(uids: np.ndarray, folder: str) -> str:
    """Write (n,) `u8,u8` uids as metadata that `filter` reads; the folder that it is in."""
    place = io.join(folder, "_pool")
    schema = pa.schema([("uid", pa.string())])
    with io.atomic_write(io.join(place, "pool.parquet")) as file, pq.ParquetWriter(file, schema) as out:
        for start in range(0, len(uids), _ROWS_AT_ONCE):
            out.write_table(pa.table({"uid": array_to_uids(uids[start : start + _ROWS_AT_ONCE])}, schema))
    return place


def _select(name: str, source: str, path: str, *param: str) -> str:
    """Write the subset that a filter makes of the pool, with its account; its path."""
    filter_(FilterConfig(name=name, metadata_dir=source, save_path=path, param=param))
    return path


def _random_arms(sizes: Mapping[str, int], everything: int, folder: str, source: str) -> Iterator[Arm]:
    for names in _alike({name: size for name, size in sizes.items() if size < (1 - SIZES_APART) * everything}):
        name, size = f"{LIKE}{names[0]}", sizes[names[0]]
        path = _select(RANDOM, source, io.join(folder, f"{name}.npy"), f"rows={size}")
        yield Arm(name=name, subset=path, rows=size, control_of=names)


def _alike(sizes: Mapping[str, int]) -> list[tuple[str, ...]]:
    """Names grouped by size: within a group all are within 1 % of the first that was given."""
    groups: list[list[str]] = []
    for name, size in sizes.items():
        group = next((each for each in groups if abs(sizes[each[0]] - size) <= SIZES_APART * sizes[each[0]]), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return [tuple(group) for group in groups]
