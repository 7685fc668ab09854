"""4_scores and the subsets → histograms of scores, sampled and borderline pairs per filter, in one pass over the rows."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from pipeline.compare.overlap import Members
from pipeline.report.read import Subset
from schemas.errors import UserError
from schemas.scores import is_clip_column
from schemas.subsets import uid_rows

BINS = 400
EDGES = np.linspace(-1.0, 1.0, BINS + 1)  # a cosine's range; 0.005 per bin
_SHOWN = ("uid", "url", "text", "key", "shard")


@dataclass
class View:
    """One filter's share of the scores: histograms by column, (BINS,) int64 of kept and of dropped pairs, and chosen rows.

    Where the filter sets a threshold on a score, `border_kept` and `border_dropped` are the rows nearest to it, nearest first.
    """

    subset: Subset | None  # None: no filter has run, every pair counts as kept
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    dropped: dict[str, np.ndarray] = field(default_factory=dict)
    kept_pairs: list[dict[str, Any]] = field(default_factory=list)
    dropped_pairs: list[dict[str, Any]] = field(default_factory=list)
    border_kept: list[dict[str, Any]] = field(default_factory=list)
    border_dropped: list[dict[str, Any]] = field(default_factory=list)
    n_pairs: int = 0


def scan(files: Sequence[str], subsets: Sequence[Subset], pairs: int) -> tuple[View, ...]:
    """One View per subset (one for all pairs where there is none), with at most `pairs` kept and dropped rows each.

    The sample is the rows of the smallest uids: a uid is an md5, so it is random, and the same on every run. Filters that see
    the same pairs show the same pairs. Memory: one batch of rows, the subsets, the samples.
    """
    views = tuple(View(subset=subset) for subset in subsets) or (View(subset=None),)
    members = [Members(view.subset.uids) if view.subset else None for view in views]
    for uids, batch in _batches(files):
        for view, kept in zip(views, members, strict=True):
            is_kept = np.ones(len(uids), dtype=bool) if kept is None else kept.among(uids)
            view.n_pairs += len(uids)
            _count(view.kept, batch, is_kept)
            _count(view.dropped, batch, ~is_kept)
            view.kept_pairs = _sample(view.kept_pairs, batch, is_kept, uids["f0"], pairs)
            view.dropped_pairs = _sample(view.dropped_pairs, batch, ~is_kept, uids["f0"], pairs)
            _add_border(view, batch, is_kept, uids["f0"], pairs)
    return views


def border_of(view: View) -> tuple[str, float] | None:
    """The score column that the filter cuts, and where; of several the first. None where it cuts none that was scanned."""
    cuts = ((column, threshold_of(view, column)) for column in view.kept)
    return next(((column, threshold) for column, threshold in cuts if threshold is not None), None)


def rows_of(files: Sequence[str], uids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The rows of these uids, by uid, with what a card shows; a uid that stands twice, as it stands first."""
    wanted = pa.array(sorted(set(uids)), pa.string())
    found: dict[str, dict[str, Any]] = {}
    for _, batch in _batches(files) if len(wanted) else ():
        for row in _rows(batch, np.flatnonzero(pc.is_in(batch["uid"], wanted))):
            found.setdefault(row["uid"], row)
    return found


def columns_of(view: View) -> list[str]:
    """The score columns that hold anything."""
    return [name for name in view.kept if view.kept[name].any() or view.dropped[name].any()]


def threshold_of(view: View, column: str) -> float | None:
    """The least score that the filter keeps, as NAME.json tells it; None where it sets none on this column."""
    made = view.subset.made if view.subset else {}
    return next((found for part in (made.get("resolved"), made.get("parameters")) for found in _floors(part, column)), None)


def _floors(part: Any, column: str) -> Iterator[float]:
    """Every `at_least` (or `threshold`) that a described filter, or a member of it, sets on a column."""
    if isinstance(part, dict):
        floor = part.get("at_least", part.get("threshold"))
        if part.get("column") == column and isinstance(floor, int | float) and -1 <= floor <= 1:
            yield float(floor)
    members = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for member_part in members:
        yield from _floors(member_part, column)


def _batches(files: Sequence[str]) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """The uids, (n,) `u8,u8`, and the rows of each batch."""
    for path in files:
        with io.open_read(path) as file:
            try:
                parquet = pq.ParquetFile(file)
                if pa.field("uid", pa.string()) not in [
                    field.with_nullable(True).remove_metadata() for field in parquet.schema_arrow
                ]:
                    raise UserError(f"{path}: no text column uid, so no scores of ours; run `webpairs score` again")
                wanted = [name for name in parquet.schema_arrow.names if name in _SHOWN or is_clip_column(name)]
                for batch in parquet.iter_batches(batch_size=65_536, columns=wanted):
                    yield _uids(path, batch), batch
            except (pa.ArrowException, OSError) as error:
                raise UserError(f"{path}: cannot be read ({error}); run `webpairs score` again") from error


def _uids(path: str, batch: pa.RecordBatch) -> np.ndarray:
    try:
        return uid_rows(batch.column("uid"))
    except ValueError as error:
        raise UserError(f"{path}: {error}; run `webpairs score` again") from error


def _count(histograms: dict[str, np.ndarray], batch: pa.RecordBatch, chosen: np.ndarray) -> None:
    for name in batch.schema.names:
        if is_clip_column(name):
            values = batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)[chosen]
            counted = np.histogram(values[np.isfinite(values)], bins=EDGES)[0]
            histograms[name] = histograms.get(name, np.zeros(BINS, dtype=np.int64)) + counted


def _sample(
    found: list[dict[str, Any]], batch: pa.RecordBatch, chosen: np.ndarray, high: np.ndarray, pairs: int
) -> list[dict[str, Any]]:
    at = np.flatnonzero(chosen)
    at = at[np.argsort(high[at], kind="stable")[:pairs]]
    return heapq.nsmallest(pairs, [*found, *_rows(batch, at)], key=lambda row: (row["uid"], str(row["key"] or "")))


def _add_border(view: View, batch: pa.RecordBatch, is_kept: np.ndarray, high: np.ndarray, pairs: int) -> None:
    """Pairs kept, and pairs below the threshold, that lie nearer to it than those found so far; not what other rules drop."""
    cut = border_of(view)
    if cut is None or not pairs:
        return
    column, threshold = cut
    scores = batch.column(column).to_numpy(zero_copy_only=False).astype(np.float64)

    def nearest(found: list[dict[str, Any]], chosen: np.ndarray) -> list[dict[str, Any]]:
        at = np.flatnonzero(chosen)
        at = at[np.lexsort((high[at], np.abs(scores[at] - threshold)))[:pairs]]
        return heapq.nsmallest(pairs, [*found, *_rows(batch, at)], key=lambda row: (abs(row[column] - threshold), row["uid"]))

    view.border_kept = nearest(view.border_kept, is_kept & np.isfinite(scores))
    view.border_dropped = nearest(view.border_dropped, ~is_kept & (scores < threshold))


def _rows(batch: pa.RecordBatch, at: np.ndarray) -> list[dict[str, Any]]:
    """The rows at these places, with all that a card shows: DataComp's own metadata has neither key nor shard."""
    return [{**dict.fromkeys(_SHOWN), **row} for row in batch.take(pa.array(at)).to_pylist()]
