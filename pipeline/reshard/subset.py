"""The subset as a sorted array that is looked up by halving: mapped, not read, so that 10^9 uids take no memory of a worker."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline import io
from pipeline.subset_file import read_subset
from schemas.errors import UserError
from schemas.subsets import SUBSET_DTYPE, sort_rows

_MAGIC = b"\x93NUMPY"
_AT_ONCE = 2**20  # uids
_COPIED_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class Subset:
    """A subset that can be mapped: its sorted file on this machine, the hash of the file as given, uids and different uids."""

    path: str
    sha256: str
    rows: int
    distinct: int
    is_sorted: bool  # as given


def prepare(path: str, scratch: str) -> Subset:
    """What is to be looked up in. `scratch`, a folder of this machine, gets a copy of a file that is remote or not sorted.

    Raises UserError for a file that is no subset.
    """
    sha256 = _sha256(path)
    local = io.absolute(path) if io.is_local(path) else _copied(path, io.join(scratch, "subset.npy"))
    uids = _mapped(local, path)
    is_sorted, distinct = _surveyed(uids)
    if is_sorted:
        return Subset(path=local, sha256=sha256, rows=len(uids), distinct=distinct, is_sorted=True)
    if not _is_npy(local):
        raise UserError(f"{path}: neither a .npy file nor sorted uids of 16 bytes; give a .npy that `filter` wrote")
    local = io.join(scratch, "sorted.npy")
    np.save(local, sort_rows(uids))
    distinct = _surveyed(map_subset(local))[1]
    return Subset(path=local, sha256=sha256, rows=len(uids), distinct=distinct, is_sorted=False)


def map_subset(path: str) -> np.ndarray:
    """The (n,) `u8,u8` uids of a file on this machine, a .npy or, as DataComp's resharder takes them too, nothing but uids."""
    return _mapped(path, path)


def look_up(subset: np.ndarray, uids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For (k,) `u8,u8` uids: where each stands first in the sorted (n,) subset, int64, and how often it stands there, int64.

    All uids are sought at once, in log2(n) steps: np.searchsorted takes several times as long on a compound type.
    """
    first = _bisected(subset, uids, after=False)
    return first, _bisected(subset, uids, after=True) - first


def _bisected(subset: np.ndarray, uids: np.ndarray, *, after: bool) -> np.ndarray:
    """Where each uid would be put in: before all that are equal, or after them."""
    low = np.zeros(len(uids), np.int64)
    high = np.full(len(uids), len(subset), np.int64)
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        found, sought = subset[middle], uids[open_]
        lower = found["f1"] <= sought["f1"] if after else found["f1"] < sought["f1"]
        goes_on = (found["f0"] < sought["f0"]) | ((found["f0"] == sought["f0"]) & lower)
        low[open_] = np.where(goes_on, middle + 1, low[open_])
        high[open_] = np.where(goes_on, high[open_], middle)
    return low


def _surveyed(uids: np.ndarray) -> tuple[bool, int]:
    """Whether they are sorted, and how many differ from the one before."""
    distinct = min(1, len(uids))
    for one, other in _neighbours(uids):
        same = one["f0"] == other["f0"]
        if ((one["f0"] > other["f0"]) | (same & (one["f1"] > other["f1"]))).any():
            return False, 0
        distinct += int((~(same & (one["f1"] == other["f1"]))).sum())
    return True, distinct


def _neighbours(uids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(uids) - 1, _AT_ONCE):
        piece = uids[start : start + _AT_ONCE + 1]
        yield piece[:-1], piece[1:]


def _mapped(local: str, named: str) -> np.ndarray:
    try:
        if not _is_npy(local):
            return np.memmap(local, SUBSET_DTYPE, mode="r")
        uids: np.ndarray = np.load(local, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError):
        uids = _read(local, named)  # it has nothing to map, or is no subset: that says why
    if not isinstance(uids, np.ndarray) or uids.dtype != SUBSET_DTYPE or uids.ndim != 1:
        uids = _read(local, named)
    return uids


def _read(local: str, named: str) -> np.ndarray:
    try:
        return read_subset(local)
    except UserError as error:
        raise UserError(str(error).replace(local, named, 1)) from error


def _is_npy(path: str) -> bool:
    with io.open_read(path) as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _copied(path: str, local: str) -> str:
    with io.open_read(path) as source, io.open_write(local) as target:
        shutil.copyfileobj(source, target, _COPIED_BYTES)
    return local


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with io.open_read(path) as file:
        while piece := file.read(_COPIED_BYTES):
            digest.update(piece)
    return digest.hexdigest()
