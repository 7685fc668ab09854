"""What a place that releases are pulled from must be able to do, and what can go wrong there for now or for good."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


class PassingError(Exception):
    """What may be over at the next try: a broken connection, a busy server. `after_s`: what the server asks to wait, s."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        """`message` says what happened, without the file's name."""
        super().__init__(message)
        self.after_s = after_s


class ChangedError(PassingError):
    """The file is not the one that the bytes here are of, or the server does not give its middle: it must begin anew."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A file's bytes as they come."""

    start: int  # where in the file they begin: as asked for, or 0 where the source gives no middle
    total: int | None  # bytes of the whole file, where the source tells
    validator: str  # changes with the content (RFC 9110's strong ETag, or date); "" where the source has none
    blocks: Iterator[bytes]


class Source(Protocol):
    """A folder somewhere."""

    public: str  # its address without secrets

    def open(
        self, name: str, start: int = 0, end: int | None = None, *, validator: str = "", anew: bool = False
    ) -> AbstractContextManager[Opened]:
        """The bytes [start, end) of a file; a negative start counts from the file's end.

        With a `validator` only if the file still has it; `anew`: past caches. Raises PassingError for what may pass (the
        iterator does, too), UserError for what will not.
        """
        ...

    def hang_up(self) -> None:
        """End what is under way, from another thread: it ends with PassingError."""
        ...
