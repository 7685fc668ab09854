"""The pool that is deduplicated: its readable files, where each one's rows begin, and the rank of every row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import pyarrow as pa

from pipeline import io
from pipeline.dedup.order import Order
from pipeline.dedup.sorting import MOST_ROWS, sort_by_words
from pipeline.manifest import hash_of
from pipeline.metadata.files import MetadataFile
from pipeline.metadata.read import read_batches
from pipeline.progress import progress
from schemas.errors import UserError

# What a file may raise whose content is not what its name says.
UNREADABLE = (UserError, ValueError, TypeError, pa.ArrowException)


@dataclass(frozen=True)
class Pool:
    """Files whose rows, one after the other, have the positions 0 … n - 1, file i from starts[i] (f + 1,) int64 on.

    ranks (n,) int32: the rank of the row at each position, 0 for the first in the order. `failed`: path → error of the files that
    could not be read, be it now or by a later pass over their other columns.
    """

    files: tuple[MetadataFile, ...]
    starts: np.ndarray
    ranks: np.ndarray
    failed: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ranks)

    def ranks_of(self, number: int) -> np.ndarray:
        """(rows,) int32: the ranks of the rows of file `number`."""
        return self.ranks[self.starts[number] : self.starts[number + 1]]

    def per_file(self, read: Callable[[MetadataFile, np.ndarray], None]) -> None:
        """`read(file, ranks of its rows)` for each readable file; one for which it raises is failed from now on."""
        for number, file in enumerate(self.files):
            if file.path not in self.failed:
                try:
                    read(file, self.ranks_of(number))
                except UNREADABLE as error:
                    self.failed[file.path] = str(error)

    @property
    def state(self) -> str:
        """A hash of which rows it holds: files and their rows, without those that have failed by now."""
        rows = np.diff(self.starts).tolist()
        return hash_of({io.stem(f.path): n for f, n in zip(self.files, rows, strict=True) if f.path not in self.failed})


def survey(files: Sequence[MetadataFile], order: Order) -> Pool:
    """Read the columns that order the rows, and rank all rows. Raises UserError where no file can be read, or all are empty."""
    read, firsts, failed = [], [], {}
    for file in progress(files, total=len(files), label="dedup: order", unit="file"):
        try:
            words = [np.empty(0, np.uint32), *(_first_word(order, batch) for batch in read_batches(file, order.reads))]
        except UNREADABLE as error:
            failed[file.path] = str(error)
        else:
            read.append(file)
            firsts.append(np.concatenate(words))
    if not read:
        path, problem = next(iter(failed.items()))
        raise UserError(f"{path}: {problem.removeprefix(f'{path}: ')}; no file of the metadata can be used ({len(failed)} tried)")
    starts = np.cumsum([0, *map(len, firsts)])
    if starts[-1] >= MOST_ROWS:
        raise UserError(f"{starts[-1]:,} rows: dedup takes up to {MOST_ROWS - 1:,} at once; divide the metadata among folders")
    joined = np.concatenate(firsts)
    del firsts
    ids = sort_by_words(joined, None, lambda: _words(read, starts, order)).ids
    ranks = np.empty(len(ids), np.int32)
    ranks[ids] = np.arange(len(ids), dtype=np.int32)
    return Pool(tuple(read), starts, ranks, failed)


def _first_word(order: Order, batch: pa.RecordBatch) -> np.ndarray:
    return (order.words(batch)[:, 0] >> np.uint64(32)).astype(np.uint32)


def _words(files: Sequence[MetadataFile], starts: np.ndarray, order: Order) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for file, start in zip(files, starts.tolist(), strict=False):
        at = start
        for batch in read_batches(file, order.reads):
            yield np.arange(at, at + batch.num_rows), order.words(batch)
            at += batch.num_rows


def digest(array: np.ndarray) -> str:
    """64 hex digits that name what an array holds."""
    return sha256(np.ascontiguousarray(array).data).hexdigest()


def problem_of(file: MetadataFile, columns: Sequence[str]) -> str:
    """What keeps these columns of a file from being read; "" where nothing does."""
    try:
        for _ in read_batches(file, columns):
            pass
    except UNREADABLE as error:
        return str(error)
    return ""


__all__ = ["UNREADABLE", "Pool", "digest", "problem_of", "survey"]
