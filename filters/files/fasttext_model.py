"""A fastText model's file → its arrays, from which compiled code finds most texts' labels, the library's own, in less time.

Nothing in the file is trusted. What the library would read otherwise is left to it; a file that ends too early is refused here,
since the library looks for the end of a word for ever.
"""

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from filters.texts.text_bytes import text_bytes
from schemas.errors import UserError

_MAGIC, _VERSION, _SUPERVISED, _TREE, _SOFTMAX = 793712314, 12, 3, 1, 3
_HEAD = struct.Struct("<ii12id")  # magic, version, 12 arguments, a sampling threshold
_COUNTS = struct.Struct("<iiiqq")  # entries, words, labels, tokens, pruned entries or -1
_ENTRY = struct.Struct("<qb")  # how often, behind a name and its NUL; 0 for a word, 1 for a label
_MATRIX = struct.Struct("<?qq")  # quantised, rows, columns
_LINE_END = b"</s>"
_MOST_ENTRIES, _MOST_LABELS, _MOST_NAME_BYTES, _MOST_TOKENS = 1 << 17, 1 << 12, 1 << 12, 10**15
_LONGEST_NGRAM, _MOST_DIMENSIONS, _DEEPEST = 32, 4096, 100


class _OtherError(Exception):
    """A model of another kind than is read here, or none."""


class _CutShortError(Exception):
    """The file ends where more of it should be."""


@dataclass(frozen=True, eq=False)
class FastTextModel:
    """A supervised model, not quantised, of words and n-grams of characters, with a softmax or a hierarchical softmax."""

    labels: tuple[str, ...]
    table: tuple[np.ndarray, np.ndarray, np.ndarray]
    known: int
    line_end: int
    rows: np.ndarray  # (words and buckets, d) float32, in the mapped file
    shape: tuple[int, int, int]
    output: np.ndarray  # (d, labels) float32
    tree: np.ndarray  # (labels - 1, 2) int32, or none

    def has_label(self, texts: pa.Array, label: str) -> tuple[np.ndarray, np.ndarray]:
        """For n texts, string or large_string: (n,) bool whether `label` is the most likely one, (n,) bool whether that is sure.

        Where it is not, the library is to be asked: two labels are so near each other that rounding could decide, or a word may
        be one of fastText's own marks. Line ends count as spaces.
        """
        from filters.compiled.language import top_labels

        best, sure = np.empty(len(texts), np.int32), np.empty(len(texts), bool)
        data, places = text_bytes(texts)
        top_labels(data, places, self.table, self.known, self.line_end, self.rows, self.shape, self.output, self.tree, best, sure)
        named = np.array([name == label for name in self.labels] + [False])  # the last entry is that of no label
        return named[best], sure


@functools.cache
def read_model(path: str) -> FastTextModel | None:
    """The model in a local file, which is mapped: workers share it. None for another kind of model, and for what is none.

    Raises UserError for a model that is cut short.
    """
    try:
        return _read(np.memmap(path, np.uint8, "r"))
    except (_CutShortError, struct.error) as error:
        raise UserError(f"--lid-model {path}: not a fastText model, or cut short: download it again") from error
    except (_OtherError, OSError, ValueError):
        return None


def _read(file: np.ndarray) -> FastTextModel:
    magic, version, dimensions, *arguments, _ = _HEAD.unpack_from(file.data)
    _, _, _, _, word_ngrams, loss, kind, buckets, shortest, longest, _ = arguments
    _require(magic == _MAGIC and version == _VERSION)
    entries, known, labels, _, pruned = _COUNTS.unpack_from(file.data, _HEAD.size)
    _require(known >= 0 and 0 < labels <= _MOST_LABELS and entries == known + labels <= _MOST_ENTRIES)
    names, counts, at = _entries(file, _HEAD.size + _COUNTS.size, known, entries)
    _require(kind == _SUPERVISED and word_ngrams == 1 and loss in {_TREE, _SOFTMAX} and pruned < 0)
    _require(0 < dimensions <= _MOST_DIMENSIONS and longest <= _LONGEST_NGRAM and (buckets > 0 or longest < 1))
    rows, at = _matrix(file, at, dimensions)
    output, _ = _matrix(file, at, dimensions)
    _require(len(rows) >= known + (buckets if longest > 0 else 0) and len(output) == labels)
    rows.flags.aligned = False  # as it may be, or not, by the length of the names: one kind of array to be compiled for
    return FastTextModel(
        labels=tuple(name.decode() for name in names[known:]),
        table=_table(names),
        known=known,
        line_end=names.index(_LINE_END) if _LINE_END in names[:known] else -1,
        rows=rows,
        shape=(max(buckets, 0), shortest, longest),
        output=np.ascontiguousarray(output.T),
        tree=_tree(counts[known:]) if loss == _TREE else np.empty((0, 2), np.int32),
    )


def _require(fulfilled: bool) -> None:
    if not fulfilled:
        raise _OtherError


def _entries(file: np.ndarray, at: int, known: int, count: int) -> tuple[list[bytes], list[int], int]:
    """Words, then labels; how often each was met; where they end."""
    names, counts = [], []
    for number in range(count):
        name, end, _ = bytes(file.data[at : at + _MOST_NAME_BYTES]).partition(b"\0")
        times, kind = _ENTRY.unpack_from(file.data, at + len(name) + 1)
        _require(bool(end) and kind == (number >= known))
        names.append(name)
        counts.append(times)
        at += len(name) + 1 + _ENTRY.size
    _require(len(set(names)) == count)
    return names, counts, at


def _matrix(file: np.ndarray, at: int, columns: int) -> tuple[np.ndarray, int]:
    """(rows, columns) float32 where it stands in the file; where it ends."""
    quantised, rows, found = _MATRIX.unpack_from(file.data, at)
    begin, end = at + _MATRIX.size, at + _MATRIX.size + 4 * rows * columns
    _require(not quantised and found == columns and rows >= 0)
    if end > len(file):
        raise _CutShortError
    return np.frombuffer(file.data, "<f4", rows * columns, begin).reshape(rows, columns), end


def _table(names: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The names' bytes, their ends from 0 on, and a table of them by hash."""
    from filters.compiled.language import enter_words

    data = np.frombuffer(bytearray(b"".join(names)), np.uint8)
    ends = np.cumsum([0, *map(len, names)], dtype=np.int64)
    slots = np.full(1 << (2 * len(names)).bit_length(), -1, np.int32)
    _require(bool(enter_words(data, ends, slots)))
    return data, ends, slots


def _tree(counts: Sequence[int]) -> np.ndarray:
    """Huffman's tree as the library builds it from labels in their order, that of their counts: the inner nodes' children.

    Leaves are numbered first. A leaf is taken before a node only where it is lighter.
    """
    _require(min(counts) >= 0 and sum(counts) < _MOST_TOKENS)
    leaves = len(counts)
    weights: list[Any] = list(counts)
    depths = [0] * leaves
    children = np.empty((leaves - 1, 2), np.int32)
    leaf, node = leaves - 1, leaves
    for parent in range(leaves, 2 * leaves - 1):
        for side in (0, 1):
            if leaf >= 0 and (node == parent or weights[leaf] < weights[node]):
                children[parent - leaves, side], leaf = leaf, leaf - 1
            else:
                children[parent - leaves, side], node = node, node + 1
        pair = children[parent - leaves].tolist()
        weights.append(weights[pair[0]] + weights[pair[1]])
        depths.append(1 + max(depths[one] for one in pair))
    _require(depths[-1] <= _DEEPEST)
    return children
