"""Rows in the order of keys of any length, in about 12 bytes a row: the first 32 bits sort, ties ask for the rest."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

MOST_ROWS = 2**31  # an id is an int32
_Words = Iterable[tuple[np.ndarray, np.ndarray]]


class Sorted(NamedTuple):
    """ids (n,) int32 in the order of their keys, then of their own; same (n,) bool: the key is that of the id before."""

    ids: np.ndarray
    same: np.ndarray


def sort_by_words(firsts: np.ndarray, ids: np.ndarray | None, read: Callable[[], _Words]) -> Sorted:
    """Sort the ids (n,) int32 (None: 0 … n - 1) by keys of which `firsts` (n,) uint32 are the first 32 bits.

    `read` gives the whole keys of all ids, in any order: ids (m,) and words (m, c) uint64, most significant first. It is called
    only where first words are equal, and of its words only those of such ids are kept.
    """
    keys = firsts.astype("<u8")
    keys <<= 32
    keys |= np.arange(len(keys), dtype=np.uint32) if ids is None else ids.astype(np.uint32)
    keys.sort()
    halves = keys.view("<u4")
    ordered, tops = halves[0::2].astype(np.int32), halves[1::2]
    same = np.zeros(len(keys), bool)
    same[1:] = tops[1:] == tops[:-1]
    del keys, halves, tops
    if same.any():
        _settle_ties(ordered, same, read)
    return Sorted(ordered, same)


def _settle_ties(ordered: np.ndarray, same: np.ndarray, read: Callable[[], _Words]) -> None:
    """Sorts each run of equal first words by the whole keys, in place; `same` becomes that of the whole keys."""
    tied = same.copy()
    tied[:-1] |= same[1:]
    slots = np.flatnonzero(tied)
    runs = np.cumsum(~same)[slots]
    ids = ordered[slots]
    words = _words_of(ids, read)
    order = np.lexsort((*(words[:, column] for column in reversed(range(words.shape[1]))), runs))  # stable: then by id
    ordered[slots] = ids[order]
    words = words[order]
    same[slots] = False
    same[slots[1:]] = (runs[1:] == runs[:-1]) & (words[1:] == words[:-1]).all(axis=1)


def _words_of(ids: np.ndarray, read: Callable[[], _Words]) -> np.ndarray:
    """(m, c) uint64: the whole keys of these ids."""
    order = np.argsort(ids)
    ascending = ids[order]
    found: np.ndarray | None = None
    for some, words in read():
        if found is None:
            found = np.empty((len(ids), words.shape[1]), np.uint64)
        places = np.minimum(np.searchsorted(ascending, some), len(ids) - 1)
        hit = ascending[places] == some
        found[order[places[hit]]] = words[hit]
    assert found is not None  # noqa: S101 - there are ties, so there are rows
    return found


def heads_of_runs(same: np.ndarray) -> np.ndarray:
    """(n,) int64: for each place the place at which its run of equal keys begins."""
    return np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))


__all__ = ["MOST_ROWS", "Sorted", "heads_of_runs", "sort_by_words"]
