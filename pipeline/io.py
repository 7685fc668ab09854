"""Paths: everything that opens, lists, writes or renames a file, local or on an fsspec URL, is here."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from fsspec.core import url_to_fs as _url_to_fs

from pipeline.object_store import is_s3, persevere
from schemas.errors import UserError

_TEMPORARY = "_tmp."
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PASSING = (errno.EBUSY, errno.EREMOTEIO, errno.ETIMEDOUT)  # what s3fs makes of HTTP 500 and 503


def url_to_fs(path: str) -> tuple[Any, str]:
    """The file system of a path or URL, and the path's name there. Raises UserError for a URL that nothing installed can open."""
    if "\0" in path:
        raise UserError(f"{path}: has a NUL character, which no path can have; correct it")
    if is_s3(path):
        persevere()
    try:
        # Executors write what the driver lists: a listing from a cache would miss it.
        fs, name = _url_to_fs(path, use_listings_cache=False)
    except ImportError as error:  # fsspec says which package opens such URLs
        raise UserError(f"{path}: {error}; or give a local path") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; give a local path or a URL such as s3://bucket/folder") from error
    except Exception as error:  # each file system raises its own for a server or an archive that it cannot open
        raise UserError(f"{path}: cannot be opened ({error or type(error).__name__})") from error
    return fs, name


@contextmanager
def writing(path: str) -> Iterator[None]:
    """What a file system says to opening, making or renaming `path` becomes a UserError."""
    try:
        yield
    except NotImplementedError as error:
        raise UserError(f"{path}: this kind of URL cannot be written to; give a local path or an object store") from error
    except OSError as error:
        reason = error.strerror or error
        is_passing = error.errno in _PASSING and not is_local(path)
        todo = "when the store is well, run the same command again" if is_passing else "give a place that can be written to"
        raise UserError(f"{path}: cannot be written ({reason}); {todo}") from error


@contextmanager
def _having_room(path: str) -> Iterator[None]:
    """A full disk becomes a UserError; the error itself would not name the file. Other errors of the block are its own."""
    try:
        yield
    except OSError as error:
        require_room(path, error)
        raise


@contextmanager
def _closed_if_it_fails(file: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            file.close()
        raise


def require_room(path: str, error: Exception) -> None:
    """Raises UserError where `error` says that the disk of `path` is full: that is no fault of any input."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make room, then run the same command again") from error


def join(folder: str, *names: str) -> str:
    """`folder/name/…`, for local paths and URLs alike."""
    return "/".join([folder.rstrip("/") or "/", *(name.strip("/") for name in names)])


def stem(path: str) -> str:
    """The file name without folders and without its last suffix: a/00000.tar → 00000."""
    return path.rstrip("/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    fs, name = url_to_fs(path)
    return bool(fs.exists(name))


def make_folder(path: str) -> None:
    """Make a folder and its parents; nothing happens where it stands already."""
    fs, name = url_to_fs(path)
    with writing(path):
        if path.startswith(("http://", "https://")):
            raise NotImplementedError  # fsspec's own does nothing there, and says nothing
        fs.makedirs(name, exist_ok=True)


def open_read(path: str) -> IO[bytes]:
    """Open for reading, seekable. Raises UserError naming a path that is not there or not a file."""
    fs, name = url_to_fs(path)
    try:
        opened: IO[bytes] = fs.open(name, "rb")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder; a file is expected here") from error
    return opened


def read_bytes(path: str) -> bytes:
    """The whole file."""
    with open_read(path) as file:
        return file.read()


@contextmanager
def atomic_write(path: str) -> Iterator[IO[bytes]]:
    """A file that appears under its name only when the block ended well; a block that raises leaves nothing."""
    path = _place_of(path)
    temporary = temporary_name(path)
    fs, name = url_to_fs(temporary)
    try:
        with writing(path):
            fs.makedirs(fs._parent(name), exist_ok=True)
            file = fs.open(name, "wb")
        with _having_room(path), _closed_if_it_fails(file):
            yield file
        with writing(path), _having_room(path):
            file.close()  # an object store is written to only now
            move(temporary, path)
    except BaseException:
        with suppress(OSError):  # a store that is out of order: what went wrong first is what to tell
            remove(temporary)
        raise


def require_writable(path: str) -> None:
    """Raises UserError where `atomic_write` could not put a file of that name. For asking before long work; leaves no file."""
    place = _place_of(path)
    temporary = temporary_name(place)
    fs, name = url_to_fs(temporary)
    with writing(path):
        fs.makedirs(fs._parent(name), exist_ok=True)
        fs.open(name, "wb").close()
    remove(temporary)


def _place_of(path: str) -> str:
    """Where a file of that name is to be put: what a link points to stays where it is. Raises UserError for what is no file.

    A rename would put a file in the place of /dev/null, and one in the place of a link.
    """
    if not is_local(path):
        return path
    name = os.path.realpath(url_to_fs(path)[1])
    if os.path.exists(name) and not os.path.isfile(name):
        kind = "a folder" if os.path.isdir(name) else "a device or pipe"
        raise UserError(f"{path}: is {kind}; give the name of a file to write")
    return name


def open_write(path: str) -> IO[bytes]:
    """Open for writing, its folder being there. Raises UserError where that cannot be."""
    fs, name = url_to_fs(path)
    with writing(path):
        opened: IO[bytes] = fs.open(name, "wb")
    return opened


def temporary_name(path: str) -> str:
    """A name beside `path` that no reader takes for data: leading underscore, random end."""
    folder, _, name = path.rpartition("/")
    hidden = f"{_TEMPORARY}{name}.{secrets.token_hex(4)}"
    return f"{folder}/{hidden}" if folder else hidden


def sweep(folder: str, *, only: Callable[[str], bool] = bool) -> None:
    """Remove the temporary files and folders that a killed run left in `folder`, if there is one.

    `only` may choose by the name that the file was to get.
    """
    fs, name = url_to_fs(folder)
    if not fs.isdir(name):
        return
    for path in fs.ls(name, detail=False):
        found = path.rstrip("/").rsplit("/", 1)[-1]
        if found.startswith(_TEMPORARY) and only(found.removeprefix(_TEMPORARY).rpartition(".")[0]):
            with suppress(OSError):  # whoever wrote it may be alive, and remove it or write beside it just now
                fs.rm(path, recursive=True)


def sizes(folder: str) -> dict[str, int]:
    """Name and size in bytes of the visible files directly in `folder`."""
    fs, name = url_to_fs(folder)
    files = [entry for entry in fs.ls(name, detail=True) if entry["type"] == "file" and _is_data(entry["name"])]
    return {entry["name"].rsplit("/", 1)[-1]: int(entry["size"] or 0) for entry in files}


def visible_names(folder: str) -> list[str]:
    """Of what is directly in a folder the names that do not begin with _ or a dot, sorted; none where there is no folder."""
    fs, name = url_to_fs(folder)
    paths = fs.ls(name, detail=False) if fs.isdir(name) else []
    return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in paths if _is_data(path))


def is_inside(path: str, folder: str) -> bool:
    """Whether a path names that folder or something below it, through links and spellings."""
    if is_local(path) and is_local(folder):
        place = os.path.realpath(url_to_fs(folder)[1])
        return os.path.commonpath([os.path.realpath(url_to_fs(path)[1]), place]) == place
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def names_below(folder: str) -> list[str]:
    """The files in a folder and all folders in it, as names relative to it, sorted; hidden ones, too."""
    fs, name = url_to_fs(folder)
    start = len(name.rstrip("/")) + 1
    return sorted(path[start:] for path in fs.find(name))


def absolute(path: str) -> str:
    """The path as every process of this machine finds it, whatever its working directory; a URL as it is."""
    return str(url_to_fs(path)[1]) if is_local(path) else path


def move(source: str, target: str) -> None:
    """Rename within one file system, replacing the target."""
    fs, name = url_to_fs(source)
    target_name = url_to_fs(target)[1]
    if is_local(target):
        os.replace(name, target_name)
    elif is_s3(target):  # what its mv does, in 3 requests for 5, and with an error where the second half fails
        fs.cp_file(name, target_name)
        fs.rm_file(name)
    else:
        fs.mv(name, target_name)


def remove(path: str) -> None:
    """Remove a file; nothing happens where there is none."""
    fs, name = url_to_fs(path)
    if fs.exists(name):
        with suppress(FileNotFoundError):  # another process has removed it meanwhile
            fs.rm_file(name)


def list_files(folder: str, suffix: str) -> list[str]:
    """Paths of the visible files directly in `folder` that end in `suffix`, sorted by name.

    Names starting with `_` or `.` are not data (temporary files, manifests). Raises UserError where the folder is not there.
    """
    fs, name = url_to_fs(folder)
    if not fs.isdir(name):
        raise UserError(f"{folder}: no such folder")
    found = [fs.unstrip_protocol(p) if not is_local(folder) else p for p in fs.ls(name, detail=False)]
    return sorted(p for p in found if p.endswith(suffix) and _is_data(p))


def _is_data(path: str) -> bool:
    return not path.rstrip("/").rsplit("/", 1)[-1].startswith(("_", "."))


def expand(patterns: tuple[str, ...], suffixes: tuple[str, ...]) -> list[str]:
    """The files that files, globs, folders and URLs name, in order, without repeats.

    A folder stands for the files in it that end in one of `suffixes`. Raises UserError naming a pattern that matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = _matches(pattern, suffixes)
        if not matches:
            raise UserError(f"{pattern}: no such file, and no folder or glob with files ending in {' or '.join(suffixes)}")
        found.update(dict.fromkeys(matches))
    return list(found)


def _matches(pattern: str, suffixes: tuple[str, ...]) -> list[str]:
    if pattern.startswith(("http://", "https://")):
        return [pattern]
    fs, name = url_to_fs(pattern)
    full = (lambda p: p) if is_local(pattern) else fs.unstrip_protocol
    if fs.isdir(name):
        return [path for suffix in suffixes for path in list_files(pattern, suffix)]
    if any(sign in pattern for sign in "*?["):
        return [full(p) for p in sorted(fs.glob(name)) if _is_data(p)]
    return [full(name)] if fs.exists(name) else []


def is_same(one: str, other: str) -> bool:
    """Whether two paths name one place, through links and spellings."""
    if is_local(one) and is_local(other):
        return os.path.realpath(url_to_fs(one)[1]) == os.path.realpath(url_to_fs(other)[1])
    return one.rstrip("/") == other.rstrip("/")


def is_local(path: str) -> bool:
    """Whether a path is on this machine's file system."""
    return "://" not in path or path.startswith(("file://", "local://"))


def arrow_filesystem(path: str) -> tuple[Any, str]:
    """The pair (filesystem, path) that pyarrow's readers and writers take."""
    fs, name = url_to_fs(path)
    return fs, name
