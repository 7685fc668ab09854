"""What a job cost on a cluster: CPU seconds of its executors, what the store saw of it, what Spark's own log says it shuffled.

In: the running `Cluster`, the `Store`, the folder of Spark's event logs. Out: a `JobCost` for everything in a `with` block.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cluster_machines import Cluster
from bench.cluster_processes import marked
from bench.cluster_store import Store

_EVERY_S = 0.1  # what a process does between the last look at it and its end is missed
_SEARCH_EVERY = 10  # looks: to find new processes takes reading every process's environment
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class JobCost:
    """Seconds on the clock and of CPU (user + system, all processes on the workers' machines), bytes, tasks."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    bytes_in: int = 0  # read from the store
    bytes_out: int = 0  # written to it
    shuffle_bytes: int = 0
    tasks: int = 0
    speculative_tasks: int = 0


@contextmanager
def measured(cluster: Cluster, store: Store, events: Path) -> Iterator[JobCost]:
    """The cost of the block, complete after it."""
    cost, before, known = JobCost(), store.counts(), set(events.iterdir())
    machines = _Watch([worker.mark for worker in cluster.workers])
    started = time.perf_counter()
    with machines:
        yield cost
    cost.wall_s = time.perf_counter() - started
    cost.cpu_s = machines.cpu_s
    after = store.counts()
    # The store's counts are as it sees them: what goes out of it comes in here.
    cost.bytes_in = after.get("bytes_out_GET", 0) - before.get("bytes_out_GET", 0)
    cost.bytes_out = after.get("bytes_in", 0) - before.get("bytes_in", 0)
    for log in set(events.iterdir()) - known:
        _add_events(cost, log)


class _Watch:
    """Looks again and again at the processes of machines, and adds up what each used from then on."""

    def __init__(self, marks: list[str]) -> None:
        self._marks = marks
        self._used: dict[tuple[int, int], float] = {}  # (pid, start) → CPU s
        self._before: dict[tuple[int, int], float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> None:
        self._before = dict(_cpu_s(self._find()))
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def cpu_s(self) -> float:
        """CPU seconds since the start of the watch."""
        return sum(used - self._before.get(process, 0.0) for process, used in self._used.items())

    def _find(self) -> list[int]:
        return [pid for mark in self._marks for pid in marked(mark)]

    def _look_on(self) -> None:
        looks, pids = 0, self._find()
        while not self._ended.wait(_EVERY_S):
            looks += 1
            pids = self._find() if looks % _SEARCH_EVERY == 0 else pids
            self._used.update(_cpu_s(pids))
        self._used.update(_cpu_s(self._find()))


def _cpu_s(pids: list[int]) -> Iterator[tuple[tuple[int, int], float]]:
    for pid in pids:
        try:
            fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()  # from field 3 of proc(5) on
        except OSError:
            continue
        yield (pid, int(fields[19])), (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _add_events(cost: JobCost, log: Path) -> None:
    """Add what one job's event log tells of its tasks."""
    with log.open(errors="replace") as lines:
        for line in lines:
            if '"SparkListenerTaskEnd"' not in line:
                continue
            event = json.loads(line)
            cost.tasks += 1
            cost.speculative_tasks += bool(event["Task Info"]["Speculative"])
            written = (event.get("Task Metrics") or {}).get("Shuffle Write Metrics", {})
            cost.shuffle_bytes += written.get("Shuffle Bytes Written", 0)
