"""The folder that a release is pulled to: whose it is, what stands in it verified, and how it becomes a release at the end.

_pull.json   of which release, which columns     _pull.lock   held by the pull that is at work
_pulled.jsonl   a line for each file that was verified: its hash at the source and here, size and time
"""

import dataclasses
import fcntl
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline import io
from pipeline.folder_config import read_json
from pipeline.manifest import to_json
from pipeline.nearby import sha256_of
from pipeline.pull.described import Described
from pipeline.pull.partial import PREFIX
from pipeline.release.layout import DESCRIPTION, SUMS, Release, arrays_path
from pipeline.release.sums import write_sums
from schemas.errors import UserError

_STATE, _JOURNAL, _LOCK = "_pull.json", "_pulled.jsonl", "_pull.lock"


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A file that was verified here."""

    name: str
    source_sha256: str
    sha256: str  # of the file here: another where it holds some columns only
    bytes: int
    mtime_ns: int

    def untouched(self, root: Path) -> bool:
        """Whether the file has the size and the time that it had when it was verified."""
        try:
            stat = (root / self.name).stat()
        except FileNotFoundError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.bytes, self.mtime_ns)


class Copy:
    """A folder that holds, or will hold, (a part of) one release."""

    def __init__(self, root: Path, there: Described, columns: Sequence[str]) -> None:
        """Raises UserError where the folder holds something else."""
        self.root, self._there, self._columns = root, there, sorted({*columns, "uid"}) if columns else []
        self._lock = Lock()
        self._state = read_json(str(root / _STATE)) if (root / _STATE).exists() else None
        self._lines = _journal(root / _JOURNAL)
        self._refuse_others()

    def key(self, name: str) -> str:
        """What the file's bytes are to be, as 64 hex digits: its sha256, or that with the columns."""
        told = self._there.sums[name]
        return hashlib.sha256(json.dumps([told, self._columns]).encode()).hexdigest() if self._reduced(name) else told

    def has(self, name: str) -> bool:
        """Whether the file stands here as it should.

        One that has size and time as when it was verified is not read again. Raises UserError for a file of that name that
        no pull brought.
        """
        path, line = self.root / name, self._lines.get(name)
        if not path.exists():
            return False
        wanted = self._there.sums[name]
        ours = line is not None and line.source_sha256 == wanted
        if line is not None and ours and line.untouched(self.root):
            return True
        expected = line.sha256 if line is not None and ours else ("" if self._reduced(name) else wanted)
        if sha256_of(str(path)) == expected:
            self.note(name, expected)
            return True
        killed_before_it_was_noted = self._reduced(name) and self._state is not None
        if line is None and not killed_before_it_was_noted:
            raise UserError(
                f"{path}: another file of that name is here, which no pull brought; move it away, or give another DIR"
            )
        return False

    @property
    def of_another_revision(self) -> bool:
        """Whether what a pull brought here is of a release with another SHA256SUMS."""
        return self._state is not None and self._state.get("sums_sha256") != self._there.sums_sha256

    def require_same(self) -> None:
        """Raises UserError where the folder holds another revision, of which some files cannot be brought to this one."""
        if self.of_another_revision:
            raise UserError(
                f"{self.root}: holds another revision; pull without --files to bring all of it to this one, or give another DIR"
            )

    def begin(self) -> None:
        """From now on the folder is no release, until `finish`."""
        self._write_journal()  # what is added to a line that a killed run left half written would be lost with it
        now = {"name": self._there.release.name, "sums_sha256": self._there.sums_sha256, "columns": self._columns}
        for name in (SUMS, DESCRIPTION):
            (self.root / name).unlink(missing_ok=True)
        with io.atomic_write(str(self.root / _STATE)) as file:
            file.write(to_json(now))

    def note(self, name: str, sha256: str | None = None) -> None:
        """Remember that the file stands verified."""
        stat = (self.root / name).stat()
        source = self._there.sums[name]
        here = sha256 or (sha256_of(str(self.root / name)) if self._reduced(name) else source)
        line = _Line(name=name, source_sha256=source, sha256=here, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)
        with self._lock, open(self.root / _JOURNAL, "ab", buffering=0) as file:
            file.write(_text(line).encode())
            self._lines[name] = line

    def finish(self) -> int:
        """Make the folder a release of what stands in it; how many files of an earlier revision were removed for that.

        All files: release.json and SHA256SUMS are the source's own, byte for byte. Some: they say what is here.
        """
        removed = self._remove_gone()
        standing = {name: line.sha256 for name, line in self._lines.items() if self._stands(line)}
        self._remove_leftovers()
        if not self._columns and standing.keys() == self._there.sums.keys():
            for name, data in ((DESCRIPTION, self._there.description_bytes), (SUMS, self._there.sums_bytes)):
                with io.atomic_write(str(self.root / name)) as file:
                    file.write(data)
            return removed
        with io.atomic_write(str(self.root / DESCRIPTION)) as file:
            file.write(to_json(_part_of(self._there, standing, self._columns)))
        write_sums(str(self.root), standing | {DESCRIPTION: sha256_of(str(self.root / DESCRIPTION))})
        return removed

    def _reduced(self, name: str) -> bool:
        return bool(self._columns) and name in self._there.release.data

    def _stands(self, line: _Line) -> bool:
        if line.source_sha256 != self._there.sums.get(line.name) or not (self.root / line.name).exists():
            return False
        return line.untouched(self.root) or sha256_of(str(self.root / line.name)) == line.sha256

    def _remove_gone(self) -> int:
        """Remove what a pull brought of an earlier revision that this one has not; a file that was changed since stays."""
        gone = [line for line in self._lines.values() if line.name not in self._there.sums]
        removed = 0
        for line in gone:
            if line.untouched(self.root):
                (self.root / line.name).unlink()
                removed += 1
            del self._lines[line.name]
        self._write_journal()
        return removed

    def _write_journal(self) -> None:
        with io.atomic_write(str(self.root / _JOURNAL)) as file:
            file.write("".join(map(_text, self._lines.values())).encode())

    def _remove_leftovers(self) -> None:
        """Partial files of other revisions and of files that are wanted no more, and temporary ones of killed runs."""
        for folder in {self.root, *((self.root / name).parent for name in (*self._there.sums, *self._lines))}:
            for path in folder.glob(f"{PREFIX}*"):
                path.unlink(missing_ok=True)
            io.sweep(str(folder))

    def _refuse_others(self) -> None:
        release = self._there.release
        if self._state is None:
            standing = self.root / SUMS
            if standing.exists() and (self._columns or standing.read_bytes() != self._there.sums_bytes):
                raise UserError(f"{self.root}: holds a release that no pull brought; give another DIR")
            return
        if self._state.get("name") != release.name:
            raise UserError(f"{self.root}: holds the release {self._state.get('name')!r}, not {release.name!r}; give another DIR")
        held = self._state.get("columns")
        if held != self._columns:
            raise UserError(f"{self.root}: holds {_words(held)}, not {_words(self._columns)}; give another DIR")


def _text(line: _Line) -> str:
    return json.dumps(dataclasses.asdict(line)) + "\n"


def _words(columns: Any) -> str:
    return f"the columns {', '.join(map(str, columns))}" if columns else "all columns"


def _part_of(there: Described, standing: Mapping[str, str], columns: Sequence[str]) -> Release:
    """What release.json says of a copy of some files or columns."""
    whole = there.release
    data = {name: rows for name, rows in whole.data.items() if name in standing}
    taken = {"of_sums_sha256": there.sums_sha256, "columns": list(columns)}
    names = [column["name"] for column in whole.columns if not columns or column["name"] in columns]
    return dataclasses.replace(
        whole,
        parent=there.sums_sha256,
        rows=sum(data.values()),
        data=data,
        columns=tuple(column for column in whole.columns if column["name"] in names),
        # Without the first the others order nothing.
        sort_order=tuple(takewhile(lambda name: name in names, whole.sort_order)),
        arrays=whole.arrays if data and all(arrays_path(name) in standing for name in data) else {},
        subsets={name: count for name, count in whole.subsets.items() if name in standing},
        census=whole.census if data == whole.data else {},
        stages=whole.stages | {"pull": {"stage": "pull", "config": taken, "counts": {"files": len(standing)}, "versions": {}}},
    )


def _journal(path: Path) -> dict[str, _Line]:
    """The last line for each file. One that a killed run left half written says nothing."""
    found: dict[str, _Line] = {}
    if path.exists():
        for text in path.read_bytes().splitlines():
            try:
                line = _Line(**json.loads(text))
            except (ValueError, TypeError):
                continue
            found[line.name] = line
    return found


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """For the block no other pull works in the folder. Raises UserError where one does, or the folder cannot be written to."""
    with io.writing(str(root)):
        root.mkdir(parents=True, exist_ok=True)
        file = open(root / _LOCK, "ab")  # noqa: SIM115 - closed below, by the system where the process is killed
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{root}: another pull is at work there; wait for it, or give another DIR") from error
        except OSError as error:  # some network file systems know no locks
            print(f"pull: {root}: cannot be locked ({error.strerror}); see that no other pull works there", file=sys.stderr)
        yield
