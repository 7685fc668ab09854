"""Subset files: read and written in one place, for every stage alike."""

import io
from pathlib import Path

import numpy as np
import pytest

from pipeline.subset_file import read_subset, write_subset
from schemas.errors import UserError
from schemas.subsets import SUBSET_DTYPE, array_to_uids, uids_to_array

GOOD = np.zeros(3, SUBSET_DTYPE)


def npy(save, *arrays) -> bytes:
    """The bytes that np.save or np.savez writes."""
    file = io.BytesIO()
    save(file, *arrays)
    return file.getvalue()


def test_what_is_written_is_read_and_repeats_stay(tmp_path: Path):
    uids = sorted([f"{i:032x}" for i in (3, 2**64, 2**128 - 1, 3)])
    write_subset(str(tmp_path / "new" / "s.npy"), uids_to_array(uids))
    assert array_to_uids(read_subset(str(tmp_path / "new" / "s.npy"))) == uids
    assert (tmp_path / "new" / "s.npy").read_bytes() == npy(np.save, uids_to_array(uids))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a subset"),
        (b"text", "not a subset"),
        (npy(np.save, GOOD)[:-1], "not a subset"),
        (npy(np.save, GOOD).replace(b"(3,), }            ", b"(9999999999999,), }"), "not a subset"),
        (npy(np.save, np.array([{}])), "not a subset"),
        (npy(np.savez, GOOD)[:60], "not a subset"),
        (npy(np.savez, GOOD), "an archive of arrays; a subset is"),
        (npy(np.save, np.arange(3)), "dtype int64"),
        (npy(np.save, GOOD.reshape(3, 1)), r"dtype .*, shape \(3, 1\)"),
    ],
    ids=["empty", "text", "cut", "claims more", "pickled", "cut archive", "archive", "numbers", "two-dimensional"],
)
def test_what_is_no_subset_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, problem: str):
    (tmp_path / "s.npy").write_bytes(content)
    with pytest.raises(UserError, match=rf"s\.npy: {problem}"):
        read_subset(str(tmp_path / "s.npy"))


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.npy: no such file"):
        read_subset(str(tmp_path / "none.npy"))
    with pytest.raises(UserError, match="is a folder"):
        read_subset(str(tmp_path))
