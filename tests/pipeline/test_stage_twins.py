"""One attempt's files stand, or none: a run killed between any two steps, and attempts at one part at the same time."""

import json
import random
import secrets
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pipeline import io
from pipeline.attempts import Attempt, Inbox, hand_in, settle, take_up, tidy
from pipeline.manifest import PartReport
from pipeline.stage import Part, part_folder
from pipeline.workers import worker_processes

FILES = ("tar", "parquet", "json")

# Every step that changes the folder is counted; before step `at` the process kills itself. Each child is a run of its own.
SCRIPT = """
    import os, signal, sys
    from dataclasses import dataclass

    from pipeline import io
    from pipeline.manifest import InputReport, PartReport
    from pipeline.options import StageConfig, option
    from pipeline.stage import Part, run_stage

    @dataclass(frozen=True, kw_only=True)
    class MarkConfig(StageConfig):
        out: str = option("folder")

    mark, status, endings = "", "ok", ()

    def work(config, part, folder):
        for ending in endings:
            with folder.open(f"{part.name}.{ending}") as file:
                file.write(mark.encode())
        return PartReport(name=part.name, inputs=(InputReport(path="in", status=status),), facts={"mark": mark})

    def die_before(at):
        seen = 0

        def counted(step):
            def doing(*arguments):
                nonlocal seen
                if seen == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen += 1
                return step(*arguments)
            return doing

        io.move, io.remove = counted(io.move), counted(io.remove)

    def run(out, **said):
        globals().update(said)
        run_stage("mark", MarkConfig(out=out), [Part(name="one")], work, out=out)

    def killed_before(at, out, **said):
        pid = os.fork()
        if pid == 0:
            die_before(at)
            run(out, **said)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

    root, kind = sys.argv[1:]
    at = 0
    while True:
        out = f"{root}/{at:02d}"
        if kind == "again":  # a part that stands already, of a damaged input, and has a file that the next attempt has not
            run(out, mark="old", status="partial", endings=("tar", "parquet", "json", "txt"))
        died = killed_before(at, out, mark="killed", status="ok", endings=("tar", "parquet", "json"))
        run(out, mark="next", status="ok", endings=("tar", "parquet", "json"))
        if not died:
            break
        at += 1
    """


def mark_of(out: Path, name: str) -> str:
    """The mark that all the part's files and its report have."""
    report = json.loads((out / "_parts" / f"{name}.json").read_bytes())
    marks = {(out / f"{name}.{ending}").read_text() for ending in FILES} | {report["facts"]["mark"]}
    assert len(marks) == 1, marks
    return marks.pop()


@pytest.mark.parametrize("kind", ["anew", "again"])
def test_a_run_killed_before_any_step_and_run_again_gives_a_part_of_one_attempt(tmp_path, kind):
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), str(tmp_path / "runs"), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    outs = sorted((tmp_path / "runs").iterdir())
    for out in outs:
        assert sorted(path.name for path in out.iterdir() if path.name[0] != "_") == sorted(f"one.{e}" for e in FILES)
        assert [path.name for path in (out / "_parts").iterdir()] == ["one.json"]
        assert (out / "_manifest.json").exists()
        assert not list(out.rglob("_tmp*"))
    # Killed early the part is done again, killed late it stands, and never both by turns.
    found = [mark_of(out, "one") for out in outs]
    assert found == sorted(found, key=["next", "killed"].index)
    assert found.count("killed") > len(FILES)


def twin(out: str, inbox: str, name: str, seed: int) -> None:
    """An attempt at a part, in random time, whose files hold a mark of their own."""
    delays, mark = random.Random(seed), secrets.token_hex(8)
    with part_folder(out, Part(name=name)) as folder:
        for ending in FILES:
            with folder.open(f"{name}.{ending}") as file:
                file.write(mark.encode())
            time.sleep(delays.uniform(0, 0.01))
        made = PartReport(name=name, files=tuple(f"{name}.{ending}" for ending in FILES), facts={"mark": mark})
        hand_in(inbox, Attempt(report=made, temporaries=folder.hand_over()))


def test_of_attempts_at_the_same_time_each_part_has_the_files_and_the_report_of_one(tmp_path):
    inbox = Inbox(str(tmp_path))
    names = [f"{i:05d}" for i in range(80)]
    with worker_processes(4) as processes:
        twins = [(name, seed) for name in names for seed in (0, 1, 2)]
        random.Random(7).shuffle(twins)
        twins.sort(key=lambda twin: twin[0][:4])  # those of a part close to each other
        running = [processes.submit(twin, str(tmp_path), inbox.path, name, seed) for name, seed in twins]
        counted = 0
        while not all(future.done() for future in running):
            counted += inbox.look()
        counted += inbox.look()
        assert [future.result() for future in running] == [None] * len(twins)
    assert counted == len(inbox.settled) == len(names)
    for name in names:
        assert mark_of(tmp_path, name) == inbox.settled[name].facts["mark"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "_parts") == sorted(
        f"{name}.{ending}" for name in names for ending in FILES
    )
    tidy(str(tmp_path))
    assert sorted(path.name for path in (tmp_path / "_parts").iterdir()) == [f"{name}.json" for name in names]


def attempt(out: Path, mark: str, endings: tuple[str, ...] = FILES) -> Attempt:
    """A whole attempt at the part `one`."""
    with part_folder(str(out), Part(name="one")) as folder:
        for ending in endings:
            with folder.open(f"one.{ending}") as file:
                file.write(mark.encode())
        made = PartReport(name="one", files=tuple(f"one.{ending}" for ending in endings), facts={"mark": mark})
        return Attempt(report=made, temporaries=folder.hand_over())


def test_an_attempt_of_a_killed_run_that_still_writes_changes_nothing(tmp_path):
    inbox = Inbox(str(tmp_path))
    old = attempt(tmp_path, "of the killed run")
    tidy(str(tmp_path))  # the next run begins
    following = Inbox(str(tmp_path))
    hand_in(inbox.path, old)
    hand_in(following.path, attempt(tmp_path, "new"))
    assert following.look() == 1
    assert mark_of(tmp_path, "one") == "new"


def test_a_record_whose_files_were_swept_away_is_not_settled(tmp_path):
    inbox = Inbox(str(tmp_path))
    swept = attempt(tmp_path, "swept")
    io.sweep(str(tmp_path))
    with part_folder(str(tmp_path), Part(name="one")):
        hand_in(inbox.path, swept)
    assert (inbox.look(), inbox.settled) == (0, {})
    hand_in(inbox.path, attempt(tmp_path, "whole"))
    assert inbox.look() == 1
    assert mark_of(tmp_path, "one") == "whole"


def test_a_report_stands_for_its_own_files_only_where_one_was_lost_in_between(tmp_path):
    tidy(str(tmp_path))
    settle(str(tmp_path), attempt(tmp_path, "old"))
    made = attempt(tmp_path, "new")
    (tmp_path / "_parts" / "one.chosen").write_text(json.dumps({"report": {"name": "one"}, "temporaries": {}}))
    assert take_up(str(tmp_path), "one") is None  # a damaged record: nobody knows which files were renamed
    assert list((tmp_path / "_parts").iterdir()) == []
    settle(str(tmp_path), made)
    assert mark_of(tmp_path, "one") == "new"


def test_settling_again_with_fewer_files_removes_those_of_the_report_before(tmp_path):
    settle(str(tmp_path), attempt(tmp_path, "old", (*FILES, "txt")))
    settle(str(tmp_path), attempt(tmp_path, "new"))
    assert mark_of(tmp_path, "one") == "new"
    assert not (tmp_path / "one.txt").exists()
