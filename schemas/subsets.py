"""subsets: DataComp's uid file, a 1-D .npy of pairs of 64-bit halves of the uid, sorted."""

from collections.abc import Sequence
from string import hexdigits

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import required, table

# High and low 64 bits, little endian. Unsigned lives here only, because the .npy is DataComp's format.
SUBSET_DTYPE = np.dtype("u8,u8")

_DIGITS = 32
_NO_DIGIT = 255
_VALUES = np.full(256, _NO_DIGIT, np.uint8)  # of a character code as a hex digit
for _digit in hexdigits:
    _VALUES[ord(_digit)] = int(_digit, 16)

SUBSETS = table(
    "One kept pair; a repeated uid is a weight: the sample is seen that many times. On disk: .npy of dtype u8,u8.",
    [required("uid", pa.string(), "32 lower-case hex digits: high and low 64 bits of the .npy row")],
)


def uids_to_array(uids: list[str]) -> np.ndarray:
    """Sorted (n,) `u8,u8` of n hex uids, repeats kept. Raises ValueError naming the first uid that is not 32 hex digits."""
    return sort_rows(uid_rows(uids))


def uid_rows(uids: Sequence[str] | pa.Array) -> np.ndarray:
    """(n,) `u8,u8` of n hex uids, in their order. Raises ValueError naming the first uid that is not 32 hex digits."""
    column = uids if isinstance(uids, pa.Array) else pa.array(uids, pa.string())
    lengths = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
    if (wrong := np.flatnonzero(lengths != _DIGITS)).size:
        uid = column[int(wrong[0])].as_py()
        raise ValueError(f"uid {uid!r} has {len(uid or '')} characters; a uid is 32 hex digits")
    fixed = column.cast(pa.binary()).cast(pa.binary(_DIGITS))
    codes = np.frombuffer(fixed.buffers()[1] or b"", np.uint8)[fixed.offset * _DIGITS :][: len(fixed) * _DIGITS]
    values = _VALUES[codes]
    if (bad := np.flatnonzero(values == _NO_DIGIT)).size:
        raise ValueError(f"uid {column[int(bad[0]) // _DIGITS].as_py()!r} is not 32 hex digits")
    halves = ((values[0::2] << 4) | values[1::2]).view(">u8").astype("<u8")
    return halves.view(SUBSET_DTYPE)


def sort_rows(array: np.ndarray) -> np.ndarray:
    """A sorted copy of a (n,) `u8,u8` array, as np.sort orders it, but several times faster than on the compound type."""
    ordered = array[np.argsort(array["f0"])]
    high = ordered["f0"]
    again = np.zeros(len(ordered), bool)  # rows that share their high half with a neighbour: repeated uids, as a rule
    again[1:] = high[1:] == high[:-1]
    again[:-1] |= again[1:]
    ties = ordered[again]
    ordered[again] = ties[np.lexsort((ties["f1"], ties["f0"]))]
    return ordered


def array_to_uids(array: np.ndarray) -> list[str]:
    """The n hex uids of a (n,) `u8,u8` array, in its order."""
    pairs = np.empty((len(array), 2), dtype=">u8")
    pairs[:, 0], pairs[:, 1] = array["f0"], array["f1"]
    digits = pairs.tobytes().hex()
    return [digits[i : i + 32] for i in range(0, len(digits), 32)]
