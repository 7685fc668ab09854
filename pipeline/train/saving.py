"""torch.save into an open file such that a full disk is told as one: torch itself would complain of a position in the file."""

from typing import IO, Any

import torch


def save(value: Any, file: IO[bytes]) -> None:
    """What torch.save writes. Raises what `file` raises."""
    written = _Written(file)
    try:
        torch.save(value, written)  # type: ignore[arg-type] # all that it calls is there
    except RuntimeError as error:
        if written.error is not None:
            raise written.error from error
        raise


class _Written:
    """A file to write to that remembers what went wrong."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self._file.flush()


__all__ = ["save"]
