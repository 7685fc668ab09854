"""Small files that one process may make, replace or remove and no other at the same time: on disks, S3, and stores with less.

On a disk a file is made by O_EXCL and changed in place under flock. S3 refuses a PUT whose condition does not hold, If-None-Match
or If-Match (Amazon since 2024, MinIO, moto). Where a store takes no conditions, or takes no notice of them, what was written is
read back a while later: of several writers the last one stands.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pipeline import io

_RECORD_BYTES = 1024  # a record has this length on a disk: replaced by one write, it is never seen half long
_SETTLED_AFTER_S = 1.0  # by then whoever wrote at the same time has written


def read(path: str) -> bytes | None:
    """What the file holds, spaces at its end left out; None where there is none."""
    fs, name = io.url_to_fs(path)
    if io.is_local(path):
        with _locked(name, fcntl.LOCK_SH) as file:
            return None if file is None else _content(file)
    try:
        return bytes(fs.cat_file(name)).rstrip()
    except FileNotFoundError:
        return None


def names_in(folder: str) -> list[str]:
    """The names of the files in a folder; none where it is not there."""
    fs, name = io.url_to_fs(folder)
    try:
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in fs.ls(name, detail=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def create(path: str, record: bytes) -> bool:
    """Make the file; False where it is there already, or another process that made it at the same time was faster."""
    fs, name = io.url_to_fs(path)
    if not io.is_local(path):
        return _create_in_store(fs, name, record)
    for _ in range(3):  # a process that removed its own may take the empty folder along
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with suppress(FileNotFoundError):
            return _create_on_disk(name, record)
    return _create_on_disk(name, record)


def replace(path: str, record: bytes, *, seen: bytes) -> bool:
    """Write the file anew where it still holds `seen`; False where it does not."""
    fs, name = io.url_to_fs(path)
    if not io.is_local(path):
        return _replace_in_store(fs, name, record, seen)
    with _locked(name, fcntl.LOCK_EX) as file:
        if file is None or _content(file) != seen:
            return False
        os.pwrite(file, record.ljust(_RECORD_BYTES), 0)
        return True


def take_over(path: str, record: bytes, *, seen: bytes) -> bool:
    """`replace` of what another process wrote, who may be replaced by a third at the same time: True in one of them only."""
    if not replace(path, record, seen=seen):
        return False
    return io.is_local(path) or _stands(path, record)


def remove(path: str, *, seen: bytes) -> None:
    """Remove the file, and its folder if it was the last one there, where it still holds `seen`."""
    if not io.is_local(path):
        if read(path) == seen:
            io.remove(path)
        return
    name = io.url_to_fs(path)[1]
    with _locked(name, fcntl.LOCK_EX) as file:
        if file is not None and _content(file) == seen:
            os.unlink(name)
    with suppress(OSError):
        os.rmdir(os.path.dirname(name))


@contextmanager
def _locked(name: str, kind: int) -> Iterator[int | None]:
    """The file, open and locked, that has this name now; None where there is none."""
    while True:
        try:
            file = os.open(name, os.O_RDONLY if kind == fcntl.LOCK_SH else os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        try:
            with suppress(OSError):  # a file system without locks: what is left of the race is microseconds
                fcntl.flock(file, kind)
            if _is_still(name, file):
                yield file
                return
        finally:
            os.close(file)


def _is_still(name: str, file: int) -> bool:
    try:
        return os.stat(name).st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def _content(file: int) -> bytes:
    return os.pread(file, 2 * _RECORD_BYTES, 0).rstrip()


def _create_on_disk(name: str, record: bytes) -> bool:
    try:
        file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(file, record.ljust(_RECORD_BYTES))
    except OSError:
        os.unlink(name)
        raise
    finally:
        os.close(file)
    return True


def _create_in_store(fs: Any, name: str, record: bytes) -> bool:
    path = fs.unstrip_protocol(name)
    try:
        fs.pipe_file(name, record, mode="create")
        fs.pipe_file(name, record, mode="create")  # is a store that takes no notice of the condition: it does it twice
    except FileExistsError:
        return read(path) == record  # an answer may have been lost, and the request sent again
    except (OSError, NotImplementedError, ValueError, TypeError):
        if fs.exists(name) and read(path) != record:
            return False
        fs.pipe_file(name, record)
    return _stands(path, record)


def _replace_in_store(fs: Any, name: str, record: bytes, seen: bytes) -> bool:
    try:
        mark = fs.info(name).get("ETag")
    except FileNotFoundError:
        return False
    path = fs.unstrip_protocol(name)
    if read(path) != seen:
        return False
    try:
        fs.pipe_file(name, record, **({"IfMatch": mark} if mark else {}))
    except OSError:
        if read(path) == seen:
            raise  # no other was faster: the store has trouble, or takes no conditions
        return read(path) == record
    return True


def _stands(path: str, record: bytes) -> bool:
    time.sleep(_SETTLED_AFTER_S)
    return read(path) == record
