"""subsets: DataComp's uid file, a 1-D .npy of pairs of 64-bit halves of the uid, sorted."""

from string import hexdigits

import numpy as np
import pyarrow as pa

from schemas.columns import required, table

# High and low 64 bits, little endian. Unsigned lives here only, because the .npy is DataComp's format.
SUBSET_DTYPE = np.dtype("u8,u8")

SUBSETS = table(
    "One kept pair; a repeated uid is a weight: the sample is seen that many times. On disk: .npy of dtype u8,u8.",
    [required("uid", pa.string(), "32 lower-case hex digits: high and low 64 bits of the .npy row")],
)


def uids_to_array(uids: list[str]) -> np.ndarray:
    """Sorted (n,) `u8,u8` of n hex uids, repeats kept. Raises ValueError naming the first uid that is not 32 hex digits."""
    return sort_rows(uid_rows(uids))


def uid_rows(uids: list[str]) -> np.ndarray:
    """(n,) `u8,u8` of n hex uids, in their order. Raises ValueError naming the first uid that is not 32 hex digits."""
    for uid in uids:
        if uid is None or len(uid) != 32:
            raise ValueError(f"uid {uid!r} has {len(uid or '')} characters; a uid is 32 hex digits")
    try:
        pairs = np.frombuffer(bytes.fromhex("".join(uids)), dtype=">u8").reshape(-1, 2)
    except ValueError:
        wrong = next(uid for uid in uids if not set(uid) <= set(hexdigits))
        raise ValueError(f"uid {wrong!r} is not 32 hex digits") from None
    array = np.empty(len(pairs), dtype=SUBSET_DTYPE)
    array["f0"], array["f1"] = pairs[:, 0], pairs[:, 1]
    return array


def sort_rows(array: np.ndarray) -> np.ndarray:
    """A sorted copy of a (n,) `u8,u8` array, as np.sort orders it, but several times faster than on the compound type."""
    return array[np.lexsort((array["f1"], array["f0"]))]


def array_to_uids(array: np.ndarray) -> list[str]:
    """The n hex uids of a (n,) `u8,u8` array, in its order."""
    pairs = np.empty((len(array), 2), dtype=">u8")
    pairs[:, 0], pairs[:, 1] = array["f0"], array["f1"]
    digits = pairs.tobytes().hex()
    return [digits[i : i + 32] for i in range(0, len(digits), 32)]
