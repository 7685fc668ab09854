"""The processes of a cluster: started apart, found by the mark in their environment, killed by it, waited for.

The mark goes from a process to its children and theirs, whoever starts them; a machine's begins with its cluster's.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.spark import java_home

MARK = "WEBPAIRS_BENCH_MACHINE"
_START_TIMEOUT_S = 180
_END_TIMEOUT_S = 20


def marked(mark: str) -> list[int]:
    """Ids of the living processes that a cluster, or one machine of it, started: those whose mark begins with `mark`."""
    sign = f"{MARK}={mark}".encode()
    found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in found if any(word.startswith(sign) for word in read_of(pid, "environ").split(b"\0"))]


def end_marked(mark: str) -> None:
    """SIGKILL to all of them, until none is left. Raises TimeoutError where one does not die."""
    for _ in until(_END_TIMEOUT_S, f"processes of {mark} do not end"):
        left = marked(mark)
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def start_apart(command: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
    """A process in a session of its own that the kernel kills if this process dies without a word."""
    tied = [shutil.which("setpriv") or "", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    return subprocess.Popen([*tied, *command], stdin=subprocess.DEVNULL, start_new_session=True, **more)


def clean_environment(address: str) -> dict[str, str]:
    """This process's environment without what would lead Spark, or Python, to other code."""
    misleading = ("PYTHON", "SPARK_", "PYSPARK_", "VIRTUAL_ENV", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(misleading)}
    python = Path(os.path.realpath(sys.executable)).parent  # a packed environment looks for it on PATH
    path = f"{python}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        **kept,
        "PATH": path,
        "JAVA_HOME": java_home(),
        "SPARK_LOCAL_IP": address,
        "SPARK_PUBLIC_DNS": address,
        "OMP_NUM_THREADS": "1",
    }


def read_of(pid: int, name: str) -> bytes:
    """A file of /proc; empty for a process that has gone, and for one that is dead but not yet waited for."""
    try:
        return Path("/proc", str(pid), name).read_bytes()
    except OSError:
        return b""


def wait_for(found: Any, what: str) -> Any:
    """What `found()` gives as soon as it is true."""
    for _ in until(_START_TIMEOUT_S, f"there is no {what}"):
        with suppress(OSError):
            if answer := found():
                return answer
    return None


def until(timeout_s: float, what: str) -> Iterator[None]:
    """Ten times a second; raises TimeoutError at the end."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        yield
        time.sleep(0.1)
    raise TimeoutError(f"{what} after {timeout_s} s")
