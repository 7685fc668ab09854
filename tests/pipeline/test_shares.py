"""Shares of a stage: which share a process has, and processes that do theirs at the same time in one folder."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shares import Share, asked_share, local_rank
from schemas.errors import UsageError

# A stage of 13 parts, a file or two each, that logs what it does. Its text differs from process to process where MARK is set.
STAGE = """
    import os, signal, sys, time
    from dataclasses import dataclass
    from pathlib import Path

    from pipeline.cli import finish
    from pipeline.manifest import InputReport, PartReport
    from pipeline.options import StageConfig, option
    from pipeline.shares import asked_share
    from pipeline.stage import Part, run_stage

    @dataclass(frozen=True, kw_only=True)
    class ShareConfig(StageConfig):
        out: str = option("folder")
        loud: int = option("how loud", 1)

    def work(config, part, folder):
        bad = os.environ.get("BAD") == part.name
        for ending in ("txt", "more.txt"):
            with folder.open(f"{part.name}.{ending}") as file:
                file.write(f"{part.name} {ending}".encode() * 100)
                file.flush()
                if os.environ.get("DIE") == part.name:
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(float(os.environ.get("SLOW", 0.002)))
        if bad:
            raise ValueError("bad")
        sys.stdout.write(f"did {part.name}\\n")  # one write: torchrun's processes are unbuffered and share the pipe
        sys.stdout.flush()
        status = "partial" if os.environ.get("HALF") == part.name else "ok"
        inputs = (InputReport(path="of " + part.name, rows=3, status=status),)
        return PartReport(name=part.name, counts={"rows_out": 3}, inputs=inputs)

    def run(out, share, **settings):
        config = ShareConfig(out=out, **settings)
        parts = [Part(name=f"{i:03d}", inputs=(f"of {i:03d}",)) for i in range(13)]
        manifest = run_stage("shared", config, parts, work, out=out, share=asked_share(share, os.environ))
        return finish(manifest, config)

    if __name__ == "__main__":
        loud = {"loud": int(os.environ["LOUD"])} if "LOUD" in os.environ else {}
        sys.exit(run(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "auto", **loud))
    """
LAUNCHERS = re.compile("SLURM|RANK|WORLD_SIZE|TORCHELASTIC")


@pytest.fixture
def stage(tmp_path):
    """A function: the command, output and environment of the stage's script, started on the folder `out`."""
    script = tmp_path / "shared_stage.py"
    script.write_text(textwrap.dedent(STAGE))
    clean = {name: value for name, value in os.environ.items() if not LAUNCHERS.search(name)}

    def start(out, share="all", **variables):
        command = [sys.executable, str(script), str(out), share]
        environment = clean | {name: str(value) for name, value in variables.items()}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def told(process):
    """Its exit status and all it said, at its end."""
    said = "\n".join(process.communicate(timeout=60))
    return process.returncode, said


def done(said):
    return sorted(re.findall(r"^did (\w+)$", said, re.MULTILINE))


def content(out):
    """Every file's bytes; of reports and the manifest what does not tell of times and memory."""
    found = {}
    for path in sorted(path for path in Path(out).rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".json" and path.name != "_config.json":
            varying = {"duration_s", "peak_rss_bytes", "started_at", "parts_resumed"}
            data = {name: value for name, value in json.loads(data).items() if name not in varying}
        found[str(path.relative_to(out))] = data
    return found


@pytest.fixture
def alone(stage, tmp_path):
    """The content of the folder when one process does all."""
    assert told(stage(tmp_path / "alone"))[0] == 0
    return content(tmp_path / "alone")


@given(parts=st.integers(0, 50), jobs=st.integers(1, 6), tasks=st.integers(1, 6))
def test_shares_within_shares_take_every_part_once_and_differ_by_one_part_at_most(parts, jobs, tasks):
    outer = [Share(index=index, count=jobs) for index in range(jobs)]
    taken = [Share(index=index, count=tasks).within(job).of(range(parts)) for job in outer for index in range(tasks)]
    assert sorted(part for share in taken for part in share) == list(range(parts))
    assert len({len(share) for share in taken}) <= 2
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


def test_a_share_is_written_as_index_and_count():
    assert Share.parse("3/8") == Share(index=3, count=8)
    assert str(Share(index=3, count=8)) == "3/8"


@pytest.mark.parametrize("text", ["8/8", "-1/8", "3", "3/", "/8", "0/0", "a/b", "1/2/3", "1.0/2", "², /3", ""])
def test_a_share_that_is_none_is_refused_with_what_to_give(text):
    with pytest.raises(UsageError, match=r"--share .*: (no such share; )?give "):
        asked_share(text, {})


def array(task, first, last, step, count):
    values = {"ID": task, "MIN": first, "MAX": last, "STEP": step, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


def srun(index, count):
    return {"SLURM_PROCID": str(index), "SLURM_STEP_NUM_TASKS": str(count), "SLURM_LOCALID": "1", "SLURM_NTASKS": str(count)}


def torchrun(index, count, run_id="none"):
    return {"RANK": str(index), "WORLD_SIZE": str(count), "LOCAL_RANK": "2", "TORCHELASTIC_RUN_ID": run_id}


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, None),
        (torchrun(3, 8), "3/8"),
        (torchrun(0, 1), None),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"RANK": "1", "WORLD_SIZE": "2"}, "1/2"),
        (array(3, 0, 7, 1, 8), "3/8"),
        (array(8, 1, 8, 1, 8), "7/8"),
        (array(9, 1, 13, 4, 4), "2/4"),
        (array(5, 5, 5, 1, 1), None),
        (srun(2, 4), "2/4"),
        ({"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4"}, None),  # a batch script, which runs once
        ({**array(2, 1, 3, 1, 3), **srun(1, 4)}, "5/12"),
        ({**array(2, 1, 3, 1, 3), **srun(0, 1)}, "1/3"),
        ({**array(2, 1, 3, 1, 3), **torchrun(3, 4)}, "7/12"),
        ({**srun(1, 2), **torchrun(5, 8)}, "5/8"),  # srun starts a torchrun per node, whose ranks are of the whole job
    ],
)
def test_the_share_is_what_the_launcher_says(environment, share):
    found = asked_share("auto", environment)
    assert (found and str(found)) == share
    assert asked_share("all", environment) is None
    assert str(asked_share("1/9", environment)) == "1/9"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (array(3, 0, 5, 1, 3), "not evenly spaced"),
        (array(5, 1, 9, 3, 3), "not evenly spaced"),
        ({**torchrun(3, 8), "RANK": "x"}, "RANK=x: a number is expected"),
        (torchrun(8, 8), "8 of 8 is no share"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_MIN=: a number is expected"),
    ],
)
def test_variables_that_make_no_sense_are_refused_with_the_way_out(environment, reason):
    with pytest.raises(UsageError, match=rf"{reason}.*give --share I/N"):
        asked_share("auto", environment)


def test_all_processes_of_an_array_with_srun_have_different_shares_that_make_up_the_whole():
    shares = [asked_share("auto", {**array(4 + 3 * job, 4, 10, 3, 3), **srun(task, 2)}) for job in range(3) for task in range(2)]
    assert sorted(share.index for share in shares) == list(range(6))
    assert {share.count for share in shares} == {6}


def test_the_local_rank_is_the_launchers():
    assert local_rank({}) is None
    assert local_rank({"SLURM_LOCALID": "0", "SLURM_PROCID": "0"}) is None
    assert local_rank(srun(5, 8)) == 1
    assert local_rank({**srun(5, 8), **torchrun(5, 8)}) == 2


def test_processes_at_the_same_time_leave_what_one_would(stage, alone, tmp_path):
    for number in range(3):
        out = tmp_path / f"out{number}"
        processes = [stage(out, f"{index}/4") for index in range(4)]
        answers = [told(process) for process in processes]
        assert [status for status, _ in answers] == [0] * 4, answers
        assert sorted(name for _, said in answers for name in done(said)) == [f"{i:03d}" for i in range(13)]
        assert content(out) == alone


def test_a_share_that_is_not_the_last_says_so_and_writes_no_manifest(stage, alone, tmp_path):
    out = tmp_path / "out"
    status, said = told(stage(out, "1/3"))
    assert status == 0
    assert "share 1/3 done: 4 parts; 9 parts of the folder are missing: the manifest is written when all shares are done" in said
    assert not (out / "_manifest.json").exists()
    told(stage(out, "0/3"))
    status, said = told(stage(out, "2/3"))  # the late one
    assert (status, "rows_out 39" in said, "share 2/3" in said) == (0, True, False)
    assert content(out) == alone


def test_a_share_with_nothing_to_do_leaves_the_manifest_as_it_is(stage, tmp_path):
    out = tmp_path / "out"
    told(stage(out))
    before = (out / "_manifest.json").stat()
    status, said = told(stage(out, "2/3"))
    assert (status, done(said), "rows_out 39" in said) == (0, [], True)
    after = (out / "_manifest.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_lost_manifest_is_written_again_by_any_share(stage, alone, tmp_path):
    out = tmp_path / "out"
    told(stage(out))
    (out / "_manifest.json").unlink()
    assert done(told(stage(out, "2/3"))[1]) == []
    assert content(out) == alone


def test_a_share_that_is_killed_and_run_again_does_what_is_missing_of_it_only(stage, alone, tmp_path):
    out = tmp_path / "out"
    killed, other = stage(out, "0/2", DIE="006"), stage(out, "1/2")
    assert told(killed)[0] == -signal.SIGKILL
    assert told(other)[0] == 0
    assert not (out / "_manifest.json").exists()
    assert list(out.glob("_tmp.006.*"))  # it is not for the other to sweep
    status, said = told(stage(out, "0/2"))
    assert (status, done(said)) == (0, ["006", "008", "010", "012"])
    assert content(out) == alone


def test_a_part_that_fails_keeps_the_manifest_away_until_a_run_of_all_parts(stage, alone, tmp_path):
    out = tmp_path / "out"
    status, said = told(stage(out, "0/2", BAD="004"))
    assert status == 1
    assert "share 0/2 done: 6 parts, 1 inputs failed; 7 parts of the folder are missing: when all shares have ended" in said
    assert "1 of 7 inputs failed" in said
    status, said = told(stage(out, "1/2"))
    assert (status, "1 parts of the folder are missing" in said) == (0, True)
    assert not (out / "_manifest.json").exists()
    status, said = told(stage(out))
    assert (status, done(said)) == (0, ["004"])
    assert content(out) == alone


def test_a_damaged_part_is_done_again_by_its_share_and_the_manifest_follows(stage, alone, tmp_path):
    out = tmp_path / "out"
    told(stage(out, HALF="003"))
    assert done(told(stage(out, "0/2"))[1]) == []
    slow = stage(out, "1/2", SLOW=1)
    assert not wait_for(lambda: not (out / "_manifest.json").exists())
    assert done(told(slow)[1]) == ["003"]
    assert content(out) == alone


def wait_for(holds, seconds=20):
    """Whether it still does not hold after that time."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not holds()


def test_another_config_in_a_share_is_refused_also_where_both_begin_at_once(stage, tmp_path):
    for number in range(4):
        out = tmp_path / f"out{number}"
        answers = [told(process) for process in (stage(out, "0/2", LOUD=1), stage(out, "1/2", LOUD=2))]
        refused = [said for status, said in answers if status]
        assert len(refused) == 1, answers
        assert "made with another configuration (loud: " in refused[0]


def test_one_share_given_twice_does_no_harm(stage, alone, tmp_path):
    for number in range(3):
        out = tmp_path / f"out{number}"
        for process in [stage(out, share) for share in ("0/2", "0/2", "1/2", "1/2")]:
            told(process)  # one may find its files gone, and say so
        for share in ("0/2", "1/2"):
            assert told(stage(out, share))[0] == 0
        assert content(out) == alone


@pytest.mark.usefixtures("stage")
def test_torchrun_starts_a_share_per_process(alone, tmp_path):
    out = tmp_path / "out"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    clean = {name: value for name, value in os.environ.items() if not LAUNCHERS.search(name)}
    ran = subprocess.run(
        [sys.executable, *launcher, str(tmp_path / "shared_stage.py"), str(out)],
        env={**clean, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert done(ran.stdout) == [f"{i:03d}" for i in range(13)]
    assert content(out) == alone


def test_a_slurm_array_of_srun_steps_does_all_parts_between_them(stage, alone, tmp_path):
    out = tmp_path / "out"
    tasks = [{**array(1 + job, 1, 2, 1, 2), **srun(task, 2)} for job in range(2) for task in range(2)]
    answers = [told(process) for process in [stage(out, "auto", **variables) for variables in tasks]]
    assert [status for status, _ in answers] == [0] * 4, answers
    assert content(out) == alone
