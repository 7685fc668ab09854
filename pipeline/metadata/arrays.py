"""Arrays of an .npz, (n, d) each, read some rows at a time: an array may be larger than memory."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import IO

import numpy as np

from pipeline import io
from schemas.errors import UserError

_MOST_DIMENSIONS = 1 << 16
_MOST_HEADER_BYTES = 10_000  # as in NumPy, which reads a header of any length before it says so
_FLOATS = (2, 4, 8)  # bytes
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, KeyError, NotImplementedError, RuntimeError)


def array_names(path: str) -> tuple[str, ...]:
    """The names of an .npz's arrays; nothing where there is no such file. Raises UserError where it is damaged."""
    if not io.exists(path):
        return ()
    try:
        with io.open_read(path) as source, zipfile.ZipFile(source) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except _DAMAGED as error:
        raise UserError(f"{path}: damaged .npz ({error}); download or make it again") from error


class RowsOfArray:
    """The rows of one array, in order, read once."""

    def __init__(self, path: str, name: str, member: IO[bytes]) -> None:
        self.path = path
        self.name = name
        self._member = member
        shape, self._dtype = _header(member)
        if len(shape) != 2 or not 1 <= shape[1] <= _MOST_DIMENSIONS or not _is_float(self._dtype):
            raise UserError(f"{path}: array {name} has shape {shape} and dtype {self._dtype}; embeddings are (n, d) floats")
        self.rows, self.dimensions = shape
        self._read = 0

    @property
    def row_bytes(self) -> int:
        """How much memory one row takes."""
        return int(self.dimensions * self._dtype.itemsize)

    def take(self, count: int) -> np.ndarray:
        """The next (count, d) rows. Raises UserError where the array has fewer, or the file ends before."""
        wanted = count * self.dimensions * self._dtype.itemsize
        try:
            data = self._member.read(wanted)
        except _DAMAGED as error:
            raise UserError(f"{self.path}: array {self.name} is damaged ({error}); download or make it again") from error
        self._read += count
        if len(data) < wanted or self._read > self.rows:
            raise UserError(f"{self.path}: array {self.name} has fewer rows than the parquet of that name, or is cut short")
        found = np.frombuffer(data, self._dtype).reshape(count, self.dimensions)
        return found.astype(self._dtype.newbyteorder("="), copy=False)  # Arrow knows no other order

    def require_end(self) -> None:
        """Raises UserError where rows are left: array and parquet are not of one thing."""
        if self._read != self.rows:
            raise UserError(f"{self.path}: array {self.name} has {self.rows} rows, the parquet of that name {self._read}")


@contextmanager
def open_arrays(path: str, names: tuple[str, ...]) -> Iterator[list[RowsOfArray]]:
    """The arrays of these names, each to be read once. Raises UserError where the file or one of them is not there."""
    with ExitStack() as stack:
        if not names:
            yield []
            return
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(io.open_read(path))))
            missing = [name for name in names if f"{name}.npy" not in archive.namelist()]
            members = [] if missing else [stack.enter_context(archive.open(f"{name}.npy")) for name in names]
            opened = [RowsOfArray(path, name, member) for name, member in zip(names, members, strict=False)]
        except _DAMAGED as error:
            raise UserError(f"{path}: damaged .npz ({error}); download or make it again") from error
        if missing:
            raise UserError(f"{path}: no array {', '.join(missing)}")
        yield opened


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of a .npy member, whose pickled kinds are refused. Raises ValueError."""
    version = np.lib.format.read_magic(member)
    known = {(1, 0): (2, np.lib.format.read_array_header_1_0), (2, 0): (4, np.lib.format.read_array_header_2_0)}
    if version not in known:
        raise ValueError(f".npy of version {version}")
    digits, read = known[version]
    length = member.read(digits)
    if (header_bytes := int.from_bytes(length, "little")) > _MOST_HEADER_BYTES:
        raise ValueError(f"a .npy header of {header_bytes} bytes")
    shape, fortran, dtype = read(BytesIO(length + member.read(header_bytes)))
    if fortran or dtype.hasobject:
        raise ValueError("an array in column order, or of Python objects")
    return shape, dtype


def _is_float(dtype: np.dtype) -> bool:
    return dtype.kind == "f" and dtype.itemsize in _FLOATS
