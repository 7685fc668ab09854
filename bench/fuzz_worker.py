"""A process that does something with one file after the other, under limits; where it hangs or dies another takes its place."""

import json
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Rows = list[dict[str, Any]]


class Answer(NamedTuple):
    """What came of a file: rows, or the traceback of an exception, or how the process ended; and what it took."""

    rows: Rows
    error: str
    took_s: float
    rss_mb: float


class Worker:
    """Forked from this process, so that it starts at once; `peak_mb` and `slowest_s` are over all files so far."""

    def __init__(self, do: Callable[[Path], Rows], file: Path, *, limit_s: float) -> None:
        """`do` is called with the path `file` each time."""
        self.peak_mb = 0.0
        self.slowest_s = 0.0
        self._do = do
        self._file = file
        self._limit_s = limit_s
        self._start()

    def answer(self, content: bytes) -> Answer:
        """What `do` makes of a file of that content."""
        self._file.write_bytes(content)
        started = time.monotonic()
        os.write(self._ask, b"x")
        said = self._line()
        took_s = time.monotonic() - started
        self.slowest_s = max(self.slowest_s, took_s)
        if said is None:
            return Answer([], f"hangs or dies: no answer after {took_s:.0f} s, {self.replace()}", took_s, self.peak_mb)
        rows, error, rss_mb = json.loads(said)
        self.peak_mb = max(self.peak_mb, rss_mb)
        return Answer(rows, error, took_s, rss_mb)

    def replace(self) -> str:
        """Begin with a fresh process; how the old one ended."""
        ended = self.end()
        self._start()
        return ended

    def end(self) -> str:
        """End the process; how it ended, by itself or now."""
        os.close(self._ask)
        os.close(self._said)
        os.kill(self._pid, signal.SIGKILL)  # where it has ended already, that status stands
        _, status = os.waitpid(self._pid, 0)
        return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _start(self) -> None:
        asked, self._ask = os.pipe()
        self._said, saying = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._ask)
            _work(self._do, self._file, asked, saying)
        os.close(asked)
        os.close(saying)

    def _line(self) -> bytes | None:
        """What it says up to the end of the line; None where it does not within the time."""
        said, ends = b"", time.monotonic() + self._limit_s
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([self._said], [], [], max(0.0, ends - time.monotonic()))
            chunk = os.read(self._said, 1 << 20) if ready else b""
            if not chunk:
                return None
            said += chunk
        return said


def _work(do: Callable[[Path], Rows], file: Path, asked: int, saying: int) -> None:
    while os.read(asked, 1):
        rows, error = [], ""
        try:
            rows = do(file)
        except BaseException:  # noqa: BLE001 - whatever it is, it is what a fuzz run looks for
            error = traceback.format_exc()
        rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        said = json.dumps([rows, error, rss_mb]).encode() + b"\n"
        while said:
            said = said[os.write(saying, said) :]
    os._exit(0)
