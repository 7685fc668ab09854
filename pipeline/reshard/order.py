"""Which copy of which sample goes into which output shard, and where: decided by the plan and the seed, by nothing else.

All copies form one sequence: input shards in order of their numbers, their samples in order, the copies of a sample one after
another. Output shard k holds places k·S to (k+1)·S of it. Shuffling permutes it in blocks of --shuffle-bufsize before, each
block by a permutation of its own that the seed and the block's number decide, so that any shard can be made without the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.manifest import hash_of
from pipeline.reshard.plan import read_picks
from pipeline.stage import Part


@dataclass(frozen=True, kw_only=True)
class Source:
    """A tar, the file of its picks, which copy is its first and how many it has; its sidecar, and faces, "" for none."""

    path: str
    picks: str
    first: int
    copies: int
    sha256: str  # of the picks
    sidecar: str = ""
    boxes: str = ""


@dataclass(frozen=True, kw_only=True)
class ShardPart(Part):
    """Output shard `number`: places `first` to `end` of the sequence, to which copies below `reach` of `sources` come."""

    number: int
    first: int
    end: int
    reach: int
    sources: tuple[Source, ...]

    @property
    def plan(self) -> str:
        """A hash of what the shard is to hold: a shard that was made by another plan is made again."""
        told = [(source.path.rsplit("/", 1)[-1], source.sha256, source.first) for source in self.sources]
        return hash_of({"sources": told, "first": self.first, "end": self.end, "reach": self.reach})


def shard_parts(sources: Sequence[Source], *, shard_size: int, shuffle_bufsize: int, form: str) -> list[ShardPart]:
    """The output shards that all copies of `sources`, which follow each other, fill; named by `form`, less its .tar."""
    starts = np.array([source.first for source in sources], np.int64)
    total = sources[-1].first + sources[-1].copies if sources else 0
    parts = []
    for number, first in enumerate(range(0, total, shard_size)):
        end = min(first + shard_size, total)
        lowest, highest = _reached(first, end, total, shuffle_bufsize)
        begin, stop = np.searchsorted(starts, lowest, "right") - 1, np.searchsorted(starts, highest, "left")
        parts.append(
            ShardPart(
                name=form.format(number).removesuffix(".tar"),
                number=number,
                first=first,
                end=end,
                reach=highest,
                sources=tuple(sources[int(begin) : int(stop)]),
            )
        )
    return parts


@dataclass(frozen=True)
class Chosen:
    """The n copies of an output shard in order: which of its sources each is from, the pick (n,) PICK, and which copy it is."""

    sources: np.ndarray
    picks: np.ndarray
    copies: np.ndarray


def chosen(part: ShardPart, *, shuffle_bufsize: int, seed: int) -> Chosen:
    """What the part's output shard holds."""
    wanted = _sequence(part, shuffle_bufsize, seed)
    starts = np.array([source.first for source in part.sources], np.int64)
    of = np.searchsorted(starts, wanted, "right") - 1
    by_source = np.argsort(of, kind="stable")
    picks, copies = None, np.zeros(len(wanted), np.int64)
    for place in np.unique(of):
        source = part.sources[place]
        here = by_source[np.searchsorted(of, place, "left", by_source) : np.searchsorted(of, place, "right", by_source)]
        found = read_picks(source.picks)
        ends = np.cumsum(found["count"], dtype=np.int64)
        local = wanted[here] - source.first
        which = np.searchsorted(ends, local, "right")
        picks = np.zeros(len(wanted), found.dtype) if picks is None else picks
        picks[here], copies[here] = found[which], local - (ends[which] - found["count"][which])
    assert picks is not None  # noqa: S101 - no output shard is empty
    return Chosen(of, picks, copies)


def _reached(first: int, end: int, total: int, block: int) -> tuple[int, int]:
    """The copies, from and to, among which those of the places are."""
    return (first, end) if not block else (first // block * block, min(-(-end // block) * block, total))


def _sequence(part: ShardPart, block: int, seed: int) -> np.ndarray:
    """(n,) int64: the copy at each place of the part."""
    if not block:
        return np.arange(part.first, part.end, dtype=np.int64)
    pieces = []
    for number in range(part.first // block, -(-part.end // block)):
        start, stop = number * block, min((number + 1) * block, part.reach)
        shuffled = np.random.default_rng([seed, number]).permutation(stop - start) + start
        pieces.append(shuffled[max(part.first, start) - start : min(part.end, stop) - start])
    return np.concatenate(pieces)
