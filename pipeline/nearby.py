"""Large files that every task of a stage reads (compiled removal lists, a model), wherever the task runs.

In: local files of the driver's. Out: copies beside the stage's output, which every machine reaches, for as long as the stage
works; and on each machine one local copy, which all its processes share.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from pipeline import io
from schemas.errors import UserError

_FOLDER = "_needed"
_CHUNK_BYTES = 1 << 20


@contextmanager
def published(out: str, sources: Sequence[str]) -> Iterator[list[str]]:
    """For the block, copies of `sources` (any paths) under the folder `out`: their paths, to be opened with `near`."""
    folder = io.join(io.absolute(out), _FOLDER)
    try:
        yield [_publish(source, folder) for source in sources]
    finally:
        fs, name = io.url_to_fs(folder)
        if fs.exists(name):
            fs.rm(name, recursive=True)


@cache
def near(path: str) -> str:
    """A local file with the content of what `published` put at `path`. Raises UserError where its content is not what it was.

    A remote one is copied once per machine, to a folder of this user's under the system's temporary one, where the next run of
    the same finds it.
    """
    if io.is_local(path):
        return path
    name = path.rsplit("/", 1)[-1]
    folder = _own_folder()
    place = folder / name
    with open(folder / f"{name}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the machine's other processes wait, and find it
        if not place.exists():
            _copy(path, str(place))
            if not name.startswith(sha256_of(str(place))):
                place.unlink()
                raise UserError(f"{path}: its content is damaged; run the same command again")
    return str(place)


def fetched(path: str) -> str:
    """A local copy of a remote file, under its name, in a folder of this user's that its content names."""
    digest = sha256_of(path)
    folder = _own_folder() / digest
    folder.mkdir(mode=0o700, exist_ok=True)
    place = folder / path.rstrip("/").rsplit("/", 1)[-1]
    if not place.exists() or sha256_of(str(place)) != digest:
        _copy(path, str(place))
    return str(place)


def sha256_of(path: str) -> str:
    """sha256 of a file of any size, in hex."""
    with io.open_read(path) as file:
        return _digest_of(file)


def _digest_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while data := file.read(_CHUNK_BYTES):
        digest.update(data)
    return digest.hexdigest()


def _publish(source: str, folder: str) -> str:
    target = io.join(folder, f"{sha256_of(source)}-{source.rsplit('/', 1)[-1]}")
    _copy(source, target)
    return target


def _copy(source: str, target: str) -> None:
    with io.open_read(source) as file, io.atomic_write(target) as copy:
        shutil.copyfileobj(file, copy, _CHUNK_BYTES)


def _own_folder() -> Path:
    """Nobody else may write there: what lies in it is trusted."""
    folder = Path(tempfile.gettempdir()) / f"webpairs-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise UserError(f"{folder}: is not this user's alone; remove it, or set TMPDIR to another folder")
    return folder
