"""Arrays in torch's and NumPy's files, read without torch: what is no array is refused, and no pickle runs."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.files.torch_arrays import read_rows
from schemas.errors import UserError

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


def saved(path: Path, what: Any, **options: Any) -> str:
    torch.save(what, path, **options)
    return str(path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_an_array_is_read_as_torch_wrote_it(tmp_path: Path, dtype: type, protocol: int):
    rows = ROWS.astype(dtype)
    read = read_rows(saved(tmp_path / "a.pt", rows, pickle_protocol=protocol))
    assert read.dtype == dtype
    assert np.array_equal(read, rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_tensor_is_read_alone_and_out_of_a_dictionary(tmp_path: Path, dtype: torch.dtype):
    tensor = torch.tensor(ROWS).to(dtype)
    expected = tensor.numpy()
    for what in (tensor, {"image_features": tensor, "labels": torch.zeros(3)}, tensor.repeat(2, 1)[4:]):
        assert np.array_equal(read_rows(saved(tmp_path / "a.pt", what), "image_features"), expected)


def test_a_npy_will_do(tmp_path: Path):
    np.save(tmp_path / "a.npy", ROWS)
    assert np.array_equal(read_rows(str(tmp_path / "a.npy")), ROWS)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (ROWS[0], r"floats of shape \(3,\)"),
        (ROWS.astype(int), "numbers of type '<i8'"),
        (np.array([[ROWS, "x"]], object), "not of floats"),
        (np.asfortranarray(ROWS), "column order"),
        (torch.tensor(ROWS).T, "strides"),
        (torch.tensor(ROWS).to(torch.int64), "would call torch.LongStorage"),
        ({"other": ROWS}, "holds a NoneType"),
        ("text", "holds a str"),
        (torch.nn.Linear(2, 2), "would call torch.nn.modules.linear.Linear"),
    ],
)
def test_what_is_no_array_of_rows_is_told(tmp_path: Path, what: Any, said: str):
    with pytest.raises(UserError, match=rf"a\.pt: not a file of \(n, d\) floats that torch.save or numpy.save wrote.*{said}"):
        read_rows(saved(tmp_path / "a.pt", what), "image_features")


class Harm:
    """What a hostile file holds: reading it as a pickle runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("form", ["torch", "old torch", "npy", "pickle"])
def test_a_pickle_that_would_run_code_does_not(tmp_path: Path, form: str):
    mark, path = tmp_path / "harmed", tmp_path / "a.pt"
    if form == "npy":
        with open(path, "wb") as file:
            np.save(file, np.array([[Harm(mark)]], object))
    elif form == "pickle":
        path.write_bytes(pickle.dumps(Harm(mark)))
    else:
        torch.save({"image_features": Harm(mark)}, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(UserError, match=r"a\.pt: not a file of"):
        read_rows(str(path), "image_features")
    assert not mark.exists()


def with_pickle(tmp_path: Path, code: bytes, compression: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", compression) as archive:
        archive.writestr("a/data.pkl", code)
    return str(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "code",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # remembers something as the 2147483647th thing
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # 2 ** 63 bytes follow, it says
        b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",  # lists in lists
        b"",
        b".",
        b"\x80\x02cnumpy\nndarray\nN}X\x04\x00\x00\x00readNs\x86b.",  # changes the class that stands for arrays
        b"\x80\x02c__builtin__\neval\n(X\x03\x00\x00\x001+1tR.",
    ],
)
def test_a_pickle_made_to_do_harm_does_none(tmp_path: Path, code: bytes):
    with pytest.raises(UserError, match=r"a\.pt: not a file of"):
        read_rows(with_pickle(tmp_path, code))


def test_a_packed_file_is_refused_before_it_is_unpacked(tmp_path: Path):
    with pytest.raises(UserError, match=r"data\.pkl is compressed"):
        read_rows(with_pickle(tmp_path, b"N" * 1_000_000 + b".", zipfile.ZIP_DEFLATED))


def whole() -> bytes:
    made = io.BytesIO()
    torch.save({"image_features": torch.tensor(ROWS)}, made)
    return made.getvalue()


WHOLE = whole()


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255), st.booleans())
def test_a_file_cut_short_or_with_a_changed_byte_is_read_right_or_told(at: int, flip: int, cut: bool):
    damaged = WHOLE[:at] if cut else WHOLE[:at] + bytes([WHOLE[at] ^ flip]) + WHOLE[at + 1 :]
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"damaged-{os.getpid()}.pt"
    path.write_bytes(damaged)
    try:
        assert np.array_equal(read_rows(str(path), "image_features"), ROWS)
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
    finally:
        path.unlink()


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.pt: not a file of .*No such file"):
        read_rows(str(tmp_path / "none.pt"))
