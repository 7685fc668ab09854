"""The parts of a stage's folder that are done: a report per part under `_parts/`, written when all else of it stands."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from pipeline import io
from pipeline.manifest import PARTS_FOLDER, PartReport, part_from_json, to_json
from pipeline.progress import progress

Answer = TypeVar("Answer")
_LOOK_EVERY_S = 0.5


def write_report(folder: str, report: PartReport) -> None:
    """Mark a part as done: the last thing that is written for it."""
    with io.atomic_write(io.join(folder, PARTS_FOLDER, f"{report.name}.json")) as file:
        file.write(to_json(report))


def reports_of(folder: str, names: Sequence[str]) -> dict[str, PartReport]:
    """The reports, by name, of the parts that stand whole in the folder; a damaged report, as after a power cut, is none."""
    ledger = io.join(folder, PARTS_FOLDER)
    if not io.exists(ledger):
        return {}
    recorded = {io.stem(path): path for path in io.list_files(ledger, ".json")}
    reports = {name: _read(recorded[name]) for name in names if name in recorded}
    standing = set(io.sizes(folder))
    return {name: report for name, report in reports.items() if report and standing.issuperset(report.files)}


def watched(work: Callable[[], Answer], folder: str, *, total: int, label: str) -> Answer:
    """What `work` returns, which does parts of `folder` elsewhere; while it runs, tell how many are done."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        for _ in progress(_appearing(future, io.join(folder, PARTS_FOLDER)), total=total, label=label):
            pass
        return future.result()


def _appearing(future: "Future[Any]", ledger: str) -> Iterator[None]:
    seen = _entries(ledger)
    while not future.done():
        time.sleep(_LOOK_EVERY_S)
        now = _entries(ledger)
        yield from [None] * max(0, now - seen)
        seen = max(seen, now)


def _entries(ledger: str) -> int:
    return len(io.list_files(ledger, ".json")) if io.exists(ledger) else 0


def _read(path: str) -> PartReport | None:
    try:
        return part_from_json(io.read_bytes(path))
    except (ValueError, KeyError, TypeError):
        return None
