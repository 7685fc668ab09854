"""What a command costs with all its descendants: CPU seconds and memory of every process of its session, read from /proc.

Not from wait(): Spark's daemon of Python workers ignores SIGCHLD, and Linux then credits their time to nobody.
"""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_EVERY_S = 0.05  # what a process does between the last look at it and its end is missed
_MEMORY_EVERY_S = 0.2  # the kernel walks all pages for it


class Cost(NamedTuple):
    """CPU seconds by the name of the program (user + system, all threads), seconds on the clock, and peaks of memory.

    `peak_pss_mb` is of all processes together at one moment, a page that several share counted once; `peak_rss_mb` is the
    largest process's. Both in 10^6 bytes.
    """

    cpu_s: dict[str, float]
    wall_s: float
    peak_pss_mb: float = 0.0
    peak_rss_mb: float = 0.0

    @property
    def total_s(self) -> float:
        """CPU seconds of all programs."""
        return sum(self.cpu_s.values())


def cost_of(
    command: Sequence[str], *, folder: Path, log: Path, env: Mapping[str, str] | None = None, cores: Collection[int] | None = None
) -> Cost:
    """Run `command` in a session of its own, on `cores` only where they are given, its output in `log`.

    Raises SystemExit where it fails. Nothing of it is left where this is interrupted.
    """
    seen: dict[tuple[str, int], tuple[str, float]] = {}  # (pid, start) → program, CPU s
    peak_pss_mb = peak_rss_mb = next_look_s = 0.0
    started = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command], cwd=folder, env={**os.environ, **(env or {})}, stdout=output, stderr=output, start_new_session=True
        )
        if cores is not None:
            os.sched_setaffinity(process.pid, cores)  # before it has any thread or child
        try:
            while process.poll() is None:
                running = processes_of(process.pid)
                seen.update(running)
                if time.perf_counter() >= next_look_s:
                    memory = [memory_mb(pid) for pid, _ in running]
                    peak_pss_mb = max(peak_pss_mb, sum(pss for pss, _ in memory))
                    peak_rss_mb = max(peak_rss_mb, *(rss for _, rss in memory), 0.0)
                    next_look_s = time.perf_counter() + _MEMORY_EVERY_S
                time.sleep(_EVERY_S)
        finally:
            if process.poll() is None:
                for pid, _ in processes_of(process.pid):
                    os.kill(int(pid), signal.SIGKILL)
                process.wait()
    wall_s = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}; the end of {log}:\n{log.read_text()[-3000:]}")
    by_program: dict[str, float] = {}
    for program, cpu_s in seen.values():
        by_program[program] = by_program.get(program, 0.0) + cpu_s
    return Cost(by_program, wall_s, peak_pss_mb, peak_rss_mb)


def memory_mb(pid: str) -> tuple[float, float]:
    """PSS and RSS of a process, 10^6 bytes; nothing where it has ended."""
    try:
        lines = Path("/proc", pid, "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:] if line.endswith(" kB")}
    return kb.get("Pss", 0) * 1024 / 1e6, kb.get("Rss", 0) * 1024 / 1e6


def processes_of(session: int) -> dict[tuple[str, int], tuple[str, float]]:
    """The running processes of a session: (pid, start in clock ticks) → program, CPU seconds so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            program, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        fields = rest.split()  # proc(5): these begin with field 3, state
        if int(fields[3]) == session:
            found[stat.parent.name, int(fields[19])] = program, (int(fields[11]) + int(fields[12])) / ticks
    return found
