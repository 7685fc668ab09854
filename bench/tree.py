"""What a command costs with all its descendants: CPU seconds of every process of its session, read from /proc.

Not from wait(): Spark's daemon of Python workers ignores SIGCHLD, and Linux then credits their time to nobody.
"""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_EVERY_S = 0.05  # what a process does between the last look at it and its end is missed


class Cost(NamedTuple):
    """CPU seconds by the name of the program (user + system, all threads), and seconds on the clock."""

    cpu_s: dict[str, float]
    wall_s: float

    @property
    def total_s(self) -> float:
        """CPU seconds of all programs."""
        return sum(self.cpu_s.values())


def cost_of(command: Sequence[str], *, folder: Path, log: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Run `command` in a session of its own, its output in `log`. Raises SystemExit where it fails."""
    seen: dict[tuple[str, int], tuple[str, float]] = {}  # (pid, start) → program, CPU s
    started = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command], cwd=folder, env={**os.environ, **(env or {})}, stdout=output, stderr=output, start_new_session=True
        )
        while process.poll() is None:
            seen.update(_session(process.pid))
            time.sleep(_EVERY_S)
    wall_s = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}; the end of {log}:\n{log.read_text()[-3000:]}")
    by_program: dict[str, float] = {}
    for program, cpu_s in seen.values():
        by_program[program] = by_program.get(program, 0.0) + cpu_s
    return Cost(by_program, wall_s)


def _session(session: int) -> dict[tuple[str, int], tuple[str, float]]:
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
