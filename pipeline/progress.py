"""Progress on the driver: a bar on a terminal, one plain line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import parent_process
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LINE_EVERY_S = 5.0


def progress(items: Iterable[Item], *, total: int, label: str, unit: str = "part") -> Iterator[Item]:
    """Pass items through, telling on stderr how many of `total` have come. A worker process is silent: its driver tells."""
    if parent_process() is not None:
        yield from items
        return
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=label, unit=unit)
        return
    started = spoken = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - spoken >= LINE_EVERY_S:
            spoken = now
            print(f"{label}: {done}/{total} {unit}s, {now - started:.0f} s", file=sys.stderr, flush=True)
