"""Embeddings on disk by cluster: a file's rows in runs, each sorted by cluster, and where each cluster's rows stand in them.

Per metadata file STEM.rows (r, d) float16, STEM.ranks (r,) int32, both without header, STEM.counts.npy (runs, k) int64: how many
rows of each cluster each run has. A run is what fits in memory; a row is there once for each of its clusters.
"""

from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np

from pipeline import io
from pipeline.stage import PartFolder
from schemas.errors import UserError

FOLDER = "_clusters"  # in --out, while a pool is searched
_ROWS_AT_ONCE = 16_384
_CLUSTERS_AT_ONCE = 64


class SpillWriter:
    """Takes rows with their ranks and clusters, and writes a run whenever `run_rows` have come."""

    def __init__(self, folder: PartFolder, stem: str, *, clusters: int, d: int, run_rows: int) -> None:
        self._rows_file, self._ranks_file = folder.open(f"{stem}.rows"), folder.open(f"{stem}.ranks")
        self._counts_path = (folder, f"{stem}.counts.npy")
        self._clusters = clusters
        self._rows, self._ranks = np.empty((run_rows, d), np.float16), np.empty(run_rows, np.int32)
        self._homes: list[np.ndarray] = []
        self._filled = 0
        self._counts: list[np.ndarray] = []

    def add(self, rows: np.ndarray, ranks: np.ndarray, homes: np.ndarray) -> None:
        """Take rows (m, d) float16, their ranks (m,) int32, and homes (m, h) int32: the clusters of each; -1 is none."""
        taken = 0
        while taken < len(rows):
            count = min(len(rows) - taken, len(self._rows) - self._filled)
            to, some = slice(self._filled, self._filled + count), slice(taken, taken + count)
            self._rows[to], self._ranks[to] = rows[some], ranks[some]
            self._homes.append(homes[some])
            self._filled += count
            taken += count
            if self._filled == len(self._rows):
                self._write_run()

    def close(self) -> None:
        """Write the last run, and the counts."""
        if self._filled:
            self._write_run()
        self._rows_file.close()
        self._ranks_file.close()
        folder, name = self._counts_path
        with folder.open(name) as file:
            np.save(file, np.array(self._counts, np.int64).reshape(-1, self._clusters))

    def abandon(self) -> None:
        """Close the files; what they hold is to be discarded."""
        self._rows_file.close()
        self._ranks_file.close()

    def _write_run(self) -> None:
        homes = np.concatenate(self._homes)
        flat = homes.reshape(-1)
        order = np.argsort(flat, kind="stable")[np.count_nonzero(flat < 0) :] // homes.shape[1]
        for start in range(0, len(order), _ROWS_AT_ONCE):
            some = order[start : start + _ROWS_AT_ONCE]
            self._rows_file.write(self._rows[some].tobytes())
            self._ranks_file.write(self._ranks[some].tobytes())
        self._counts.append(np.bincount(flat[flat >= 0], minlength=self._clusters))
        self._homes, self._filled = [], 0


class Segment(NamedTuple):
    """Rows of one cluster that lie together: the stem of their file, the first, and how many."""

    stem: str
    start: int
    rows: int


class Contents:
    """Which rows of which files belong to which cluster: written once when all files are spilled, read by each cluster."""

    def __init__(self, path: str, stems: Sequence[str]) -> None:
        self.path = path
        self.stems = tuple(stems)

    def write(self, spilled: str, clusters: int) -> int:
        """Write where the rows of all files in `spilled` lie; how many rows lie there. (k, runs, 3) int64: file, first, count."""
        counts, starts = [np.empty((0, clusters), np.int64)], [np.empty((0, clusters), np.int64)]  # (runs, k) of each file
        for stem in self.stems:
            with io.open_read(io.join(spilled, f"{stem}.counts.npy")) as file:
                counts.append(np.load(file))
            starts.append((np.cumsum(counts[-1]) - counts[-1].reshape(-1)).reshape(counts[-1].shape))
        numbers = np.repeat(np.arange(-1, len(self.stems)), [len(runs) for runs in counts])
        with io.atomic_write(self.path) as file:
            for first in range(0, clusters, _CLUSTERS_AT_ONCE):  # of a large pool the whole table does not fit in memory twice
                own = [
                    np.concatenate([runs[:, first : first + _CLUSTERS_AT_ONCE] for runs in some]).T for some in (starts, counts)
                ]
                file.write(np.stack([np.broadcast_to(numbers, own[0].shape), *own], axis=-1).tobytes())
        return sum(int(runs.sum()) for runs in counts)

    def of(self, cluster: int, clusters: int) -> list[Segment]:
        """The segments of a cluster, those without rows left out."""
        with io.open_read(self.path) as file:
            size = file.seek(0, 2) // clusters
            file.seek(cluster * size)
            table = np.frombuffer(file.read(size), np.int64).reshape(-1, 3)
        return [Segment(self.stems[number], start, count) for number, start, count in table.tolist() if count]


def read_ranks(spilled: str, segments: Sequence[Segment]) -> np.ndarray:
    """(m,) int32: the ranks of all rows of these segments, in their order."""
    ranks = [np.empty(0, np.int32)]
    for segment in segments:
        with io.open_read(io.join(spilled, f"{segment.stem}.ranks")) as file:
            ranks.append(np.frombuffer(_exactly(file, segment.start * 4, segment.rows * 4), np.int32))
    return np.concatenate(ranks)


def read_rows(spilled: str, segments: Sequence[Segment], ranks: np.ndarray, wanted: np.ndarray, into: np.ndarray) -> None:
    """Fill `into` (w, d) float16 with the rows of the ranks `wanted` (w,), ascending; `ranks` are those of all rows."""
    at = 0
    for segment in segments:
        with io.open_read(io.join(spilled, f"{segment.stem}.rows")) as file:
            for start, rows in _pieces(file, segment, into.shape[1]):
                own = ranks[at + start : at + start + len(rows)]
                places = np.minimum(np.searchsorted(wanted, own), len(wanted) - 1)
                hit = wanted[places] == own
                into[places[hit]] = rows[hit]
        at += segment.rows


def _pieces(file: IO[bytes], segment: Segment, d: int) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, segment.rows, _ROWS_AT_ONCE):
        count = min(_ROWS_AT_ONCE, segment.rows - start)
        data = _exactly(file, (segment.start + start) * 2 * d, count * 2 * d)
        yield start, np.frombuffer(data, np.float16).reshape(count, d)


def _exactly(file: IO[bytes], start: int, size: int) -> bytes:
    file.seek(start)
    data = file.read(size)
    if len(data) != size:
        raise UserError(
            f"{getattr(file, 'name', 'a spilled file')}: cut short at byte {start + len(data)}, as after a power cut; remove "
            f"the folder {FOLDER} in which it lies"
        )
    return data


def remove_folder(folder: str) -> None:
    """Remove a folder of spilled files with all that is in it; nothing happens where there is none."""
    fs, name = io.url_to_fs(folder)
    if fs.exists(name):
        fs.rm(name, recursive=True)


__all__ = ["FOLDER", "Contents", "Segment", "SpillWriter", "read_ranks", "read_rows", "remove_folder"]
