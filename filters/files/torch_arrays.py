"""Arrays of numbers in the files that torch.save writes, and in .npy files, read without torch and without running their pickles.

A pickle is a program. Here it may do no more than describe an array or a tensor: whatever else it names is refused, and what it
describes is made here, after its size was compared with the bytes that are there. Format: torch.save's zip (torch >= 1.6), whose
members are stored, not packed: NAME/data.pkl, and NAME/data/KEY for the bytes of each tensor.
"""

import functools
import math
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any, ClassVar, cast

import numpy as np

from schemas.errors import UserError

_STORAGES = {"HalfStorage": "<f2", "FloatStorage": "<f4", "DoubleStorage": "<f8"}
_NPY = b"\x93NUMPY"  # how a .npy begins
_DTYPES = ("<f2", "<f4", "<f8")


def read_rows(path: str, key: str | None = None) -> np.ndarray:
    """The (n, d) floats of a .npy, or of a torch file that holds an array, a tensor, or a dictionary with one at `key`.

    Raises UserError naming the file where it is damaged, holds something else, or would run code.
    """
    try:
        with open(path, "rb") as file:
            is_npy = file.read(len(_NPY)) == _NPY
            file.seek(0)
            found = np.load(file, allow_pickle=False) if is_npy else _read_torch(file)
        if isinstance(found, dict):
            found = found.get(key)
        rows = found.read() if isinstance(found, _Tensor | _Array) else found
        if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind != "f" or not rows.size:
            raise ValueError(f"holds {_said(rows)}")
    except Exception as error:  # a damaged pickle raises whatever its ruins lead to
        of = f", or a dictionary with them at {key!r}" if key else ""
        raise UserError(f"{path}: not a file of (n, d) floats that torch.save or numpy.save wrote{of}: {error}") from error
    return rows


def _said(found: object) -> str:
    return f"floats of shape {found.shape}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"


@dataclass(frozen=True)
class _Storage:
    """The bytes of a tensor."""

    data: bytes
    dtype: str


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self) -> np.ndarray:
        """The tensor. Raises ValueError where it is not in row order, or has more numbers than there are."""
        rowwise = tuple(math.prod(self.shape[i + 1 :]) for i in range(len(self.shape)))
        if self.strides != rowwise or self.offset < 0:
            raise ValueError(f"a tensor with strides {self.strides}; save a contiguous one")
        return _floats(self.storage.data, self.storage.dtype, self.shape, self.offset)


class _Array:
    """What stands for a NumPy array while a pickle is read."""

    def __init__(self, *_: object) -> None:
        self._state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = state

    def read(self) -> np.ndarray:
        """The array. Raises ValueError where it is not in row order, or its bytes are not those of its shape."""
        _, shape, dtype, fortran, data = self._state
        if fortran or not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
            raise ValueError("an array in column order, or not of floats")
        return _floats(data, dtype.text(), shape, 0)


class _Dtype:
    """What stands for a NumPy dtype while a pickle is read."""

    def __init__(self, code: str = "", *_: object) -> None:
        self._code = code
        self._order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = state[1]

    def text(self) -> str:
        return f"{self._order}{self._code}"


class _Reader(pickle._Unpickler):  # the one in Python: that in C takes memory for as many entries as the pickle says it has
    """Reads a pickle that may name arrays, tensors and dictionaries only."""

    stack: list[Any]  # the base class's

    def __init__(self, file: IO[bytes], storage: Callable[[str, str], _Storage]) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """What stands for one of the known names. Raises UnpicklingError for every other."""
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (known := _NAMES.get((module.replace("numpy._core", "numpy.core"), name))) is None:
            raise pickle.UnpicklingError(f"its pickle would call {module}.{name}")
        return known

    def load_build(self) -> None:
        """Hand a state to an array or its dtype. Raises UnpicklingError for all else: a class of ours could be changed by it."""
        if not isinstance(self.stack[-2], _Array | _Dtype):
            raise pickle.UnpicklingError("its pickle would change an object that is no array")
        cast(Any, super()).load_build()

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}

    def persistent_load(self, pid: Any) -> _Storage:
        """The bytes of a tensor, which torch keeps in a member of their own."""
        kind, dtype, key, _, _ = pid
        if kind != "storage" or dtype not in _DTYPES:
            raise pickle.UnpicklingError(f"its pickle refers to a {kind!r}")
        return self._storage(str(key), dtype)


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _encoded(text: str, encoding: str) -> bytes:
    """As protocol 2, torch's own, writes the bytes of an array."""
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding}")
    return text.encode("latin1")


# Instances of these are all that a pickle can make: none of them does anything before it is asked for its numbers.
_NAMES: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encoded,
    ("collections", "OrderedDict"): dict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
}


def _read_torch(file: IO[bytes]) -> Any:
    """What a torch file holds: an _Array, a _Tensor, or a dictionary of them."""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("a .zip without torch's data.pkl")
        root = names[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(_stored(archive, f"{root}byteorder")) != b"little":
            raise ValueError("written on a big-endian machine")

        @functools.cache
        def storage(key: str, dtype: str) -> _Storage:
            return _Storage(archive.read(_stored(archive, f"{root}data/{key}")), dtype)

        with archive.open(_stored(archive, names[0])) as pickled:
            return _Reader(pickled, storage).load()


def _stored(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """A member that is not packed, and so no larger than the file. Raises ValueError for others."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, which torch.save does not do")
    return info


def _floats(data: bytes | bytearray, dtype: str, shape: Iterable[int], offset: int) -> np.ndarray:
    """Numbers of that shape from the offset, in numbers, on. Raises ValueError where there are not as many."""
    if dtype not in _DTYPES:
        raise ValueError(f"numbers of type {dtype!r}; float16, float32 and float64 are read")
    sizes = tuple(shape)
    if any(not isinstance(size, int) or size < 0 for size in sizes):
        raise ValueError(f"shape {sizes}")
    return np.frombuffer(data, dtype, math.prod(sizes), offset * np.dtype(dtype).itemsize).reshape(sizes)
