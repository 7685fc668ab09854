"""Parts of the pool measured alone, in one process: language id, compiling a removal list, looking rows up in it.

In: a part's name and its arguments on the command line. Out: one JSON object on standard output.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

_BATCH_ROWS = 1 << 17  # as many as a task judges at a time


def language(metadata: str, model: str) -> dict[str, Any]:
    """Distinct real alt texts per CPU second, none seen before, and all of them with their repeats."""
    import pyarrow.parquet as pq

    from pipeline.pool.language import identify

    texts = [text for text in pq.read_table(metadata, columns=["text"])["text"].to_pylist() if text.strip()]
    distinct = list(dict.fromkeys(texts))
    identify(["warm"], model)
    _, once_s = _timed(lambda: identify(distinct, model))
    return {"texts": len(distinct), "distinct_per_s": len(distinct) / once_s}


def compile_list(path: str, target: str) -> dict[str, Any]:
    """Entries per second, and the most memory that it took for itself."""
    from pipeline.removal.compile import compile_lists
    from pipeline.removal.table import Table

    with _Peak() as peak:
        _, took_s = _timed(lambda: compile_lists([path], target))
    table = Table(target)
    entries = sum(len(high) for high, _ in table._halves.values())
    return {
        "entries": entries,
        "list_mb": os.path.getsize(path) / 1e6,
        "compiled_mb": os.path.getsize(target) / 1e6,
        "cpu_s": took_s,
        "entries_per_s": entries / took_s,
        "own_mb": peak.grown_mb,
    }


def look_up(target: str, candidates: str) -> dict[str, Any]:
    """Rows per CPU second, in batches as tasks have them, and memory: of the process's own, and mapped (shared by all)."""
    import pyarrow.parquet as pq

    from pipeline.removal import Removal

    rows = pq.read_table(candidates, columns=["uid", "url"])
    uids, urls = rows["uid"].to_pylist(), rows["url"].to_pylist()
    removal = Removal(path=target)
    anonymous = _status("RssAnon")
    opened_s = _timed(lambda: removal.reasons(uids[:1], urls[:1]))[1]
    took_s = 0.0
    for start in range(0, len(uids), _BATCH_ROWS):
        batch = slice(start, start + _BATCH_ROWS)
        took_s += _timed(lambda batch=batch: removal.reasons(uids[batch], urls[batch]))[1]
    return {
        "rows": len(uids),
        "open_s": opened_s,
        "rows_per_s": len(uids) / took_s,
        "own_mb": _status("RssAnon") - anonymous,
        "mapped_mb": _status("RssFile"),
    }


def in_sets(path: str) -> dict[str, Any]:
    """What every task would hold if the list were a Python set: resident memory, and the time to read it."""
    before = _status("RssAnon")

    def read() -> set[str]:
        with Path(path).open() as file:
            return {line.strip() for line in file}

    kept, took_s = _timed(read)
    return {"entries": len(kept), "own_mb": _status("RssAnon") - before, "cpu_s": took_s}


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    answer = work()
    return answer, max(time.process_time() - started, 1e-9)


class _Peak:
    """By how much this process's own memory grows at most within the block, MB: looked at every few milliseconds."""

    def __enter__(self) -> Self:
        self.grown_mb, self._before, self._over = 0.0, _status("RssAnon"), Event()
        self._watch = Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.grown_mb = max(self.grown_mb, _status("RssAnon") - self._before)


def _status(name: str) -> float:
    """A line of /proc/self/status, MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def main(words: Sequence[str]) -> None:
    """Measure the part that the words name."""
    part = {"language": language, "compile": compile_list, "look_up": look_up, "in_sets": in_sets}[words[0]]
    print(json.dumps(part(*words[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])
