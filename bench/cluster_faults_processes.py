"""Drills of what dies, stalls or comes twice: executors, drivers, speculation's second copies. Each says what happened, in words.

A process is killed while tasks run, as Spark's own log and the store tell: never after a length of time.
"""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.cluster_faults_bed import STAGES, Bed, DrillError, ended, lasting, require, said
from bench.cluster_machines import Driver

_STARTED = re.compile(r"Starting task (\S+) in stage (\S+) \(TID (\d+)\) \([^,]+, ?executor (\d+),")
_ENDED = re.compile(r"(?:Finished|Lost) task \S+ in stage \S+ \(TID (\d+)\)")
_EAGER = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.multiplier": "1.1",
    "spark.speculation.quantile": "0.5",
    "spark.speculation.minTaskRuntime": "100ms",
}


def executor_killed(bed: Bed, stage: str) -> str:
    """SIGKILL an executor while it runs a task: Spark gives the task to another; the output is the undisturbed one."""
    tag = f"executor-killed-{stage}"
    with lasting(bed, stage, tag), bed.started(stage, tag) as driver:
        bed.wait(driver, lambda: ended(driver), "the first task's end")
        number = bed.wait(driver, lambda: next(iter(busy(driver)), None), "a running task")
        os.kill(executor(bed, number), signal.SIGKILL)
        bed.wait(driver, lambda: "Lost executor" in driver.logged(), "news that it is gone")
        bed.store.clear()
        bed.pace.delay_s = 0
        status = bed.finish(driver)
        lost = len(re.findall(r"Lost task ", driver.logged()))
        require(status == 0, f"status {status}: {said(driver)}")
    require(lost, "no task was lost: the executor was idle")
    bed.require_equal(stage, tag)
    return (
        f"{lost} task lost and done again elsewhere; status 0; output equal" if lost == 1 else f"{lost} tasks lost; output equal"
    )


def driver_killed(bed: Bed, stage: str) -> str:
    """SIGKILL the driver, JVM and Python, when a part stands; the same command then does the rest."""
    tag = f"driver-killed-{stage}"
    with lasting(bed, stage, tag), bed.started(stage, tag) as driver:
        bed.wait(driver, lambda: _parts(bed, tag, stage), "the first part")
        driver.kill()
        stood = _parts(bed, tag, stage)
    hidden = sum("_tmp." in path for path in bed.paths(tag, stage))
    require("_manifest.json" not in bed.paths(tag, stage), "killed, and yet complete")
    bed.complete(stage, tag)
    resumed = bed.manifest(tag, stage)["parts_resumed"]
    require(resumed >= len(stood), f"{len(stood)} parts stood, {resumed} were taken up")
    stood_of = f"{len(stood)} of {len(_parts(bed, tag, stage))} parts stood and {hidden} temporary files lay about"
    return f"{stood_of}; the same command took up {resumed}; output equal"


def two_drivers(bed: Bed, stage: str) -> str:
    """The same command again while it runs: the second refuses, and the first does not notice."""
    tag = f"two-drivers-{stage}"
    with lasting(bed, stage, tag), bed.started(stage, tag) as first:
        bed.wait(first, lambda: ended(first), "the first task's end")
        with _suspended(bed.cluster.executors()):  # else it would be done before the second has begun
            status, words = bed.run(stage, tag)
        require(status == 1 and "at work" in words, f"the second ended with {status}: {words}")
        bed.store.clear()
        bed.pace.delay_s = 0
        require(bed.finish(first) == 0, f"the first failed: {said(first)}")
    bed.require_equal(stage, tag)
    return f"the second ended with status 1 ({_short(words)}); the first: status 0, output equal"


def speculation(bed: Bed, stage: str) -> str:
    """An executor is suspended until Spark starts a second copy of its task, then goes on: both copies come to an end."""
    tag = f"speculation-{stage}"
    with lasting(bed, stage, tag), bed.started(stage, tag, conf=_EAGER) as driver:
        bed.wait(driver, lambda: ended(driver), "the first task's end")
        stalled = executor(bed, bed.wait(driver, lambda: next(iter(busy(driver)), None), "a running task"))
        with _suspended([stalled]):
            bed.store.clear()
            bed.pace.delay_s = 0
            bed.wait(driver, lambda: "as speculatable" in driver.logged(), "a task that Spark does twice")
        status = bed.finish(driver)
        copies = len(set(re.findall(r"Marking task (\d+)", driver.logged())))
        require(status == 0, f"status {status}: {said(driver)}")
    bed.require_equal(stage, tag)
    return f"{copies} task{'s' * (copies > 1)} done twice; status 0; output equal to that without speculation"


def drills() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(what goes wrong, function of this module, its arguments), in order."""
    for stage in STAGES:
        yield f"executor killed (-9) in {stage}", "executor_killed", (stage,)
    for stage in ("extract", "pool", "download", "score"):
        yield f"driver killed (-9) in {stage}", "driver_killed", (stage,)
    yield "two drivers on one output", "two_drivers", ("extract",)
    for stage in ("extract", "pool"):
        yield f"speculative execution in {stage}", "speculation", (stage,)


def busy(driver: Driver) -> list[str]:
    """Numbers of the executors that run a task now, in the driver's own words."""
    log = driver.logged()
    ended = set(_ENDED.findall(log))
    return [number for _, _, task, number in _STARTED.findall(log) if task not in ended]


def executor(bed: Bed, number: str) -> int:
    """The process of the executor with this number: that of the job that runs."""
    for pid in bed.cluster.executors():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        if words[words.index("--executor-id") + 1] == number:
            return pid
    raise DrillError(f"no process is executor {number}")


@contextmanager
def _suspended(processes: Sequence[int]) -> Iterator[None]:
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def _parts(bed: Bed, tag: str, stage: str) -> list[str]:
    return [path for path in bed.paths(tag, stage) if path.startswith("_parts/") and path.count("/") == 1 and "_tmp" not in path]


def _short(words: str) -> str:
    return words.partition("; two runs")[0].rpartition("s3://")[2]
