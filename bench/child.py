"""A side of a benchmark: a process that does its work once per request and answers with what it cost.

`Side` is the end that asks, `serve` the end that works. Standard library only: peers import this in environments of their own.
"""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


class Side:
    """A started process; `first` is what it answered when its imports were done."""

    def __init__(
        self, name: str, command: Sequence[str], *, folder: Path, cpu: int | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Start `command` in `folder`, on the core `cpu` only where that is given, with `env` besides this environment."""
        self.name = name
        self._process = subprocess.Popen(
            [*command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **(env or {})},
            text=True,
        )
        if cpu is not None:
            os.sched_setaffinity(self._process.pid, {cpu})  # long before its imports end
        self.first = self._answer()

    def run(self) -> Answer:
        """Have the work done once. Keys: those of the work's own answer, and cpu_s, wall_s, process_cpu_s, peak_rss_mb."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: ended with status {self._process.wait()} instead of an answer; see above")
        answer: Answer = json.loads(line)
        return answer


def serve(work: Callable[[], Answer]) -> None:
    """Answer requests on standard input, one line each, until it is closed. What `work` prints goes to standard error.

    CPU seconds are user + system of all threads of this process.
    """
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _say(channel, {"process_cpu_s": time.process_time()})
    for _ in sys.stdin:
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        answer = work()
        cost = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "process_cpu_s": time.process_time()}
        _say(channel, {**answer, **cost, "peak_rss_mb": peak_rss_mb()})


def peak_rss_mb() -> float:
    """The most memory this process held since it began, 10^6 bytes (VmHWM: unlike ru_maxrss not inherited from its parent)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def _say(channel: Any, answer: Answer) -> None:
    channel.write(json.dumps(answer) + "\n")
    channel.flush()
