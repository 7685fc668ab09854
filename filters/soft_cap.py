"""soft_cap: draws pairs by a score, again and again, and lowers the score of those drawn: good pairs are seen more than once."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.clip_score import clip_column_of
from filters.contract import Draw, Pool
from filters.measured import Stored
from filters.needed import require_columns
from filters.registry import Context, Entry, parameter
from filters.uids.uid_hash import hashes_of, key_of, mixed
from filters.uids.uid_lookup import UidTable
from schemas.errors import UsageError, UserError
from schemas.subsets import SUBSET_DTYPE, uid_rows

_NAME = "soft_cap"
_DRAW_ROWS = 100_000
_DRAWS = 1000
_CHUNK = 1 << 15  # rows at once: their numbers stay in the processor's cache
_STEP = 2.0**-52  # of the uniform numbers
_FARTHEST = 16.0  # that a guess may be from the base of the weights
_MOST_TURNS = 100_000  # that a pair is seen on average: more is a slip, and may never end
_MOST_PENALTY = 1e6
_MOST = 1e30  # of a logit: float32 holds it, and what is lowered from it
_SLACK = 1.0001  # covers what float32 rounds off the weights


@dataclass(frozen=True)
class SoftCap:
    """Soft cap sampling: draws `draw_rows` pairs at a time, each without replacement, until there are as many as asked for.

    Shechter and Carmon 2025, "Filter like you test: data-driven data filtering for CLIP pretraining" (NeurIPS). The chance of a
    pair is the softmax of its logit, `scale` times its score; each time that it is drawn its logit is lowered by `penalty`. A
    draw without replacement is the `draw_rows` greatest of logit + Gumbel noise (Kool et al. 2019, "Stochastic beams and where
    to find them"). The noise of a pair is a hash of (seed, draw, uid): the same pairs are drawn however the files are ordered.

    Pairs without a finite score are never drawn. Rows that share a uid are drawn as one, by the greatest of their scores; each of
    them is then seen as often as that one was drawn, so a pool with copies gives more rows than asked for.

    Memory: 36 bytes per row, about twice that while uids are sorted. Cost: each draw looks at every row once.
    """

    column: str
    rows: int | None  # to be drawn in all; or
    fraction: float | None  # of the rows of the pool
    scale: float
    penalty: float
    draw_rows: int | None  # None: 100,000, or a thousandth of the rows to be drawn where that is less
    seed: int
    name: ClassVar[str] = _NAME

    @property
    def reads(self) -> tuple[str, ...]:
        return ("uid", self.column)

    def draw(self, kept: Pool) -> Draw:
        """The draw from these rows, in one pass. Raises UserError where no row has a score, or too many are asked for."""
        uids, scores, rows = _read(kept, self.column)
        wanted = self.rows if self.rows is not None else int(min(rows * (self.fraction or 0), 2.0**62))
        if wanted and not len(uids):
            raise UserError(f"{_NAME}: none of {rows} rows has a finite number in column {self.column}: nothing to draw from")
        if wanted > _MOST_TURNS * len(uids):
            raise UserError(f"{_NAME}: {wanted} rows asked for, more than {_MOST_TURNS} times the {len(uids)} that have a score")
        urn = _Urn(np.clip(scores * np.float64(self.scale), -_MOST, _MOST), hashes_of(uids), self.penalty)
        at_once = self.draw_rows or max(1, min(_DRAW_ROWS, wanted // _DRAWS))
        turn = 0
        while wanted > 0:
            taken = min(at_once, wanted, len(uids))
            urn.draw(taken, key_of(self.seed, turn))
            wanted, turn = wanted - taken, turn + 1
        drawn = np.flatnonzero(urn.counts)
        return Drawn(UidTable(uids[drawn]), urn.counts[drawn].astype(np.int64))


@dataclass(frozen=True)
class Drawn:
    """How often each uid was drawn: (m,) uids and (m,) int64 counts, all positive."""

    uids: UidTable = field(repr=False, compare=False)
    counts: np.ndarray = field(repr=False, compare=False)
    name: ClassVar[str] = _NAME
    reads: ClassVar[tuple[str, ...]] = ("uid",)

    def repeats(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) int64: how often each of the n rows was drawn."""
        places = self.uids.places(uid_rows(batch["uid"]))
        found = np.zeros(batch.num_rows, np.int64)
        found[places >= 0] = self.counts[places[places >= 0]]
        return found


class _Urn:
    """(n,) pairs that are drawn by logit: (n,) float32 logits, (n,) uint64 hashes, (n,) int32 counts of draws so far.

    A pair with the uniform number v in (0, 1) has the key logit - log(-log(1 - v)). As v < -log(1 - v), a key of at least t needs
    v < exp(logit - t): one comparison with weights that are kept, exp(logit - base), sieves out nearly all pairs, and the keys of
    the others, little more than are drawn, are computed exactly. What is drawn does not depend on t: it is lowered until the
    pairs that reach it are as many as asked for.
    """

    def __init__(self, logits: np.ndarray, hashes: np.ndarray, penalty: float) -> None:
        self.counts = np.zeros(len(logits), np.int32)
        self._logits = logits.astype(np.float32)
        self._hashes = hashes
        self._penalty = penalty
        self._weights = np.empty(len(logits), np.float32)
        self._base = self._guess = math.nan

    def draw(self, rows: int, key: np.ndarray) -> None:
        """Draw `rows` different pairs, of which there are as many or more, and lower their logits."""
        at_least = self._first_guess(rows) if math.isnan(self._guess) else self._guess
        step = 0.5
        while True:
            pairs, keys = self._reaching(at_least, key)
            if len(pairs) >= rows:
                break
            at_least, step = at_least - step, 2 * step
        last = np.partition(keys, len(keys) - rows)[len(keys) - rows]
        above, at = pairs[keys > last], pairs[keys == last]
        drawn = np.concatenate([above, at[: rows - len(above)]])  # equal keys in the order of uids
        self.counts[drawn] += 1
        with np.errstate(over="ignore"):
            self._weights[drawn] = np.exp(self._now(drawn) - self._base)
        self._guess = float(last) - 0.05 - 3 / math.sqrt(rows)  # the next draw's last key is hardly lower than this one's

    def _reaching(self, at_least: float, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs whose key is at least so much, ascending, and their keys, float64."""
        if not abs(at_least - self._base) <= _FARTHEST:
            self._weigh(at_least)
        scale = _STEP * math.exp(at_least - self._base) / _SLACK
        places, numbers = [], []
        for start in range(0, len(self._hashes), _CHUNK):
            part = slice(start, start + _CHUNK)
            uniform = (mixed(self._hashes[part] ^ key) >> np.uint64(12)).astype(np.float64)
            uniform += 0.5
            inside = np.flatnonzero(uniform * scale <= self._weights[part])
            places.append(inside + start)
            numbers.append(uniform[inside])
        pairs = np.concatenate(places)
        keys = self._now(pairs) - np.log(-np.log1p(-_STEP * np.concatenate(numbers)))
        reached = keys >= at_least
        return pairs[reached], keys[reached]

    def _now(self, pairs: np.ndarray | slice) -> np.ndarray:
        """The logits of some pairs, float64, as they have been lowered."""
        return np.asarray(self._logits[pairs] - self._penalty * self.counts[pairs].astype(np.float64))

    def _weigh(self, base: float) -> None:
        self._base = base
        with np.errstate(over="ignore", under="ignore"):
            for start in range(0, len(self._weights), _CHUNK):
                part = slice(start, start + _CHUNK)
                self._weights[part] = np.exp(self._now(part) - base)

    def _first_guess(self, rows: int) -> float:
        """About what the key of the last of `rows` pairs will be, found by bisection on some of the pairs."""
        some = self._logits[:: max(1, len(self._logits) // 10_000)].astype(np.float64)
        share = min(0.999, 1.2 * rows / len(self._logits))
        low, high = some.min() - 4, some.max() + 40
        for _ in range(60):
            middle = (low + high) / 2
            with np.errstate(over="ignore"):
                reached = -np.expm1(-np.exp(some - middle)).mean()
            low, high = (low, middle) if reached < share else (middle, high)
        return float(low)


def _read(kept: Pool, column: str) -> tuple[np.ndarray, np.ndarray, int]:
    """The uids that have a finite score, each once, sorted; the greatest score of each, float32; and the number of all rows."""
    uids, scores, rows = [np.empty(0, SUBSET_DTYPE)], [np.empty(0, np.float32)], 0
    for batch in kept(("uid", column)):
        found = Stored(column).measure(batch).astype(np.float32)
        present = np.isfinite(found)
        uids.append(uid_rows(batch["uid"])[present])
        scores.append(found[present])
        rows += batch.num_rows
    every, score = np.concatenate(uids), np.concatenate(scores)
    order = np.lexsort((-score, every["f1"], every["f0"]))
    every, score = every[order], score[order]
    first = np.ones(len(every), bool)
    first[1:] = every[1:] != every[:-1]
    return every[first], score[first], rows


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What soft_cap is told."""

    column: str | None = parameter("the column of scores", None)
    arch: str | None = parameter("instead: b32, l14 or another NAME with a column clip_NAME_similarity_score", None)
    rows: int | None = parameter("how many rows are drawn, repeats included (--like FILE.npy: as many as that subset has)", None)
    fraction: float | None = parameter("instead: how many for each row that the filter keeps; may be more than 1", None)
    scale: float | None = parameter("a logit is the score times this; without it 1, or with arch 100, as in CLIP", None)
    penalty: float = parameter("how much a logit is lowered by each time that its pair is drawn", 0.15)
    draw_rows: int | None = parameter(
        "rows drawn at a time, all different; without it 100000, or a thousandth of all where that is less", None
    )
    seed: int = parameter("another seed, other rows", 0)


def _build(asked: Parameters, context: Context) -> SoftCap:
    if (asked.column is None) == (asked.arch is None):
        raise UsageError(f"{_NAME}: give either column or --arch")
    if (asked.rows is None) == (asked.fraction is None):
        raise UsageError(f"{_NAME}: give either rows or --fraction")
    least = min(asked.rows or 0, asked.fraction or 0, asked.penalty)
    if least < 0 or (asked.draw_rows is not None and asked.draw_rows < 1):
        raise UsageError(f"{_NAME}: rows, fraction and penalty must be 0 or more, draw_rows 1 or more")
    if asked.penalty > _MOST_PENALTY:
        raise UsageError(f"{_NAME}: penalty {asked.penalty}: must be at most {_MOST_PENALTY:.0f}")
    if asked.arch is not None:
        column, scale = clip_column_of(asked.arch, context), 100.0
    else:
        column, scale = asked.column or "", 1.0
        require_columns(_NAME, [column], context, "score the pool, or give the folder that has it with --beside DIR")
    scale = scale if asked.scale is None else asked.scale
    return SoftCap(column, asked.rows, asked.fraction, scale, asked.penalty, asked.draw_rows, asked.seed)


ENTRY = Entry(
    name=_NAME,
    summary="draws by a score that sinks each time a pair is drawn: good pairs are seen more than once",
    source="Shechter and Carmon 2025, Filter like you test: data-driven data filtering for CLIP pretraining",
    parameters=Parameters,
    build=_build,
)
