"""Removal lists → one compiled file of sorted keys, in bounded memory.

In: lists of any size. Out: a file that `table.Table` maps into memory: a JSON head of HEAD_BYTES, then for each kind the high
halves of its keys in order and the low halves beside them, uint64. Keys are sorted in runs on disk, which are merged one slice
of the keys' range at a time.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline.removal.keys import HASHES, KINDS, Keys
from pipeline.removal.lists import read_keys

HEAD_BYTES = 4096
FORMAT = "webpairs removal 2"
_RUN_KEYS = 1 << 20  # 16 MiB: what is held in memory of each kind
_SLICES = 256


def compile_lists(paths: Sequence[str], target: str, hashes: Mapping[int, str] = HASHES) -> dict[str, str]:
    """Write the union of `paths` to the local file `target`; the sha256 of each list, by path. `hashes` as `read_keys` has it.

    Needs room on disk of twice 16 bytes per entry. Raises UserError naming the list and the line that is no entry.
    """
    digests = {}
    with tempfile.TemporaryDirectory(dir=Path(target).parent) as folder:
        sorters = {kind: _Sorter(Path(folder) / kind) for kind in KINDS}
        for path in paths:
            seen = hashlib.sha256()
            for kind, keys in read_keys(path, seen.update, hashes):
                sorters[kind].add(keys)
            digests[path] = seen.hexdigest()
        _write(target, sorters)
    return digests


class _Sorter:
    """The keys of one kind: collected, sorted in runs, merged."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._held: list[Keys] = []
        self._n_held = 0
        self._runs: list[Any] = []

    def add(self, keys: Keys) -> None:
        self._held.append(keys)
        self._n_held += len(keys)
        if self._n_held >= _RUN_KEYS:
            path = f"{self._place}.{len(self._runs)}.npy"
            np.save(path, self._take())
            self._runs.append(np.load(path, mmap_mode="r"))

    def merged(self) -> Iterator[Keys]:
        """All keys in order, each once, in slices of their range."""
        if not self._runs:
            yield self._take()
            return
        runs = [*self._runs, self._take()]
        bounds = [np.searchsorted(run[:, 0], np.arange(1, _SLICES, dtype=np.uint64) << np.uint64(56)) for run in runs]
        edges = [[0, *bound.tolist(), len(run)] for bound, run in zip(bounds, runs, strict=True)]
        for number in range(_SLICES):
            pieces = [run[edge[number] : edge[number + 1]] for run, edge in zip(runs, edges, strict=True)]
            yield _sorted(np.concatenate(pieces))

    def _take(self) -> Keys:
        keys = np.concatenate([np.empty((0, 2), np.uint64), *self._held])
        self._held, self._n_held = [], 0
        return _sorted(keys)


def _sorted(keys: Keys) -> Keys:
    """In order of the high, then the low half; repeats left out."""
    keys = keys[np.lexsort((keys[:, 1], keys[:, 0]))]
    fresh = np.ones(len(keys), bool)
    fresh[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    return keys[fresh]


def _write(target: str, sorters: dict[str, _Sorter]) -> None:
    counts = {}
    with open(target, "wb") as file:
        file.write(bytes(HEAD_BYTES))
        for kind, sorter in sorters.items():
            counts[kind] = _write_kind(file, sorter)
        file.seek(0)
        file.write(json.dumps({"format": FORMAT, "counts": counts}).encode().ljust(HEAD_BYTES))


def _write_kind(file: IO[bytes], sorter: _Sorter) -> int:
    """The high halves, then the low ones, which wait in a file of their own meanwhile; how many keys."""
    count = 0
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as low:
        for keys in sorter.merged():
            file.write(np.ascontiguousarray(keys[:, 0]).astype("<u8").tobytes())
            low.write(np.ascontiguousarray(keys[:, 1]).astype("<u8").tobytes())
            count += len(keys)
        low.seek(0)
        while data := low.read(1 << 20):
            file.write(data)
    return count
