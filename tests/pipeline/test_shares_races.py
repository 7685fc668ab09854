"""Shares at the same instant: forked processes let go together, killed before any step, given twice; the folder ends well."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline import io
from pipeline.attempts import sweep_parts
from pipeline.manifest import PartReport
from pipeline.options import StageConfig
from pipeline.shares import Share, ShareManifest
from pipeline.stage import Part, run_stage

SCRIPT = """
    import os, signal, sys
    from multiprocessing import get_context

    from pipeline import io
    from pipeline.manifest import InputReport, PartReport
    from pipeline.options import StageConfig
    from pipeline.shares import Share
    from pipeline.stage import Part, run_stage

    NAMES = [f"{i}" for i in range(6)]
    FILES = ("tar", "parquet")

    def work(config, part, folder):
        for ending in FILES:
            with folder.open(f"{part.name}.{ending}") as file:
                file.write(part.name.encode() * 1000)
        return PartReport(name=part.name, counts={"rows_out": 1}, inputs=(InputReport(path=part.name),))

    def run(out, share):
        return run_stage("race", StageConfig(), [Part(name=n, inputs=(n,)) for n in NAMES], work, out=out, share=share)

    def forked(job):
        pid = os.fork()
        if pid:
            return pid
        try:
            sys.stderr = open(os.devnull, "w")
            job()
            os._exit(0)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)

    def statuses(pids):
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

    def require_whole(out):
        assert os.path.exists(f"{out}/_manifest.json"), os.listdir(out)
        seen = sorted(name for name in os.listdir(out) if not name.startswith(("_", ".")))
        assert seen == sorted(f"{name}.{ending}" for name in NAMES for ending in FILES), seen
        assert sorted(os.listdir(f"{out}/_parts")) == sorted(f"{name}.json" for name in NAMES), os.listdir(f"{out}/_parts")
        for name in seen:
            assert open(f"{out}/{name}").read() == name.split(".")[0] * 1000
        # A process that is killed while it writes one of the folder's own files leaves it to the next run of all parts.
        left = [name for name in os.listdir(out) if name.startswith("_tmp")]
        assert all(name.startswith(("_tmp._config.json.", "_tmp._manifest.json.")) for name in left), left

    def together(out, shares):
        gate = get_context("fork").Barrier(len(shares))
        return statuses([forked(lambda share=share: (gate.wait(), run(out, share))) for share in shares])

    def killed_before(at, out, share):
        def job():
            seen = 0
            def counted(step):
                def doing(*arguments, **more):
                    nonlocal seen
                    if seen == at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    seen += 1
                    return step(*arguments, **more)
                return doing
            io.move, io.remove, io.open_write = counted(io.move), counted(io.remove), counted(io.open_write)
            run(out, share)
        return statuses([forked(job)]) == [-signal.SIGKILL]

    def same_instant(root):
        shares = [Share(index=i, count=8) for i in range(8)]
        for number in range(40):
            out = f"{root}/{number}"
            assert together(out, shares) == [0] * 8
            require_whole(out)

    def killed(root):
        at, died = 0, True
        mine, other = Share(index=0, count=2), Share(index=1, count=2)
        while died:
            out = f"{root}/{at}"
            died = killed_before(at, out, mine)
            if at % 2:
                run(out, other)
                run(out, mine)
            else:  # the other is at work while the first is started again
                assert together(out, [mine, other]) == [0, 0]
            require_whole(out)
            at += 1
        print("steps", at)

    def twice(root):
        shares = [Share(index=i % 2, count=2) for i in range(6)]
        for number in range(25):
            out = f"{root}/{number}"
            together(out, shares)  # some may find that their files are gone
            for share in shares[:2]:
                run(out, share)
            require_whole(out)

    globals()[sys.argv[1]](sys.argv[2])
    """


@pytest.mark.parametrize("scene", ["same_instant", "killed", "twice"])
def test_whatever_happens_at_the_same_instant_the_folder_is_whole_in_the_end(tmp_path, scene):
    script = tmp_path / "races.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), scene, str(tmp_path / "runs")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    if scene == "killed":
        assert int(ran.stdout.split("steps ")[1]) > 20


def put_one(config, part, folder):
    with folder.open(f"{part.name}.txt") as file:
        file.write(b"1")
    return PartReport(name=part.name, counts={"rows_out": 1})


def put_two(config, part, folder):
    for ending in ("txt", "more"):
        with folder.open(f"{part.name}.{ending}") as file:
            file.write(b"2")
    return PartReport(name=part.name, counts={"rows_out": 2})


@pytest.mark.parametrize("workers", [1, 2])
def test_shares_write_an_object_store_and_may_have_workers(tmp_path, workers):
    out = "memory://shares/out" if workers == 1 else str(tmp_path / "out")  # that store is of one process
    parts = [Part(name=name) for name in "abcde"]

    def run_share(index):
        config = StageConfig(workers=workers)
        return run_stage("put", config, parts, put_one, out=out, share=Share(index=index, count=2))

    first = run_share(1)
    assert isinstance(first, ShareManifest)
    assert (first.parts, first.parts_missing) == (("b", "d"), 3)
    assert not io.exists(f"{out}/_manifest.json")
    whole = run_share(0)
    assert not isinstance(whole, ShareManifest)
    assert whole.parts == tuple("abcde")
    assert io.exists(f"{out}/_manifest.json")


def test_parts_of_other_shares_that_are_to_be_done_again_do_not_stand_yet(tmp_path):
    out, parts = str(tmp_path / "out"), [Part(name=name) for name in "abcd"]
    run_stage("put", StageConfig(), parts, put_one, out=out)

    def run_share(index):
        share = Share(index=index, count=2)
        return run_stage("put", StageConfig(), parts, put_two, out=out, share=share, again=lambda report: len(report.files) < 2)

    assert isinstance(run_share(0), ShareManifest)
    assert not (tmp_path / "out" / "_manifest.json").exists()
    assert run_share(1).counts == {"rows_out": 8}
    assert (tmp_path / "out" / "_manifest.json").exists()


def test_of_temporary_files_only_those_of_the_parts_named_are_swept(tmp_path):
    files = ["a.txt", "a.b.txt", "a.b", "ab.txt", "c.json", "_config.json"]
    for name in files:
        Path(io.temporary_name(str(tmp_path / name))).touch()
    (tmp_path / "a.txt").touch()
    sweep_parts(str(tmp_path), {"a", "c"}, of={"a", "a.b", "ab", "c"})
    left = sorted(path.name.removeprefix("_tmp.").rpartition(".")[0] for path in tmp_path.iterdir() if path.name[0] == "_")
    assert left == sorted(["a.b.txt", "a.b", "ab.txt", "_config.json"])
    assert (tmp_path / "a.txt").exists()
