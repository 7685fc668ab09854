"""What a short command costs with all its descendants: CPU seconds to the last, as the kernel credits them when they have ended.

`bench.tree` looks at running processes twenty times a second; here a run may last about as long as a few looks. So this process
adopts what the command leaves behind (the server from which workers are forked, say), and waits for everything.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.tree import memory_mb, processes_of

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_LOOK_EVERY_S = 0.02


class Spent(NamedTuple):
    """CPU seconds (user + system) and seconds on the clock; the most memory of all processes at one moment, 10^6 bytes.

    `pss_mb` counts a page that several share once, `rss_mb` as often as they are; `processes` were there at most at one moment.
    """

    cpu_s: float
    wall_s: float
    pss_mb: float
    rss_mb: float
    processes: int


def spent_on(command: Sequence[str], *, folder: Path, log: Path, env: Mapping[str, str], cores: Collection[int]) -> Spent:
    """Run `command` in a session of its own, on `cores`, its output in `log`.

    Raises SystemExit where it fails. Nothing of it is left where this is interrupted.
    """
    started = time.perf_counter()
    with _adopting(), log.open("w") as output:
        process = subprocess.Popen(
            [*command], cwd=folder, env={**os.environ, **env}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            os.sched_setaffinity(process.pid, cores)  # before it has any thread or child
            spent, status = _until_all_ended(process.pid, started)
        except BaseException:
            for pid, _ in processes_of(process.pid):
                os.kill(int(pid), signal.SIGKILL)
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}; the end of {log}:\n{log.read_text()[-3000:]}")
    return spent


@contextmanager
def _adopting() -> Iterator[None]:
    """Whatever loses its parent below this process becomes its child, for the block."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit(f"prctl: {os.strerror(ctypes.get_errno())}; this benchmark needs Linux")
    try:
        yield
    finally:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _until_all_ended(session: int, started: float) -> tuple[Spent, int]:
    """What the processes of a session, which is one group, cost, and the wait status of its first one."""
    cpu_s = pss_mb = rss_mb = 0.0
    most = first_status = 0
    while True:
        try:
            pid, status, used = os.wait4(-session, os.WNOHANG)
        except ChildProcessError:  # none is left
            return Spent(cpu_s, time.perf_counter() - started, pss_mb, rss_mb, most), first_status
        if pid:
            cpu_s += used.ru_utime + used.ru_stime  # its own, and that of children that it waited for
            first_status = status if pid == session else first_status
            continue
        memory = [memory_mb(each) for each, _ in processes_of(session)]
        pss_mb = max(pss_mb, sum(pss for pss, _ in memory))
        rss_mb = max(rss_mb, sum(rss for _, rss in memory))
        most = max(most, len(memory))
        time.sleep(_LOOK_EVERY_S)
