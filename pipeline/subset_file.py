"""Subset files, DataComp's 1-D .npy of dtype u8,u8: read and written here, so that every stage refuses the same files."""

import zipfile

import numpy as np

from pipeline import io
from schemas.errors import UserError
from schemas.subsets import SUBSET_DTYPE


def read_subset(path: str) -> np.ndarray:
    """The (n,) `u8,u8` uids of a subset file, repeats kept. Raises UserError for a file that is not one."""
    with io.open_read(path) as file:
        try:
            uids = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, OSError, MemoryError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: not a subset ({error}); give a .npy that `filter` wrote") from error
    if not isinstance(uids, np.ndarray):
        raise UserError(f"{path}: an archive of arrays; a subset is a 1-D .npy of dtype u8,u8")
    if uids.dtype != SUBSET_DTYPE or uids.ndim != 1:
        raise UserError(f"{path}: dtype {uids.dtype}, shape {uids.shape}; a subset is a 1-D .npy of dtype u8,u8")
    return uids


def write_subset(path: str, uids: np.ndarray) -> None:
    """Put (n,) `u8,u8` uids, sorted, at `path`: the bytes that np.save gives."""
    with io.atomic_write(path) as file:
        np.save(file, uids)
