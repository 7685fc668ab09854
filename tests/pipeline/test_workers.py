"""Worker processes: they end with the process that started them, and an interrupt is one line and the right status."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

SCRIPT = """
    import os, sys, time
    from pathlib import Path
    from pipeline.cli import guarded
    from pipeline.workers import worker_processes

    def work(folder, seconds):
        Path(folder, str(os.getpid())).touch()
        time.sleep(seconds)

    def command():
        with worker_processes(3) as pool:
            for done in [pool.submit(work, sys.argv[1], seconds) for seconds in (60, 60, 0)]:
                done.result()
        return 0

    if __name__ == "__main__":
        sys.exit(guarded("x", command))
    """


def is_running(pid):
    """Whether a process is there and has not ended (one that has may wait for its parent to ask after it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(holds, seconds):
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


@pytest.fixture
def busy(tmp_path):
    """A command with two workers at work and an idle one, in a process group of its own; and the workers' ids."""
    script = tmp_path / "busy.py"
    script.write_text(textwrap.dedent(SCRIPT))
    folder = tmp_path / "pids"
    folder.mkdir()
    command = [sys.executable, str(script), str(folder)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert wait_until(lambda: len(list(folder.iterdir())) == 3, 30)
        time.sleep(0.1)  # the third is idle by now; were it not, the tests would hold all the same
        yield running, [int(path.name) for path in folder.iterdir()]
    finally:
        if any(map(is_running, [running.pid, *(int(path.name) for path in folder.iterdir())])):
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


def test_workers_end_when_their_parent_is_killed(busy):
    running, workers = busy
    running.kill()
    running.wait(10)
    assert wait_until(lambda: not any(map(is_running, workers)), 10)


def test_an_interrupt_of_the_whole_group_is_one_line_and_130_and_ends_the_workers(busy):
    running, workers = busy
    os.killpg(running.pid, signal.SIGINT)  # as Ctrl-C does
    told = running.communicate(timeout=20)[1]
    assert told == "x: interrupted; run the same command again to go on\n"
    assert running.returncode == 130
    assert wait_until(lambda: not any(map(is_running, workers)), 5)


def test_an_interrupt_that_reaches_a_worker_first_is_left_to_the_parent(busy):
    running, workers = busy
    for worker in workers:
        os.kill(worker, signal.SIGINT)
    time.sleep(0.3)
    assert all(map(is_running, [running.pid, *workers]))
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=20)[1] == "x: interrupted; run the same command again to go on\n"


def test_a_termination_is_one_line_and_143_and_ends_the_workers(busy):
    running, workers = busy
    running.terminate()
    told = running.communicate(timeout=20)[1]
    assert told == "x: terminated; run the same command again to go on\n"
    assert running.returncode == 143
    assert wait_until(lambda: not any(map(is_running, workers)), 5)
