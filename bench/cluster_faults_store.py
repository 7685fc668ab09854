"""Drills of storage: an object store that is ill for a while or for long, an input that vanishes, disks that are full."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from bench.cluster_faults_bed import BUCKET, WATS, Bed, ended, lasting, require, said
from bench.cluster_store import Kind

_ILL_S = 15.0  # less than the 44 s that requests are repeated for
_FULL_BYTES = 65_536
_ROOM = "size=64m"
# As jobs/conf/shuffle.conf has them: a machine on which tasks fail is left alone.
_LENIENT = {"spark.task.maxFailures": "8", "spark.excludeOnFailure.enabled": "true"}


def store_ill(bed: Bed, stage: str, kind: str) -> str:
    """For 15 s from the first task's end on, requests go wrong: the job waits, and loses nothing."""
    tag = f"store-{kind}-{stage}"
    before = bed.store.counts().get(f"faults_{kind}", 0)
    with lasting(bed, stage, tag), bed.started(stage, tag) as driver:
        bed.wait(driver, lambda: ended(driver), "the first task's end")
        bed.store.fault(cast(Kind, kind), for_s=_ILL_S, share=0.3 if kind == "cut" else 1.0, delay_s=1.0)
        began = time.monotonic()
        status = bed.finish(driver)
        took_s = time.monotonic() - began
        require(status == 0, f"status {status}: {said(driver)}")
        lost = driver.logged().count("Lost task ")
    hit = bed.store.counts().get(f"faults_{kind}", 0) - before
    require(hit, "no request met the fault")
    bed.require_equal(stage, tag)
    return f"{hit} requests hit; {lost} tasks lost; status 0, {took_s:.0f} s after the fault began; output equal"


def store_down(bed: Bed, stage: str, kind: str) -> str:
    """It does not recover: the job ends with status 1 and says why; when the store is well, the same command goes on."""
    tag = f"store-gone-{stage}"
    with lasting(bed, stage, tag), bed.started(stage, tag, env={"AWS_MAX_ATTEMPTS": "4"}) as driver:
        bed.wait(driver, lambda: ended(driver), "the first task's end")
        bed.store.fault(cast(Kind, kind))
        began = time.monotonic()
        status = bed.finish(driver)
        took_s = time.monotonic() - began
        words = said(driver)
    bed.store.clear()
    require(status == 1, f"status {status}: {words}")
    require("_manifest.json" not in bed.paths(tag, stage), "failed, and yet complete")
    bed.complete(stage, tag)
    resumed = bed.manifest(tag, stage)["parts_resumed"]
    return f"status 1 after {took_s:.0f} s (“{words}”); later the same command took up {resumed} parts; output equal"


def wat_vanishes(bed: Bed) -> str:
    """A WAT is deleted after the job has listed it: the others are done, it is named, --tolerate-failed decides the status."""
    tag = "wat-vanishes"
    wat = sorted(bed.files.ls(f"{BUCKET}/wat", detail=False))[-1]
    content, name = bed.files.cat_file(wat), wat.rpartition("/")[2]
    with lasting(bed, "extract", tag), bed.started("extract", tag) as driver:
        bed.wait(driver, lambda: "Starting task" in driver.logged(), "the first task")
        bed.files.rm_file(wat)
        bed.store.clear()
        status, words = bed.finish(driver), said(driver)
    try:
        failed = [report["path"] for report in bed.manifest(tag, "extract")["inputs"] if report["status"] == "failed"]
        require(status == 1, f"status {status}: {words}")
        require([path.rpartition("/")[2] for path in failed] == [name], f"named as failed: {failed}")
        stands = sum(path.endswith(".parquet") for path in bed.paths(tag, "extract"))
        require(stands == WATS - 1, f"{stands} of the other {WATS - 1} WATs stand")
    finally:
        bed.files.pipe_file(wat, content)
    bed.complete("extract", tag)
    require(bed.manifest(tag, "extract")["parts_resumed"] == WATS - 1, "others were done again")
    return f"status 1, named in the manifest, {stands} others done; put back, the same command did it alone; output equal"


def scratch_full(bed: Bed, stage: str) -> str:
    """One worker's scratch disk (a tmpfs) is full when the job begins there: its tasks are done by the other."""
    tag = f"scratch-full-{stage}"
    scratch = bed.cluster.workers[0].folder / "tmp"
    with _tmpfs(scratch, "size=1m"):
        _fill(scratch)
        status, words = bed.run(stage, tag, conf=_LENIENT)
        if status == 0:
            bed.require_equal(stage, tag)
            return "the other worker did its tasks; status 0; output equal"
        require(status == 1 and "webpairs" in words, f"status {status}: {words}")
    bed.complete(stage, tag)
    return f"status 1 (“{words}”); with room again the same command completed it; output equal"


def output_full(bed: Bed) -> str:
    """A local --out runs full in the middle: status 1, said which file; with room, the same command goes on."""
    tag, out = "output-full", bed.folder / "output-full"
    with _tmpfs(out, f"size={_FULL_BYTES}"):
        status, words = bed.run("extract", tag, "--out", str(out))
        require(status == 1 and "make room" in words, f"status {status}: {words}")
        require(not (out / "_manifest.json").exists(), "failed, and yet complete")
        stood = len(list((out / "_parts").glob("*.json")))
        subprocess.run(["mount", "-o", f"remount,{_ROOM}", str(out)], check=True)
        again, last = bed.run("extract", tag, "--out", str(out))
        require(again == 0, f"with room: status {again}: {last}")
        bed.files.put(str(out) + "/", bed.place(tag, "extract").removeprefix("s3://") + "/", recursive=True)
    bed.require_equal("extract", tag)
    resumed = bed.manifest(tag, "extract")["parts_resumed"]
    require(resumed >= stood, f"{stood} parts stood, {resumed} were taken up")
    return f"status 1 (“{words}”), {stood} parts stood; with room the same command took up {resumed}; output equal"


def drills() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(what goes wrong, function of this module, its arguments), in order."""
    yield "store answers 500 for 15 s", "store_ill", ("extract", "500")
    yield "store answers 503 SlowDown for 15 s", "store_ill", ("download", "503")
    yield "store hangs up for 15 s", "store_ill", ("score", "down")
    yield "store is slow for 15 s (2 s an answer)", "store_ill", ("extract", "slow")
    yield "store breaks off 30 % of bodies for 15 s", "store_ill", ("pool", "cut")
    yield "store answers 503 for longer than requests are repeated", "store_down", ("extract", "503")
    yield "a WAT vanishes between listing and reading", "wat_vanishes", ()
    yield "a worker's scratch disk is full", "scratch_full", ("pool",)
    yield "the output folder is full", "output_full", ()


@contextmanager
def _tmpfs(folder: Path, options: str) -> Iterator[None]:
    """A small disk of memory at `folder` for the block. Needs root."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(folder: Path) -> None:
    """Leave no byte of room."""
    with (folder / "filler").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                return
