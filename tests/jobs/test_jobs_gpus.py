"""Spark's GPU scheduling as jobs/conf/gpu.conf sets it up: a real cluster of two executors whose worker names two GPUs."""

import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = """
    import os, sys, time
    from dataclasses import dataclass

    from pipeline.devices import device_for, spark_gpu_address
    from pipeline.manifest import PartReport
    from pipeline.options import StageConfig, option
    from pipeline.stage import Part, run_stage

    @dataclass(frozen=True, kw_only=True)
    class TellConfig(StageConfig):
        out: str = option("folder")

    loads = 0

    def model():
        global loads
        loads += 1
        return loads

    def tell(config, part, folder):
        import gpu_script  # as a stage's own module: what it holds stays in this process from task to task

        if not gpu_script.loads:
            gpu_script.model()
        time.sleep(0.3)
        address = spark_gpu_address()
        device = device_for("auto", gpus=2, address=address)
        facts = {"device": device, "process": os.getpid(), "loads": gpu_script.loads, "at": [time.time() - 0.3, time.time()]}
        facts["threads"] = os.environ["OMP_NUM_THREADS"]
        return PartReport(name=part.name, counts={"rows_out": 1}, facts=facts)

    if __name__ == "__main__":
        from pipeline.spark import local_session
        import gpu_script

        spark = local_session("gpus", master="local-cluster[1,8,1024]", memory="512m")
        parts = [Part(name=f"{i:03d}") for i in range(12)]
        manifest = run_stage("tell", gpu_script.TellConfig(out=sys.argv[1]), parts, gpu_script.tell, out=sys.argv[1], spark=spark)
        print("parts", len(manifest.parts), "driver", spark_gpu_address(), flush=True)
        spark.stop()
    """


def settings_of(name):
    """The settings of a file in jobs/conf, the commented ones too."""
    lines = (REPOSITORY / "jobs" / "conf" / name).read_text().splitlines()
    return dict(line.lstrip("# ").split(maxsplit=1) for line in lines if re.match(r"(# )?spark\.\S+ +\S+$", line))


@pytest.fixture
def told(tmp_path):
    """The facts that a dozen tasks told of themselves, on a cluster of one machine with two GPUs."""
    (tmp_path / "gpu_script.py").write_text(textwrap.dedent(SCRIPT))
    discovery = tmp_path / "gpus.sh"
    discovery.write_text(f"#!/bin/sh\necho '{json.dumps({'name': 'gpu', 'addresses': ['0', '1']})}'\n")
    discovery.chmod(0o755)
    # The machine and its size are this test's; how a task gets its GPU is the file's.
    machine = {
        "spark.worker.resource.gpu.amount": "2",
        "spark.worker.resource.gpu.discoveryScript": str(discovery),
        "spark.executor.cores": "4",
        "spark.task.cpus": "4",
        "spark.executor.memory": "512m",
        "spark.executor.memoryOverhead": "0",
    }
    conf = {**settings_of("gpu.conf"), **machine}
    conf.pop("spark.executor.resource.gpu.discoveryScript")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in conf.items()))
    environment = {
        **os.environ,
        "SPARK_CONF_DIR": str(tmp_path / "conf"),
        "PYTHONPATH": f"{REPOSITORY}:{tmp_path}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(tmp_path / "gpu_script.py"), str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "parts 12 driver None" in done.stdout
    return list(json.loads((tmp_path / "out" / "_manifest.json").read_bytes())["facts"].values())


@pytest.mark.slow
def test_each_task_has_a_gpu_of_its_own_and_each_process_keeps_its_gpu_and_its_model(told):
    assert {facts["device"] for facts in told} == {"cuda:0", "cuda:1"}
    assert len({facts["process"] for facts in told}) == 2
    assert len({(facts["process"], facts["device"]) for facts in told}) == 2
    assert {facts["loads"] for facts in told} == {1}
    assert {facts["threads"] for facts in told} == {"4"}
    for device in ("cuda:0", "cuda:1"):
        times = sorted(facts["at"] for facts in told if facts["device"] == device)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(times))
