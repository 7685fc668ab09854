"""A release in a folder: of this machine, or of an object store that fsspec knows (s3://, gs://, hdfs://)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline import io
from pipeline.extract.naming import public_path
from pipeline.pull.source import ChangedError, Opened, PassingError
from schemas.errors import UserError

_BLOCK_BYTES = 8 << 20  # one request of an object store each
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "updated")  # what file systems call what changes with a file


class Stored:
    """A folder that fsspec opens."""

    def __init__(self, folder: str) -> None:
        """Raises UserError for a URL that nothing installed can open."""
        self._folder, self.public = folder, public_path(folder)
        io.url_to_fs(folder)

    @contextmanager
    def open(
        self, name: str, start: int = 0, end: int | None = None, *, validator: str = "", anew: bool = False
    ) -> Iterator[Opened]:
        """See Source."""
        fs, path = io.url_to_fs(io.join(self._folder, name))
        with _failures():
            info = fs.info(path)
            if info["type"] != "file":
                raise UserError("is a folder there; a file is expected")
            total, version = int(info["size"]), str(next((info[key] for key in _VERSIONS if info.get(key)), ""))
            if start > total or (validator and validator != version):
                raise ChangedError("it has changed meanwhile")
            begin = max(0, total + start) if start < 0 else start
            file = fs.open(path, "rb", block_size=_BLOCK_BYTES, cache_type="none")
        with file:
            blocks = _blocks(file, begin, total if end is None else min(end, total))
            yield Opened(start=begin, total=total, validator=version, blocks=blocks)

    def hang_up(self) -> None:
        """Nothing: a block is read to its end."""


def _blocks(file: Any, start: int, end: int) -> Iterator[bytes]:
    with _failures():
        file.seek(start)
    while start < end:
        with _failures():
            block = file.read(min(_BLOCK_BYTES, end - start))
        if not block:
            raise PassingError(f"it ended after {start} of {end} bytes")
        start += len(block)
        yield block


@contextmanager
def _failures() -> Iterator[None]:
    """What a file system raises becomes UserError (not there, not allowed) or PassingError."""
    try:
        yield
    except (UserError, PassingError):
        raise
    except FileNotFoundError as error:
        raise UserError("no such file there; check the address") from error
    except PermissionError as error:
        raise UserError(f"may not be read ({error}); check the address and the credentials") from error
    except Exception as error:  # each file system has its own for a server that is busy or gone
        if "Credential" in type(error).__name__:
            raise UserError(f"{error}; check the credentials of the object store") from error
        raise PassingError(f"{type(error).__name__}: {error}") from error
