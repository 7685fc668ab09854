"""One cluster of the spill: its rows in the order of their ranks, at once or in blocks, and the nearest earlier row of each."""

from collections.abc import Sequence

import numpy as np

from pipeline.dedup.found import Found
from pipeline.dedup.nearest import best_earlier
from pipeline.dedup.semantic import keep_found
from pipeline.dedup.spill import Segment, read_ranks, read_rows


def nearest_in_cluster(
    spilled: str, segments: Sequence[Segment], *, d: int, floor: float, rows_at_once: int, device: str, threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the rows that have an earlier one: ranks (m,) int32, the ranks of those (m,) int32, the cosines (m,) float32.

    A cluster of more than `rows_at_once` rows is cut into blocks of half as many, by rank, and every two blocks are searched as
    one: all pairs of rows meet, for work that grows with the square of the number of blocks. Which pairs a search misses depends
    on the rows it is given, so the answers may differ in a few of those near the floor.
    """
    ranks = read_ranks(spilled, segments)
    ascending = np.sort(ranks)
    blocks = [ascending] if len(ranks) <= rows_at_once else np.array_split(ascending, -(-2 * len(ranks) // rows_at_once))
    sizes = [len(block) for block in blocks]
    starts = np.cumsum([0, *sizes])
    rows = np.empty((sum(sorted(sizes)[-2:]), d), np.float16)
    found = Found.nothing(len(ranks), np.float32)  # by place in `ascending`
    for group in _groups(len(blocks)):
        end = len(rows)  # the later block stays at the end, and is read once
        for block in reversed(group):
            if block != group[-1] or group[0] == 0:
                read_rows(spilled, segments, ranks, blocks[block], rows[end - sizes[block] : end])
            end -= sizes[block]
        members = np.concatenate([np.arange(starts[block], starts[block + 1]) for block in group])
        keep_found(found, members, best_earlier(rows[end:], floor=floor, device=device, threads=threads))
    some = np.flatnonzero(found.index >= 0)
    assert found.value is not None  # noqa: S101 - for mypy
    return ascending[some], ascending[found.index[some]], found.value[some]


def _groups(blocks: int) -> list[tuple[int, ...]]:
    """Which blocks are searched together: each two, ordered by the later one, which so stays in memory; or the only one."""
    return [(first, second) for second in range(1, blocks) for first in range(second)] or [(0,)]


__all__ = ["nearest_in_cluster"]
