"""Which of two copies comes first, and so survives: columns → words that sort in that order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import UsageError, UserError
from schemas.scores import CLIP_COLUMN, is_clip_column
from schemas.subsets import uid_rows

_HIGH = ":high"
_LAST = np.uint64(2**64 - 1)
_SIGN = np.uint64(1 << 63)


@dataclass(frozen=True)
class Order:
    """Column names, most significant first; NAME:high means the highest value first. Rows without a value come last.

    The uid always decides at the end, and rows that have even that in common stay in the order of files and rows.
    """

    columns: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns' names, without repeats."""
        return tuple(dict.fromkeys(name.removesuffix(_HIGH) for name in self.columns))

    def words(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n, c) uint64: rows sort by them, word by word. Raises ValueError for a uid that is none, UserError for other text."""
        words: list[np.ndarray] = []
        for column in self.columns:
            name = column.removesuffix(_HIGH)
            if name == "uid":
                halves = uid_rows(batch[name])
                found = [halves["f0"], halves["f1"]]
            else:
                found = [_number(batch[name], name, highest_first=column.endswith(_HIGH))]
            words += [~word for word in found] if name == "uid" and column.endswith(_HIGH) else found
        return np.stack(words, axis=1)


def order_of(asked: Sequence[str], at_hand: Sequence[str], embeddings: str | None) -> Order:
    """The order asked for; if none: the highest CLIP score of the model of `embeddings`, or of another, then the uid.

    Raises UsageError for a column that the metadata does not have.
    """
    columns = tuple(asked) or _default(at_hand, embeddings)
    for column in columns:
        if (name := column.removesuffix(_HIGH)) not in at_hand:
            raise UsageError(f"--order {column}: the metadata has no column {name}; it has: {', '.join(at_hand)}")
    return Order(columns if "uid" in {column.removesuffix(_HIGH) for column in columns} else (*columns, "uid"))


def _default(at_hand: Sequence[str], embeddings: str | None) -> tuple[str, ...]:
    own = CLIP_COLUMN.format(name=(embeddings or "").rpartition("_")[0])
    scores = [own] if own in at_hand else [name for name in at_hand if is_clip_column(name)]
    return (*(f"{name}{_HIGH}" for name in scores[:1]), "uid")


def _number(values: pa.Array, name: str, *, highest_first: bool) -> np.ndarray:
    """(n,) uint64 that sort as the numbers do; null and NaN last. A float32 has all of its bits among the first 32."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int32())
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise UserError(f"column {name}: {values.type}; rows are ordered by numbers and uids only")
    missing = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(values.type):
        whole = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        word = whole.view(np.uint64) ^ _SIGN
        if values.type.bit_width <= 32:  # moved up, so that the first 32 bits of the word tell (nearly) all: -2^31 … 2^32 - 1
            word = (whole + 2**31).astype(np.uint64) << np.uint64(31)
    else:
        wide = values.type.bit_width > 32
        kind, bits = (np.float64, np.uint64) if wide else (np.float32, np.uint32)
        floats = values.cast(pa.float64() if wide else pa.float32()).fill_null(0).to_numpy(zero_copy_only=False).astype(kind)
        raw = (floats + kind(0)).view(bits)  # + 0: -0.0 is 0.0
        sign = bits(1) << bits(8 * raw.itemsize - 1)
        word = np.where(raw & sign, ~raw, raw | sign).astype(np.uint64)
        word <<= np.uint64(0 if wide else 32)
    return np.where(missing, _LAST, ~word if highest_first else word)


__all__ = ["Order", "order_of"]
