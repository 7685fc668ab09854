"""Attempts at a part, and how one of them comes to stand: all its files and its report, or none, whatever is killed when.

An attempt writes its files under temporary names that no other attempt uses. When all are complete it is concluded:

  settle    write `_parts/NAME.chosen` (temporary → final names, and the report) · rename the files · remove files that the
            report before this one names and this one does not · write `_parts/NAME.json` · remove NAME.chosen

Only one process settles a folder's parts, or one per part: the worker that did the part, its driver having waited for any
worker before it to end; on Spark the driver alone. Two attempts at one part may run at once there (speculation, an executor
that is thought lost and still runs, a task that is tried again), so a task only hands in: it puts a record of its complete
files into an inbox that this run of the driver made, and the driver settles the first record of each part and discards the
others. No two attempts' renames can mingle, then, without asking the file system for exclusive creation, which not every object
store has.

A process that is killed leaves one of these, and `tidy`, which a run begins and ends with, or the next attempt mends each:

  before NAME.chosen stands   temporary files that nobody refers to: swept away. What stood before stands.
  while it stands             the record is complete and so were all its temporary files: settling goes on where it stopped. A
                              temporary file that is gone has its final name already, because nothing else removes it: sweeping
                              comes after settling, always. An old report may stand meanwhile; the record goes before it.
  after it is removed         the part is done.

An attempt of a killed run that is still writing finds its inbox gone or nobody reading it: it changes nothing that is seen. What
it leaves is hidden from readers, and the next run sweeps it away.

Processes with a share of the parts each (pipeline.shares) work in one folder at the same time. A share settles and sweeps what
is of its own parts only, so none touches what another is at. Two processes on the same parts are a mistake (one share given
twice, a run of all parts beside shares, two drivers), and the second is refused (pipeline.lease). Where that cannot tell, as of a
run that was suspended until it was taken for dead: both do the parts, and the files of one part may then be one's and the
other's, each file whole. That does no harm where a part's files are the same whoever makes them; a process whose temporary files
the other sweeps away says so, and fails the part unless it stands.
"""

import json
import secrets
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline import io
from pipeline.lease import require
from pipeline.ledger import read_report, report_path, write_report
from pipeline.manifest import PARTS_FOLDER, PartReport, part_from_json, to_json
from schemas.errors import UserError

_CHOSEN = ".chosen"
_SETTLED_AT_ONCE = 16  # threads: on an object store a rename is a copy that the store makes, and takes seconds


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A part's report and its complete files: `temporaries` has the temporary name of each final name, in the stage's folder."""

    report: PartReport
    temporaries: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The part's name."""
        return self.report.name

    def is_whole(self, out: str) -> bool:
        """Whether all its files are there: a run that began meanwhile would have swept them away."""
        return all(io.exists(io.join(out, temporary)) for temporary in self.temporaries.values())

    def discard(self, out: str) -> None:
        """Remove its files."""
        for temporary in self.temporaries.values():
            io.remove(io.join(out, temporary))


def settle(out: str, attempt: Attempt) -> PartReport:
    """Give a whole attempt's files their names, in the place of older ones, and write its report. Returns the report."""
    _write(_chosen(out, attempt.name), attempt)
    return _go_on(out, attempt)


def take_up(out: str, name: str) -> PartReport | None:
    """Settle what a killed process was settling of part `name`; None where there is nothing, or nothing that can be settled."""
    path = _chosen(out, name)
    try:
        attempt = _read(path)
        return _go_on(out, attempt) if attempt else None
    except (ValueError, KeyError, TypeError, _FileGoneError):
        # A power cut, or someone removed files: some of the part may be of one attempt and some of another. It is done again.
        io.remove(report_path(out, name))
        io.remove(path)
        return None


def tidy(out: str) -> None:
    """Settle what a killed process was settling, then remove every temporary file. Only while no attempt is meant to run."""
    for name in unsettled(out):
        take_up(out, name)
    for folder in (out, io.join(out, PARTS_FOLDER)):
        io.sweep(folder)


def unsettled(out: str) -> set[str]:
    """The names of the parts that a process has begun to settle and not settled, be it at it or dead."""
    ledger = io.join(out, PARTS_FOLDER)
    return {io.stem(path) for path in io.list_files(ledger, _CHOSEN)} if io.exists(ledger) else set()


def sweep_parts(out: str, names: Collection[str], *, of: Collection[str]) -> None:
    """Remove the temporary files of some parts of all, `of`, while other processes are at work on the others."""

    def is_theirs(file: str) -> bool:
        """Whether it is of the part with the longest name that the file's begins with: part `a` may have the file a.b.txt."""
        words = file.split(".")
        starts = (".".join(words[:length]) for length in range(len(words), 0, -1))
        return next((start for start in starts if start in of), None) in names

    for folder in (out, io.join(out, PARTS_FOLDER)):
        io.sweep(folder, only=is_theirs)


def hand_in(inbox: str, attempt: Attempt) -> str:
    """Put the record of a whole attempt into a driver's inbox; its path."""
    path = io.join(inbox, f"{secrets.token_hex(4)}.{attempt.name}.json")
    _write(path, attempt)
    return path


class Inbox:
    """A driver's: where attempts at the parts of `out` are handed in, each part's first to be settled."""

    def __init__(self, out: str) -> None:
        self._out = out
        self.path = io.temporary_name(io.join(out, PARTS_FOLDER, "inbox"))  # `tidy` removes it
        self.settled: dict[str, PartReport] = {}
        io.make_folder(self.path)

    def look(self) -> int:
        """Settle what was handed in since the last look; how many parts that is."""
        return self.take(io.list_files(self.path, ".json") if io.exists(self.path) else ())

    def take(self, records: Sequence[str]) -> int:
        """Settle these records' attempts, if they are the first of their parts and whole; how many parts that is.

        Raises UserError where another run has taken the folder over.
        """
        if records:
            require(self._out)
        first: dict[str, Attempt] = {}
        with ThreadPoolExecutor(_SETTLED_AT_ONCE) as threads:
            for attempt in filter(None, threads.map(self._receive, records)):
                if attempt.name in self.settled or attempt.name in first:
                    attempt.discard(self._out)
                else:
                    first[attempt.name] = attempt
            for report in threads.map(lambda attempt: settle(self._out, attempt), first.values()):
                self.settled[report.name] = report
        for path in records:
            io.remove(path)
        return len(first)

    def _receive(self, path: str) -> Attempt | None:
        attempt = _read(path)  # None: it was received at an earlier look
        if attempt is None or attempt.is_whole(self._out):
            return attempt
        attempt.discard(self._out)
        return None


class _FileGoneError(Exception):
    """A file stands neither under its temporary nor under its final name."""


def _go_on(out: str, attempt: Attempt) -> PartReport:
    for name, temporary in attempt.temporaries.items():
        source, target = io.join(out, temporary), io.join(out, name)
        if not _moved(source, target) and not io.exists(target):
            raise _FileGoneError(target)
    before = read_report(report_path(out, attempt.name))
    for name in sorted(set(before.files if before else ()) - set(attempt.report.files)):
        io.remove(io.join(out, name))
    write_report(out, attempt.report)
    io.remove(_chosen(out, attempt.name))
    return attempt.report


def _moved(source: str, target: str) -> bool:
    """Rename a file; False where it is gone, be it that a second process settles the same attempt and was faster."""
    if io.exists(source):
        with io.writing(target), suppress(FileNotFoundError):
            io.move(source, target)
            return True
    return False


def _chosen(out: str, name: str) -> str:
    return io.join(out, PARTS_FOLDER, name + _CHOSEN)


def _write(path: str, attempt: Attempt) -> None:
    with io.atomic_write(path) as file:
        file.write(to_json(attempt))


def _read(path: str) -> Attempt | None:
    """The attempt in a record; None where the record is gone."""
    try:
        record = io.read_bytes(path)
    except UserError:
        return None
    value: dict[str, Any] = json.loads(record)
    return Attempt(report=part_from_json(json.dumps(value["report"]).encode()), temporaries=value["temporaries"])
