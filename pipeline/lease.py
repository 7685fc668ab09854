"""Who is at work in a stage's folder: one run at a time, or one per share. A second run by mistake is refused, or takes over.

In: stage, folder, share. The folder holds `_running/all.json`, or `_running/3-of-8.json` for a share, while a run is at work: who
it is, since when, and a count that grows with every beat of a thread of its process. Who finds another's file looks whether that
process lives, where it is of the same machine, or else watches whether the count grows: clocks of other machines are not asked.
A run that is killed leaves its file, and the next one takes it over.
"""

import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import exclusive, io
from pipeline.shares import Share
from schemas.errors import UserError

FOLDER = "_running"
BEAT_S = 10.0
_BEATS_MISSED = 4.5  # so many in a row, and a run of another machine is taken for dead
_SLOWEST_BEAT_S = 60.0  # whatever a file says
_HALF_WRITTEN_S = 2.0  # a file that cannot be read for so long was not being written just now
_TRIES = 20  # to find a state of the folder that stays while it is looked at
_ASKED_EVERY_S = 1.0  # the file is read again, where a run asks all the time whether it may go on


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A run at work: which, where its process is, since when, and how often it has beaten so far, every `beat_s` seconds."""

    stage: str
    share: str
    token: str
    host: str
    machine: str  # the kernel's boot and the process's name space: in another one a number is another process
    pid: int
    started: int  # ticks of the clock since boot
    since: str
    beat_s: float
    beats: int = 0

    def __str__(self) -> str:
        of = "" if self.share == "all" else f" --share {self.share}"
        return f"`{self.stage}`{of}, process {self.pid} on {self.host}, since {self.since}"

    @property
    def record(self) -> bytes:
        """As it stands in the file."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @property
    def is_here(self) -> bool:
        """Whether its process is, or was, of this machine."""
        return (self.host, self.machine) == (socket.gethostname(), _machine())

    @property
    def lives(self) -> bool:
        """Whether its process, of this machine, is there still; what this one itself could not remove is no run."""
        own = self.pid == os.getpid() and not any(lease.claim.token == self.token for lease in _HELD.values())
        return not own and _started(self.pid) == self.started


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a run hands to its own worker processes, so that they can ask whether the folder is still its."""

    path: str
    token: str

    def require(self) -> None:
        """Raises UserError where another run has taken the folder over. A store that does not answer says nothing."""
        try:
            found = _holder(exclusive.read(self.path))
        except OSError:
            return
        if found is None or found.token != self.token:
            raise UserError(_taken(self.path, found))


class Lease:
    """The hold of this process on a folder: it beats until `release`."""

    def __init__(self, path: str, holder: Holder) -> None:
        self.claim = Claim(path=path, token=holder.token)
        self.pid = os.getpid()
        self._holder = holder
        self._taken = ""
        self._asked = time.monotonic()
        self._lock, self._over = threading.Lock(), threading.Event()
        threading.Thread(target=self._beat, name=f"lease {path}", daemon=True).start()

    def require(self) -> None:
        """Raises UserError where another run has taken the folder over."""
        if self._taken:
            raise UserError(self._taken)
        if time.monotonic() - self._asked > _ASKED_EVERY_S:
            self.claim.require()
            self._asked = time.monotonic()

    def release(self) -> None:
        """Leave the folder to the next run."""
        self._over.set()
        with self._lock:
            try:
                exclusive.remove(self.claim.path, seen=self._holder.record)
            except OSError as error:  # the next run finds that this process is gone, or beats no more
                print(f"{self.claim.path}: cannot be removed ({error}); the next run may have to wait", file=sys.stderr)

    def _beat(self) -> None:
        while not self._over.wait(self._holder.beat_s):
            with self._lock:
                if not self._over.is_set() and not self._renewed():
                    return

    def _renewed(self) -> bool:
        following = replace(self._holder, beats=self._holder.beats + 1)
        try:
            if exclusive.replace(self.claim.path, following.record, seen=self._holder.record):
                self._holder = following
                return True
            found = _holder(exclusive.read(self.claim.path))
        except OSError:  # a store that is out of order for a while; others cannot take over through it either
            return True
        if found is not None and found.token == self._holder.token:
            self._holder = found  # the store did it, and said it did not
            return True
        self._taken = _taken(self.claim.path, found)
        return False


_HELD: dict[str, Lease] = {}


@contextmanager
def held(stage: str, out: str, share: Share | None = None) -> Iterator[Claim]:
    """The folder `out` is this run's for the block, or a share's part of it; a block within one of the same process joins it.

    Raises UserError naming who is at work there, or was faster to begin.
    """
    path = io.join(io.absolute(out), FOLDER, f"{_name(share)}.json")
    lease = _HELD.get(path)
    if lease is not None and lease.pid == os.getpid():
        yield lease.claim
        return
    io.make_folder(out)  # a place that cannot be written to is told as such
    lease = _HELD[path] = _acquired(stage, out, path, "all" if share is None else str(share))
    try:
        yield lease.claim
    finally:
        del _HELD[path]
        lease.release()


def require(out: str) -> None:
    """Raises UserError where this process held the folder and another run has taken it over."""
    folder = io.join(io.absolute(out), FOLDER) + "/"
    for path, lease in list(_HELD.items()):
        if path.startswith(folder) and lease.pid == os.getpid():
            lease.require()


def _acquired(stage: str, out: str, path: str, share: str) -> Lease:
    own = Holder(
        stage=stage,
        share=share,
        token=secrets.token_hex(8),
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        beat_s=BEAT_S,
    )
    for _ in range(_TRIES):
        others = _others(path)
        _require_dead(out, own, others)
        with io.writing(out):
            if not _taken_hold(path, own, others):
                continue
        late = _others(path, but=own.token)
        for record in late.values():
            found = _holder(record)
            if found is None or not found.is_here or found.lives:
                exclusive.remove(path, seen=own.record)
                raise UserError(_refusal(out, found))
        return Lease(path, own)
    raise UserError(f"{out}: other runs come and go there all the time; end them, then run the same command again")


def _taken_hold(path: str, own: Holder, others: dict[str, bytes]) -> bool:
    """Put `own` at `path`, in the place of what a dead run left there, and remove what else dead runs left."""
    left = others.pop(path, None)
    done = exclusive.create(path, own.record) if left is None else exclusive.take_over(path, own.record, seen=left)
    for other, record in others.items() if done else ():
        exclusive.remove(other, seen=record)
    return done


def _others(path: str, but: str = "") -> dict[str, bytes]:
    """Path → record of the runs that do not go with one at `path`: the same, all parts beside a share, shares of another N."""
    folder, _, own = path.rpartition("/")
    found = {}
    for name in exclusive.names_in(folder):
        if name.endswith(".json") and (name == own or _count(name) != _count(own) or _count(own) is None):
            record = exclusive.read(f"{folder}/{name}")
            holder = _holder(record)
            if record is not None and not (but and holder is not None and holder.token == but):
                found[f"{folder}/{name}"] = record
    return found


def _require_dead(out: str, own: Holder, others: dict[str, bytes]) -> None:
    """Raises UserError where a process behind these records lives. Waits for those of which only watching can tell."""
    waiting: dict[str, bytes] = {}
    for path, record in others.items():
        found = _holder(record)
        if found is None or not found.is_here:
            waiting[path] = record
        elif found.lives:
            raise UserError(_refusal(out, found))
    if not waiting:
        return
    patience = max(map(_patience, waiting.values()))
    names = "; ".join(str(_holder(record) or "an unreadable file") for record in waiting.values())
    if patience > _HALF_WRITTEN_S:
        print(f"{own.stage}: {out}: {names} may be at work there: watched for {patience:.0f} s", file=sys.stderr, flush=True)
    deadline, pause = time.monotonic() + patience, min(1.0, patience / 10)
    while time.monotonic() < deadline:
        time.sleep(pause)
        for path, record in list(waiting.items()):
            now = exclusive.read(path)
            if now is None:
                del waiting[path], others[path]  # it has ended
            elif now != record:
                raise UserError(_refusal(out, _holder(now)))
        if not waiting:
            return
    print(f"{own.stage}: {out}: taken over from {names}, which gave no sign of life", file=sys.stderr, flush=True)


def _patience(record: bytes) -> float:
    found = _holder(record)
    return _HALF_WRITTEN_S if found is None else _BEATS_MISSED * min(max(found.beat_s, 0.01), _SLOWEST_BEAT_S)


def _refusal(out: str, holder: Holder | None) -> str:
    if holder is None:
        return f"{out}: another run has just begun there; one at a time: wait for its end, or give another --out"
    where = f"kill {holder.pid}" if holder.is_here else f"kill {holder.pid} on {holder.host}"
    return (
        f"{out}: {holder} is at work there; two runs cannot write one folder: wait for its end, or end it ({where}), and run the "
        "same command again, or give another --out"
    )


def _taken(path: str, by: Holder | None) -> str:
    out = path.rsplit(f"/{FOLDER}/", 1)[0]
    who = f"by {by}" if by else "and nobody is at work there now"
    return (
        f"{out}: was taken over from this run, {who}, as this one gave no sign of life for long (suspended, or cut off from the "
        "storage); it ends here, and what it finished stands: run the same command again when nobody is at work there"
    )


def _holder(record: bytes | None) -> Holder | None:
    """Who wrote a record; None for one that is gone, half written or damaged."""
    try:
        value: dict[str, Any] = json.loads(record or b"")
        found = Holder(**value)
    except (ValueError, TypeError):
        return None
    sound = isinstance(found.pid, int) and isinstance(found.started, int) and isinstance(found.beat_s, int | float)
    return found if sound else None


def _name(share: Share | None) -> str:
    return "all" if share is None else f"{share.index}-of-{share.count}"


def _count(name: str) -> str | None:
    """The N of a share's file; None for that of all parts."""
    _, of, count = name.removesuffix(".json").partition("-of-")
    return count if of else None


def _machine() -> str:
    """What tells this kernel, this time it was started, and this space of process numbers from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{sys.platform}, without /proc"


def _started(pid: int) -> int:
    """When a process of this machine began, in ticks since boot; 0 where there is none, or only its exit status is left of it."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # its name may have brackets and blanks
    except OSError:
        return _without_proc(pid)
    return 0 if words[0] in "ZX" else int(words[19])


def _without_proc(pid: int) -> int:
    """1 for a process that is there, on a system that does not say when it began."""
    if Path("/proc/self/stat").exists():
        return 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    except PermissionError:  # another user's
        pass
    return 1


__all__ = ["BEAT_S", "FOLDER", "Claim", "Holder", "held", "require"]
