"""Copies to the byte: rows with one sha256. The first in the order stands for the others."""

from collections.abc import Iterator

import numpy as np

from pipeline.dedup.found import Found
from pipeline.dedup.pool import Pool
from pipeline.dedup.sorting import heads_of_runs, sort_by_words
from pipeline.metadata.files import MetadataFile
from pipeline.metadata.hashes import hash_words
from pipeline.metadata.read import read_batches

_DIGITS = 64


def same_bytes(pool: Pool, column: str) -> tuple[Found, np.ndarray]:
    """For each row the first of all with its hash, by rank, and (n,) bool: which rows have a hash. 12 bytes of memory per row.

    32 bits of the hash bring candidates together; all 256 decide. Files without the column fail (pool.failed).
    """
    firsts: list[np.ndarray] = [np.empty(0, np.uint32)]
    ids: list[np.ndarray] = [np.empty(0, np.int32)]

    def take(file: MetadataFile, ranks: np.ndarray) -> None:
        found = [(some, (words[:, 0] >> np.uint64(32)).astype(np.uint32)) for some, words in _words_of_file(file, ranks, column)]
        ids.extend(some for some, _ in found)
        firsts.extend(first for _, first in found)

    pool.per_file(take)

    def all_words() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number, file in enumerate(pool.files):
            if file.path not in pool.failed:
                yield from _words_of_file(file, pool.ranks_of(number), column)

    ordered, same = sort_by_words(np.concatenate(firsts), np.concatenate(ids), all_words)
    index, hashed = np.full(len(pool), -1, np.int32), np.zeros(len(pool), bool)
    index[ordered[same]] = ordered[heads_of_runs(same)[same]]
    hashed[ordered] = True
    return Found(index), hashed


def _words_of_file(file: MetadataFile, ranks: np.ndarray, column: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    at = 0
    for batch in read_batches(file, [column]):
        fits, words = hash_words(batch[column], _DIGITS)
        yield ranks[at : at + len(fits)][fits], words
        at += len(fits)


__all__ = ["same_bytes"]
