"""A compiled removal file, mapped into memory: whether keys stand in it. A machine's processes share what is read of it."""

import json
from functools import cache
from typing import Any

import numpy as np

from pipeline.removal.compile import FORMAT, HEAD_BYTES
from pipeline.removal.keys import KEY_BYTES, KINDS, Keys
from schemas.errors import UserError


class Table:
    """The sorted keys of each kind: `high` and `low` halves, (n,) uint64 each, on disk."""

    def __init__(self, path: str) -> None:
        counts = _counts(path)
        self._halves: dict[str, tuple[Any, Any]] = {}
        offset = HEAD_BYTES
        for kind in KINDS:
            count = counts[kind]
            if count:  # nothing cannot be mapped
                high, low = (np.memmap(path, "<u8", "r", offset + half * 8 * count, (count,)) for half in (0, 1))
                self._halves[kind] = high.view(np.ndarray), low.view(np.ndarray)
            offset += KEY_BYTES * count

    def has(self, kind: str) -> bool:
        """Whether there is any key of that kind."""
        return kind in self._halves

    def contains(self, kind: str, keys: Keys) -> Any:
        """(n,) bool: which of the keys, (n, 2) uint64, stand among those of that kind. Exact: both halves are compared."""
        if kind not in self._halves:
            return np.zeros(len(keys), bool)
        return stand_among(keys, *self._halves[kind])

    def keys(self, kind: str) -> tuple[Any, Any]:
        """The sorted keys of that kind, mapped from disk: high and low halves, (n,) uint64 each."""
        return self._halves.get(kind, (np.empty(0, np.uint64), np.empty(0, np.uint64)))

    @property
    def entries(self) -> int:
        """How many keys there are, of all kinds."""
        return sum(len(high) for high, _ in self._halves.values())


def stand_among(keys: Keys, high: Any, low: Any) -> Any:
    """(n,) bool: which keys, (n, 2) uint64, are among those whose halves, (m,) uint64 each, are sorted by high, then low."""
    found = np.zeros(len(keys), bool)
    order = np.argsort(keys[:, 0])  # neighbours look at the same pages
    sought = keys[order]
    at = np.searchsorted(high, sought[:, 0])
    left = np.arange(len(keys))
    while len(left):  # once, but where two keys have the same high half
        left = left[at[left] < len(high)]
        left = left[high[at[left]] == sought[left, 0]]
        hit = low[at[left]] == sought[left, 1]
        found[order[left[hit]]] = True
        left = left[~hit]
        at[left] += 1
    return found


@cache
def table_at(path: str) -> Table:
    """The table of a local file, mapped once per process."""
    return Table(path)


def _counts(path: str) -> dict[str, int]:
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    try:
        said = json.loads(head)
        if said["format"] != FORMAT:
            raise ValueError(said["format"])
        return {kind: int(said["counts"][kind]) for kind in KINDS}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a compiled removal list of this version; run the same command again") from error
