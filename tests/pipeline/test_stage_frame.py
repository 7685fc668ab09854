"""The stage frame: parts done once, whole or not at all, accounted for, resumed after any death."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.manifest import InputReport, PartReport
from pipeline.options import StageConfig, option
from pipeline.stage import Part, require_complete, run_stage
from schemas.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EchoConfig(StageConfig):
    out: str = option("folder")
    shout: int = option("how loud", 1)


def echo(config, part, folder):
    text = Path(part.inputs[0]).read_text()
    with folder.open(f"{part.name}.txt") as file:
        file.write((text * config.shout).encode())
    if text == "bad":
        raise ValueError("cannot echo bad")
    return PartReport(name=part.name, counts={"rows_out": 1}, inputs=(InputReport(path=part.inputs[0], rows=1),))


def parts_of(folder: Path, **texts: str) -> list[Part]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [Part(name=name, inputs=(str(folder / name),)) for name in texts]


def run(tmp_path: Path, parts: list[Part], **settings):
    return run_stage("echo", EchoConfig(out=str(tmp_path / "out"), **settings), parts, echo, out=str(tmp_path / "out"))


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("_"))


def test_every_part_is_written_and_counted(tmp_path):
    manifest = run(tmp_path, parts_of(tmp_path / "in", a="x", b="y"))
    assert visible(tmp_path / "out") == ["a.txt", "b.txt"]
    assert manifest.counts == {"rows_out": 2}
    assert [i.status for i in manifest.inputs] == ["ok", "ok"]
    assert manifest.peak_rss_bytes > 1_000_000


def test_worker_processes_give_the_same_as_one(tmp_path):
    parts = parts_of(tmp_path / "in", a="x", b="y", c="z")
    manifest = run(tmp_path, parts, workers=2)
    assert manifest.counts == {"rows_out": 3}
    assert (tmp_path / "out/c.txt").read_text() == "z"


def test_a_rerun_does_only_what_is_missing(tmp_path):
    parts = parts_of(tmp_path / "in", a="x", b="y")
    run(tmp_path, parts)
    (tmp_path / "in/a").write_text("changed, and not read again")
    (tmp_path / "out/b.txt").unlink()
    manifest = run(tmp_path, parts)
    assert manifest.parts_resumed == 1
    assert (tmp_path / "out/a.txt").read_text() == "x"
    assert (tmp_path / "out/b.txt").read_text() == "y"


def test_a_bad_part_costs_itself_only_leaves_nothing_and_is_tried_again(tmp_path):
    parts = parts_of(tmp_path / "in", a="bad", b="y")
    manifest = run(tmp_path, parts)
    assert visible(tmp_path / "out") == ["b.txt"]
    assert list((tmp_path / "out").glob("_tmp*")) == []
    assert [(i.status, i.error) for i in manifest.failed_inputs] == [("failed", "ValueError: cannot echo bad")]
    (tmp_path / "in/a").write_text("good")
    assert run(tmp_path, parts).failed_inputs == []


def test_another_config_in_the_same_folder_is_refused_by_name(tmp_path):
    parts = parts_of(tmp_path / "in", a="x")
    run(tmp_path, parts)
    with pytest.raises(UserError, match="shout: 1 there, 2 now"):
        run(tmp_path, parts, shout=2)


def test_the_number_of_workers_is_not_part_of_the_config(tmp_path):
    parts = parts_of(tmp_path / "in", a="x")
    run(tmp_path, parts)
    assert run(tmp_path, parts, workers=2).parts_resumed == 1


def test_an_unfinished_folder_is_not_taken_for_whole(tmp_path):
    parts = parts_of(tmp_path / "in", a="x")
    run(tmp_path, parts)
    (tmp_path / "out/_manifest.json").unlink()
    with pytest.raises(UserError, match="`echo` has not finished there"):
        require_complete(str(tmp_path / "out"))


def test_a_changed_upstream_is_refused(tmp_path):
    upstream = tmp_path / "up"
    run_stage("echo", EchoConfig(out=str(upstream)), [], echo, out=str(upstream))
    down = EchoConfig(out=str(tmp_path / "down"))
    run_stage("echo", down, [], echo, out=down.out, upstream=[str(upstream)])
    record = json.loads((upstream / "_manifest.json").read_text())
    (upstream / "_manifest.json").write_text(json.dumps({**record, "config_hash": "other"}))
    with pytest.raises(UserError, match="upstream"):
        run_stage("echo", down, [], echo, out=down.out, upstream=[str(upstream)])


def test_an_upstream_that_got_another_file_is_refused(tmp_path):
    upstream, down = tmp_path / "up", EchoConfig(out=str(tmp_path / "down"))
    parts = parts_of(tmp_path / "in", a="x")
    run_stage("echo", EchoConfig(out=str(upstream)), parts, echo, out=str(upstream))
    run_stage("echo", down, [], echo, out=down.out, upstream=[str(upstream)])
    run_stage("echo", down, [], echo, out=down.out, upstream=[str(upstream)])
    more = parts + parts_of(tmp_path / "in", b="y")
    run_stage("echo", EchoConfig(out=str(upstream)), more, echo, out=str(upstream))
    with pytest.raises(UserError, match="upstream"):
        run_stage("echo", down, [], echo, out=down.out, upstream=[str(upstream)])


def test_a_foreign_upstream_that_changed_is_refused(tmp_path):
    foreign, down = tmp_path / "foreign", EchoConfig(out=str(tmp_path / "down"))
    parts_of(foreign, a="x")
    run_stage("echo", down, [], echo, out=down.out, upstream=[str(foreign)])
    parts_of(foreign, a="xx")
    with pytest.raises(UserError, match="upstream"):
        run_stage("echo", down, [], echo, out=down.out, upstream=[str(foreign)])


def half(config, part, folder):
    text = Path(part.inputs[0]).read_text()
    with folder.open(f"{part.name}.txt") as file:
        file.write(text.encode())
    status = "partial" if text.startswith("half") else "ok"
    return PartReport(name=part.name, counts={"rows_out": len(text)}, inputs=(InputReport(path=part.inputs[0], status=status),))


def test_a_part_of_a_damaged_input_is_done_again_when_the_input_is_mended(tmp_path):
    config, parts = EchoConfig(out=str(tmp_path / "out")), parts_of(tmp_path / "in", a="half", b="whole")
    assert len(run_stage("half", config, parts, half, out=config.out).partial_inputs) == 1
    parts_of(tmp_path / "in", a="mended", b="not read again")
    manifest = run_stage("half", config, parts, half, out=config.out)
    assert manifest.partial_inputs == []
    assert (tmp_path / "out/a.txt").read_text() == "mended"
    assert (tmp_path / "out/b.txt").read_text() == "whole"


def add_one(config, part, folder):
    """What stands of the part, and a 1 more."""
    path = Path(config.out, f"{part.name}.txt")
    text = path.read_text() if path.exists() else ""
    if len(text) == 2:
        raise ValueError("enough")
    with folder.open(path.name) as file:
        file.write((text + "1").encode())
    return PartReport(name=part.name, counts={"rows_out": len(text) + 1})


def test_a_part_done_again_may_read_what_stands_of_it_and_where_that_fails_it_stands_still(tmp_path):
    config, parts, out = EchoConfig(out=str(tmp_path / "out")), [Part(name="a"), Part(name="b")], str(tmp_path / "out")

    def run_again():
        return run_stage("add", config, parts, add_one, out=out, again=lambda report: report.name == "a").counts

    assert run_again() == {"rows_out": 2}
    assert run_again() == {"rows_out": 3}
    assert run_again() == {"failed_parts": 1, "rows_out": 1}
    assert [(tmp_path / "out" / f"{name}.txt").read_text() for name in "ab"] == ["11", "1"]
    assert run_stage("add", config, parts, add_one, out=out).counts == {"rows_out": 3}


def deadly(config, part, folder):
    if part.name == "c":
        os.kill(os.getpid(), signal.SIGSEGV)
    return echo(config, part, folder)


def test_an_input_that_kills_its_worker_is_named_and_costs_no_other(tmp_path):
    config, parts = EchoConfig(out=str(tmp_path / "out"), workers=2), parts_of(tmp_path / "in", a="1", b="2", c="3", d="4", e="5")
    manifest = run_stage("deadly", config, parts, deadly, out=config.out)
    assert [Path(i.path).name for i in manifest.failed_inputs] == ["c"]
    assert "worker process died" in manifest.failed_inputs[0].error
    assert manifest.counts == {"failed_parts": 1, "rows_out": 4}


def test_with_one_worker_a_crash_costs_its_part_where_the_stage_asks_for_a_worker(tmp_path):
    config, parts = EchoConfig(out=str(tmp_path / "out")), parts_of(tmp_path / "in", b="2", c="3", d="4")
    manifest = run_stage("deadly", config, parts, deadly, out=config.out, ready="json")
    assert [Path(i.path).name for i in manifest.failed_inputs] == ["c"]
    assert visible(tmp_path / "out") == ["b.txt", "d.txt"]


def test_facts_of_the_whole_run_are_made_of_all_reports_also_of_those_of_earlier_runs(tmp_path):
    config, parts = EchoConfig(out=str(tmp_path / "out")), parts_of(tmp_path / "in", a="1", b="2")

    def facts(reports):
        return {"names": [report.name for report in reports]}

    run_stage("echo", config, parts[:1], echo, out=config.out)
    assert run_stage("echo", config, parts, echo, out=config.out, facts=facts).facts == {"names": ["a", "b"]}


def test_kill_minus_nine_between_parts_loses_nothing_and_repeats_nothing(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            from dataclasses import dataclass
            from pipeline.manifest import PartReport
            from pipeline.options import StageConfig, option
            from pipeline.stage import Part, run_stage

            @dataclass(frozen=True, kw_only=True)
            class LogConfig(StageConfig):
                out: str = option("folder")

            def work(config, part, folder):
                with folder.open(part.name + ".txt") as file:
                    file.write(b"half")
                    file.flush()
                    if part.name == "b" and sys.argv[2] == "die":
                        os.kill(os.getpid(), signal.SIGKILL)
                    file.write(b" whole")
                print("did", part.name, flush=True)
                return PartReport(name=part.name, counts={"rows_out": 1})

            out = sys.argv[1]
            manifest = run_stage("log", LogConfig(out=out), [Part(name=n) for n in "abc"], work, out=out)
            print("total", manifest.counts["rows_out"])
            """
        )
    )
    out = tmp_path / "out"
    died = subprocess.run([sys.executable, str(script), str(out), "die"], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL
    assert visible(out) == ["a.txt"]
    again = subprocess.run([sys.executable, str(script), str(out), "live"], capture_output=True, text=True, check=True)
    assert list(out.glob("_tmp*")) == []
    assert again.stdout.split("\n")[:3] == ["did b", "did c", "total 3"]
    assert {(out / f"{n}.txt").read_text() for n in "abc"} == {"half whole"}
