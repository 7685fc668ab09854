"""Worker processes: they end with the process that started them, an interrupt is one line, and a kill costs its item at most."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pipeline.workers import each_in_a_worker

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


def logged(job):
    """Do a job, (folder, number, seconds, kills), and log its worker and its beginning and end; "once": kills the first time."""
    folder, number, seconds, kills = job
    log = Path(folder, f"{number}.{len(list(Path(folder).glob(f'{number}.*')))}")
    began = time.monotonic()
    note(log, began, None)
    time.sleep(seconds)
    if kills == "always" or (kills == "once" and log.suffix == ".0"):
        os.kill(os.getpid(), signal.SIGKILL)
    note(log, began, time.monotonic())
    return number


def note(log, began, ended):
    """Written whole or not at all: the other workers of a pool that breaks are ended at any time."""
    half = log.with_name(f"_{log.name}")
    half.write_text(json.dumps([os.getpid(), began, ended]))
    half.replace(log)


def lost(job):
    return -job[1]


def attempts_in(folder):
    """[worker, begin, end (None: killed)] of each time a job was begun, by number of the job, in order."""
    found = {}
    for path in sorted(folder.glob("[0-9]*")):
        found.setdefault(int(path.stem), []).append(json.loads(path.read_text()))
    return found


def test_a_kill_costs_nothing_but_time_and_all_workers_go_on_afterwards(tmp_path):
    jobs = [(tmp_path, number, 0.05, "once" if number == 9 else "never") for number in range(60)]
    answers = list(each_in_a_worker(logged, jobs, 3, lost=lost))
    assert sorted(answers) == list(range(60))
    found = attempts_in(tmp_path)
    assert sum(len(times) - 1 for times in found.values()) <= 3  # what was in flight is done twice, and nothing else
    after = [times[-1] for number, times in found.items() if number > 24]  # long after the kill
    assert len({worker for worker, _, _ in after}) == 3
    assert max(sum(began <= at < ended for _, began, ended in after) for _, at, _ in after) == 3


def test_items_that_always_kill_their_worker_are_given_up_by_name_and_all_others_done(tmp_path):
    deadly = {3, 4, 11, 19}
    jobs = [(tmp_path, number, 0.01, "always" if number in deadly else "never") for number in range(20)]
    answers = list(each_in_a_worker(logged, jobs, 4, lost=lost))
    assert sorted(answers) == sorted(-number if number in deadly else number for number in range(20))
    found = attempts_in(tmp_path)
    assert all(len(times) <= 2 for times in found.values())
    assert all(times[-1][2] is None for number, times in found.items() if number in deadly)


def test_suspects_are_done_again_at_the_same_time_each_in_a_worker_of_its_own(tmp_path):
    jobs = [(tmp_path, number, 1.5 if number else 0.7, "once" if number == 0 else "never") for number in range(3)]
    assert sorted(each_in_a_worker(logged, jobs, 3, lost=lost)) == [0, 1, 2]
    again = [times[1] for times in attempts_in(tmp_path).values()]
    assert len({worker for worker, _, _ in again}) == 3
    assert max(began for _, began, _ in again) < min(ended for *_, ended in again)


def test_a_worker_that_is_killed_while_it_waits_for_work_costs_nothing(tmp_path):
    jobs = [(tmp_path, 0, 0, "never"), (tmp_path, 1, 0.5, "never")]
    answers = each_in_a_worker(logged, jobs, 2, lost=lost)
    first = next(answers)
    os.kill(attempts_in(tmp_path)[first][0][0], signal.SIGKILL)
    assert sorted([first, *answers]) == [0, 1]


def test_no_more_items_are_in_flight_than_there_are_workers(tmp_path):
    jobs = [(tmp_path, number, 0.02, "never") for number in range(30)]
    answers = each_in_a_worker(logged, jobs, 2, lost=lost)
    for seen, _ in enumerate(answers, 1):
        assert len(attempts_in(tmp_path)) <= seen + 2


def raises(number):
    time.sleep(0.1 if number else 30)
    raise ValueError(number)


def test_what_an_item_raises_comes_to_the_caller_at_once_and_ends_the_workers():
    before = set(multiprocessing.active_children())
    started = time.monotonic()
    with pytest.raises(ValueError, match="1"):
        list(each_in_a_worker(raises, [0, 1], 2, lost=lost))
    assert time.monotonic() - started < 20
    assert wait_until(lambda: not set(multiprocessing.active_children()) - before, 5)
