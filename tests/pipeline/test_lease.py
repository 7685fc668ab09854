"""One run at a time in a folder: who is refused, who takes over from whom, and that of several exactly one does."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline import exclusive, io, lease
from pipeline.lease import Holder, held
from pipeline.manifest import InputReport, PartReport
from pipeline.options import StageConfig
from pipeline.pool import PoolConfig
from pipeline.pool import run as run_pool
from pipeline.rank import RankConfig
from pipeline.rank import run as run_rank
from pipeline.reshard import ReshardConfig
from pipeline.reshard import run as run_reshard
from pipeline.shares import Share
from pipeline.stage import Part, content_hash, run_stage
from schemas.errors import UserError

# `run OUT`: a stage of parts that wait while OUT's neighbour `wait` stands. `race OUT N`: N processes at once, one holds.
SCRIPT = """
    import os, sys, time
    from multiprocessing import get_context
    from pathlib import Path

    from pipeline.cli import finish, guarded
    from pipeline.manifest import InputReport, PartReport
    from pipeline.options import StageConfig
    from pipeline.stage import Part, run_stage

    WAIT = Path(__file__).with_name("wait")

    def work(config, part, folder):
        with folder.open(f"{part.name}.txt") as file:
            file.write(part.name.encode())
        while part.name == "b" and WAIT.exists():
            time.sleep(0.01)
        return PartReport(name=part.name, counts={"rows_out": 1}, inputs=(InputReport(path=part.name),))

    def run(out):
        config = type("OutConfig", (StageConfig,), {"out": out})()
        return finish(run_stage("slow", config, [Part(name=name) for name in "ab"], work, out=out), config)

    def one_of(gate, done, out):
        from pipeline.lease import held
        from schemas.errors import UserError

        gate.wait()
        try:
            with held("race", out):
                won = True
                done.wait()
        except UserError as error:
            assert "at work there" in str(error) or "has just begun" in str(error), error
            won = False
            done.wait()
        os._exit(0 if won else 3)

    def race(out, count):
        context = get_context("spawn")
        gate, done = context.Barrier(count), context.Barrier(count)
        processes = [context.Process(target=one_of, args=(gate, done, out)) for _ in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print(sorted(process.exitcode for process in processes))
        return 0

    if __name__ == "__main__":
        what, out, *more = sys.argv[1:]
        sys.exit(guarded("webpairs", lambda: run(out) if what == "run" else race(out, *map(int, more))))
    """


@pytest.fixture
def start(tmp_path):
    """A function: the script, started with some words and variables."""
    script = tmp_path / "at_work.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def start(*words, **variables):
        command = [sys.executable, str(script), *map(str, words)]
        environment = {**os.environ, **variables}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def told(process):
    """Its exit status and all it said, at its end."""
    said = "\n".join(process.communicate(timeout=240))
    return process.returncode, said


def holder(**other):
    """Who began here, in a process that is gone, and beats five times a second."""
    mine = Holder(
        stage="slow",
        share="all",
        token="0123456789abcdef",
        host=socket.gethostname(),
        machine=lease._machine(),
        pid=2**22 + 1,  # above the largest number that Linux gives a process
        started=1,
        since="2026-11-22T00:00:00+00:00",
        beat_s=0.05,
    )
    return replace(mine, **other)


def living(**other):
    """Another process of this machine that lives as long as the test."""
    return holder(pid=os.getppid(), started=lease._started(os.getppid()), **other)


def stand(out, found, name="all"):
    path = io.join(str(out), "_running", f"{name}.json")
    assert exclusive.create(path, found.record)
    return path


def tree(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture(params=["disk", "s3"])
def place(request, tmp_path, monkeypatch):
    """A folder for a stage, on a disk or on an S3 server."""
    if request.param == "disk":
        return str(tmp_path / "out")
    environment = request.getfixturevalue("s3_environment")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3", use_listings_cache=False).makedirs("leases", exist_ok=True)
    return f"s3://leases/{tmp_path.name}"


def wait_for(holds):
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_second_driver_on_a_folder_is_refused_and_after_a_kill_the_same_command_starts_at_once(start, place, tmp_path):
    (tmp_path / "wait").touch()
    first = start("run", place)
    wait_for(lambda: io.exists(io.join(place, "_parts", "a.json")))
    status, said = told(start("run", place))
    assert status == 1
    assert f"{place}: `slow`, process {first.pid} on {socket.gethostname()}, since 20" in said
    assert f"is at work there; two runs cannot write one folder: wait for its end, or end it (kill {first.pid})" in said
    assert io.exists(io.join(place, "_parts", "a.json"))
    first.kill()
    assert told(first)[0] == -signal.SIGKILL
    assert exclusive.names_in(io.join(place, "_running")) == ["all.json"]
    (tmp_path / "wait").unlink()
    status, said = told(start("run", place))
    assert (status, "rows_out 2" in said, "watched" in said) == (0, True, False), said
    assert exclusive.names_in(io.join(place, "_running")) == []
    assert sorted(io.sizes(place)) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_leaves_the_folder_to_others(start, tmp_path, sign):
    (tmp_path / "wait").touch()
    process = start("run", tmp_path / "out")
    wait_for((tmp_path / "out" / "_parts" / "a.json").exists)
    process.send_signal(sign)
    assert told(process)[0] in (130, 143)
    assert not (tmp_path / "out" / "_running").exists()


def test_a_stage_that_raises_leaves_the_folder_to_others(tmp_path):
    with pytest.raises(RuntimeError), held("one", str(tmp_path)):
        raise RuntimeError
    assert not (tmp_path / "_running").exists()


def test_of_several_that_take_over_from_a_dead_run_exactly_one_does(start, place):
    for number in range(1 if place.startswith("s3") else 3):
        out = f"{place}{number}"
        stand(out, holder())
        assert told(start("race", out, 4)) == (0, "[0, 3, 3, 3]\n\n")
        assert exclusive.names_in(io.join(out, "_running")) == []


def test_of_several_that_begin_a_new_folder_exactly_one_does(start, place):
    assert told(start("race", place, 4)) == (0, "[0, 3, 3, 3]\n\n")


def test_of_a_run_on_another_machine_that_beats_no_more_the_folder_is_taken_over_with_a_word(place, capsys):
    stand(place, holder(host="node7", machine="another"))
    with held("slow", place):
        pass
    told = capsys.readouterr().err
    assert "`slow`, process 4194305 on node7, since 2026-11-22T00:00:00+00:00, which gave no sign of life" in told


def test_the_same_host_name_in_another_boot_or_container_is_another_machine(tmp_path, capsys):
    stand(tmp_path, living(machine="before the reboot"))
    with held("slow", str(tmp_path)):
        pass
    assert "taken over from" in capsys.readouterr().err


@contextmanager
def beating(out, found):
    """A run of another machine that beats for the block."""
    path, over = stand(out, found), threading.Event()

    def beat(found):
        while not over.wait(0.02):
            following = replace(found, beats=found.beats + 1)
            assert exclusive.replace(path, following.record, seen=found.record)
            found = following

    thread = threading.Thread(target=beat, args=(found,))
    thread.start()
    yield
    over.set()
    thread.join()


def test_a_run_on_another_machine_that_beats_is_left_alone(place):
    refused = pytest.raises(UserError, match=r"process 4194305 on node7, .* is at work there.*kill 4194305 on node7")
    with beating(place, holder(host="node7", machine="another", beat_s=0.3)), refused, held("slow", place):
        pass


def test_a_run_on_another_machine_that_ends_while_it_is_watched_makes_way(tmp_path, monkeypatch):
    path, found = stand(tmp_path, holder(host="node7", machine="another", beat_s=60.0)), []
    sleep = time.sleep
    monkeypatch.setattr(lease.time, "sleep", lambda s: found.append(s) or Path(path).unlink(missing_ok=True) or sleep(0))
    with held("slow", str(tmp_path)):
        assert found == [1.0]


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"pid": 1}', b"\0" * 1024, b"\xff"])
def test_a_damaged_record_keeps_nobody_away_for_long(tmp_path, monkeypatch, record):
    monkeypatch.setattr(lease, "_HALF_WRITTEN_S", 0.05)
    (tmp_path / "_running").mkdir()
    (tmp_path / "_running" / "all.json").write_bytes(record)
    with held("slow", str(tmp_path)):
        assert json.loads((tmp_path / "_running" / "all.json").read_bytes())["stage"] == "slow"


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("0/2", "1/2", True),
        ("0/2", "0/3", False),
        ("0/2", "1/3", False),
        ("0/2", "all", False),
        ("all", "0/2", False),
        ("0/2", "0/2", False),
    ],
)
def test_shares_of_one_n_go_together_and_nothing_else_does(tmp_path, one, other, together):
    share = None if other == "all" else Share.parse(other)
    stand(tmp_path, living(share=one), "all" if one == "all" else one.replace("/", "-of-"))
    if together:
        with held("slow", str(tmp_path), share):
            assert len(exclusive.names_in(str(tmp_path / "_running"))) == 2
    else:
        named = "`slow`" if one == "all" else f"`slow` --share {one}"
        with pytest.raises(UserError, match=f"{named}, process {os.getppid()} on .* is at work there"):
            held("slow", str(tmp_path), share).__enter__()
        assert len(exclusive.names_in(str(tmp_path / "_running"))) == 1


def test_a_run_of_all_parts_clears_away_what_killed_shares_left(tmp_path):
    for name in ("0-of-2", "1-of-2"):
        stand(tmp_path, holder(), name)
    with held("slow", str(tmp_path)):
        assert exclusive.names_in(str(tmp_path / "_running")) == ["all.json"]


def test_the_same_process_may_begin_again_within_its_own_run_and_after_it(tmp_path):
    out = str(tmp_path)
    with held("slow", out) as first:
        with held("slow", out + "/") as again:
            assert first == again
        assert (tmp_path / "_running" / "all.json").exists()
    assert not (tmp_path / "_running").exists()
    stand(tmp_path, holder(pid=os.getpid(), started=lease._started(os.getpid())))  # which it could not remove
    with held("slow", out):
        pass


def test_a_run_beats_and_what_it_writes_is_its_own(place, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_S", 0.02)
    with held("slow", place) as claim:
        wait_for(lambda: json.loads(exclusive.read(claim.path))["beats"] > 2)
        lease.require(place)


def test_a_run_that_was_taken_for_dead_notices_at_its_next_beat(place, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_S", 0.02)
    monkeypatch.setattr(lease, "_ASKED_EVERY_S", 1000.0)
    with held("slow", place) as claim:
        steal(claim, holder(host="node7"))
        wait_for(lambda: lease._HELD[claim.path]._taken)
        with pytest.raises(UserError, match=f"{place}: was taken over from this run, by `slow`, process 4194305 on node7"):
            lease.require(place)
    assert json.loads(exclusive.read(claim.path))["host"] == "node7"  # it does not remove another's


def steal(claim, thief):
    for _ in range(100):  # the owner may beat in between
        if exclusive.replace(claim.path, thief.record, seen=exclusive.read(claim.path)):
            return
    raise AssertionError


def stolen_in(config, part, folder):
    """A part during which another machine takes the folder over."""
    with folder.open(f"{part.name}.txt") as file:
        file.write(b"x")
    if part.name == "b":
        path = io.join(folder.folder, "_running", "all.json")
        assert exclusive.replace(path, holder(host="node7", machine="another").record, seen=exclusive.read(path))
    return PartReport(name=part.name, inputs=(InputReport(path=part.name),))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_taken_for_dead_settles_nothing_more(tmp_path, workers):
    out = str(tmp_path / "out")
    with pytest.raises(UserError, match="taken over from this run"):
        run_stage("slow", StageConfig(workers=workers), [Part(name=name) for name in "b"], stolen_in, out=out)
    assert not (tmp_path / "out" / "b.txt").exists()
    assert not (tmp_path / "out" / "_manifest.json").exists()


def test_stages_that_begin_by_themselves_refuse_too_and_clear_nothing_away(tmp_path):
    out = str(tmp_path / "out")
    stand(out, living())
    (tmp_path / "candidates").mkdir()
    for name in ("candidates/a.parquet", "out/00000.tar", "out/_config.json", "shards/00000.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    before = tree(out)
    np.save(tmp_path / "subset.npy", np.zeros(0, "u8,u8"))
    subset = str(tmp_path / "subset.npy")
    reshard = ReshardConfig(input_dir=str(tmp_path / "shards"), output_dir=out, subset_file=subset, overwrite=True)
    for run in (
        lambda: run_pool(PoolConfig(candidates=str(tmp_path / "candidates"), out=out)),
        lambda: run_rank(RankConfig(models=str(tmp_path), out=out)),
        lambda: run_reshard(reshard),
    ):
        with pytest.raises(UserError, match="is at work there; two runs cannot write one folder"):
            run()
    assert tree(out) == before


def test_a_lease_is_no_data_of_the_folder(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"rows")
    before = content_hash(str(tmp_path), io.sizes(str(tmp_path)))
    with held("slow", str(tmp_path)):
        assert content_hash(str(tmp_path), io.sizes(str(tmp_path))) == before
        assert io.expand((str(tmp_path),), (".json", ".parquet")) == [str(tmp_path / "a.parquet")]


class Unconditional(MemoryFileSystem):
    """A store that takes no conditions, as some that speak S3."""

    protocol = "unconditional"
    cachable = False

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value, mode="overwrite")


def test_where_a_store_takes_no_conditions_what_was_written_is_read_back(monkeypatch):
    fsspec.register_implementation("unconditional", Unconditional, clobber=True)
    path, waits = "unconditional://leases/out/_running/all.json", []
    monkeypatch.setattr(exclusive, "_SETTLED_AFTER_S", 0.0)
    assert exclusive.create(path, b"mine")
    monkeypatch.setattr(exclusive.time, "sleep", lambda s: waits.append(s) or Unconditional().pipe_file(path, b"faster"))
    assert not exclusive.take_over(path, b"late", seen=b"mine")
    assert not exclusive.create(path, b"mine again")
    assert exclusive.read(path) == b"faster"
    assert len(waits) == 2
