"""A stage on executors of their own: one is killed, one is only thought lost; each part's files are of one attempt."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = """
    import os, secrets, signal, sys, time
    from dataclasses import dataclass
    from pathlib import Path

    from pipeline.manifest import PartReport
    from pipeline.options import StageConfig, option
    from pipeline.stage import Part, run_stage

    @dataclass(frozen=True, kw_only=True)
    class MarkConfig(StageConfig):
        out: str = option("folder")
        marks: str = option("folder in which every attempt leaves its mark", affects_output=False)

    def parent_of(pid):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    def write_mark(config, part, folder):
        mark = secrets.token_hex(8)
        is_first = not list(Path(config.marks).glob(f"{part.name}.*"))
        Path(config.marks, f"{part.name}.{mark}").touch()
        for name in ("tar", "parquet", "json"):
            with folder.open(f"{part.name}.{name}") as file:
                file.write(mark.encode())
            executor = parent_of(os.getppid())  # of the worker's daemon
            if is_first and part.name == "deadly":
                os.kill(executor, signal.SIGKILL)
            if is_first and part.name == "cut off" and name == "tar":
                os.kill(executor, signal.SIGSTOP)  # the driver hears no more of it, and this process goes on
            time.sleep(2.2 if part.name == "cut off" else 0.02)
        Path(config.marks, f"{part.name}.{mark}").write_text("done")
        return PartReport(name=part.name, counts={"rows_out": 1}, facts={"mark": mark})

    if __name__ == "__main__":
        from pyspark import SparkConf, SparkContext
        from pyspark.sql import SparkSession
        from pipeline.spark import local_session
        import stage_script

        out, marks = sys.argv[1:]
        spark = local_session("lost", master="local-cluster[2,1,512]", memory="512m")
        names = ["deadly", "cut off", *(f"{i:05d}" for i in range(10))]
        config = stage_script.MarkConfig(out=out, marks=marks)
        manifest = run_stage("mark", config, [Part(name=n) for n in names], stage_script.write_mark, out=out, spark=spark)
        print("parts", len(manifest.parts), "failed", len(manifest.failed_inputs), flush=True)
        spark.stop()
    """

SETTINGS = """
    spark.executor.heartbeatInterval 500ms
    spark.network.timeout 3s
    spark.network.timeoutInterval 500ms
    spark.rpc.askTimeout 60s
    spark.rpc.lookupTimeout 60s
    spark.storage.blockManagerHeartbeatTimeoutMs 3000
    spark.executor.memory 512m
    """
FILES = ("tar", "parquet", "json")


@pytest.fixture
def ran(tmp_path):
    """A folder of twelve parts made on two executors, of which one was killed and one stopped; and the folder of marks."""
    (tmp_path / "stage_script.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(textwrap.dedent(SETTINGS))
    out, marks = tmp_path / "out", tmp_path / "marks"
    marks.mkdir()
    environment = {
        **os.environ,
        "SPARK_CONF_DIR": str(tmp_path / "conf"),
        "PYTHONPATH": f"{REPOSITORY}:{tmp_path}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(tmp_path / "stage_script.py"), str(out), str(marks)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "parts 12 failed 0" in done.stdout
    return out, marks


@pytest.mark.slow
def test_a_killed_executor_and_one_that_is_thought_lost_leave_each_part_once_and_of_one_attempt(ran):
    out, marks = ran
    reports = {path.stem: json.loads(path.read_bytes()) for path in (out / "_parts").glob("*.json")}
    assert len(reports) == 12
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith("_")) == sorted(
        f"{name}.{ending}" for name in reports for ending in FILES
    )
    for name, report in reports.items():
        assert {(out / f"{name}.{ending}").read_text() for ending in FILES} == {report["facts"]["mark"]}
    assert not list(out.rglob("_tmp*"))
    assert not list(out.rglob("*.chosen"))
    assert len(list(marks.glob("deadly.*"))) == 2
    # The first attempt went on without its executor and came to its end, beside the second.
    assert [path.read_text() for path in marks.glob("cut off.*")] == ["done", "done"]
