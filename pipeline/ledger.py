"""The parts of a stage's folder that are done: a report per part under `_parts/`, written when all else of it stands."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from pipeline import io
from pipeline.lease import require
from pipeline.manifest import PARTS_FOLDER, PartReport, part_from_json, to_json
from pipeline.progress import progress
from schemas.errors import UserError

Answer = TypeVar("Answer")
_LOOK_EVERY_S = 0.5


def report_path(folder: str, name: str) -> str:
    """Where the report of the part `name` stands."""
    return io.join(folder, PARTS_FOLDER, f"{name}.json")


def write_report(folder: str, report: PartReport) -> None:
    """Mark a part as done: the last thing that is written for it. Raises UserError where another run took the folder over."""
    require(folder)
    with io.atomic_write(report_path(folder, report.name)) as file:
        file.write(to_json(report))


def read_report(path: str) -> PartReport | None:
    """The report in a file; None where there is none or it is damaged, as after a power cut."""
    try:
        return part_from_json(io.read_bytes(path))
    except (UserError, ValueError, KeyError, TypeError):
        return None


def recorded(folder: str) -> set[str]:
    """The names of the parts of which a report is there, as one listing says; none of them is read."""
    ledger = io.join(folder, PARTS_FOLDER)
    return {io.stem(path) for path in io.list_files(ledger, ".json")} if io.exists(ledger) else set()


def reports_of(folder: str, names: Sequence[str]) -> dict[str, PartReport]:
    """The reports, by name, of the parts that stand whole in the folder; a damaged report, as after a power cut, is none."""
    there = recorded(folder)
    if not there:
        return {}
    reports = {name: read_report(report_path(folder, name)) for name in names if name in there}
    standing = set(io.sizes(folder))
    return {name: report for name, report in reports.items() if report and standing.issuperset(report.files)}


def watched(work: Callable[[], Answer], folder: str, *, total: int, label: str, cancel: Callable[[], None]) -> Answer:
    """What `work` returns, which does parts of `folder` elsewhere; while it runs, tell how many are done.

    Raises UserError where another run has taken the folder over; `cancel` ends the work before that.
    """
    ledger = io.join(folder, PARTS_FOLDER)
    seen = _entries(ledger)

    def look() -> int:
        nonlocal seen
        try:
            require(folder)
        except UserError:
            cancel()
            raise
        before, seen = seen, max(seen, _entries(ledger))
        return seen - before

    return meanwhile(work, look, total=total, label=label)


def meanwhile(work: Callable[[], Answer], look: Callable[[], int], *, total: int, label: str) -> Answer:
    """What `work` returns or raises, in a thread; while it runs, and once after it, `look` says how many more parts are done."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        for _ in progress(_appearing(future, look), total=total, label=label):
            pass
        return future.result()


def _appearing(future: "Future[Any]", look: Callable[[], int]) -> Iterator[None]:
    while not wait([future], _LOOK_EVERY_S).done:
        yield from [None] * look()
    yield from [None] * look()


def _entries(ledger: str) -> int:
    return len(io.list_files(ledger, ".json")) if io.exists(ledger) else 0
