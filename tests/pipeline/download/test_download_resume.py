"""A download that is killed and run again: every row once, every success once, nothing that was done is fetched again."""

import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pyarrow.parquet as pq

ROWS, PER_SHARD = 60, 10


def test_a_killed_download_is_completed_by_running_it_again(tmp_path, web, make):
    bodies = [make.picture(80, 60, seed) for seed in range(4)]
    urls = [web.answer(f"/{n}.jpg", _slowly(make, bodies[n % 4])) for n in range(ROWS)]
    urls[::7] = [web.url("/missing.jpg")] * len(urls[::7])
    pool = make.pool(tmp_path / "pool", [(url, f"text {n}") for n, url in enumerate(urls)], files=3)
    out = tmp_path / "out"

    first = _start(pool, out)
    _wait_until(lambda: len(list(out.glob("_parts/*.json"))) >= 2, first)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = {path.stem for path in out.glob("_parts/*.json")}
    assert 2 <= len(done) < ROWS // PER_SHARD
    # As a crash between writing and renaming would leave it.
    (out / "_tmp.00005.parquet.0123abcd").write_bytes(b"half a file")
    fetched = web.requests.copy()

    assert _start(pool, out).wait(timeout=60) == 0
    rows = [row for path in sorted(out.glob("[0-9]*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["uid"] for row in rows] == [make.uid(url, f"text {n}") for n, url in enumerate(urls)]
    stored = [name for path in sorted(out.glob("*.tar")) for name in _names(path)]
    successes = [row["key"] for row in rows if row["status"] == "success"]
    assert stored == [f"{key}.{kind}" for key in successes for kind in ("jpg", "json", "txt")]
    assert len(successes) == ROWS - len(urls[::7])
    for number, url in enumerate(urls):
        path = "/" + url.rsplit("/", 1)[1]
        if f"{number // PER_SHARD:05d}" in done and path != "/missing.jpg":
            assert web.requests[path] == fetched[path] == 1


def test_a_worker_that_is_killed_costs_nothing_but_time(tmp_path, web, make):
    body = make.picture(80, 60)
    urls = [web.answer(f"/{n}.jpg", _slowly(make, body)) for n in range(ROWS)]
    pool, out = make.pool(tmp_path / "pool", [(url, f"text {n}") for n, url in enumerate(urls)]), tmp_path / "out"
    running = _start(pool, out, "--workers", "2")
    _wait_until(lambda: len(list(out.glob("_parts/*.json"))) >= 1, running)
    os.kill(_workers(running.pid)[0], signal.SIGKILL)  # as the kernel does where memory is short
    assert running.wait(timeout=60) == 0
    rows = [row for path in sorted(out.glob("[0-9]*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["status"] for row in rows] == ["success"] * ROWS
    assert not list(out.glob("_tmp*"))


def _workers(command: int) -> list[int]:
    """The processes of a command's session that neither are it nor its own children: those forked by its server."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parent, session = int(fields[1]), int(fields[3])
        if session == command and parent != command and int(stat.parent.name) != command:
            found.append(int(stat.parent.name))
    return sorted(found)


def _slowly(make, body):
    def answer(handler):
        time.sleep(0.05)
        make.send(handler, body)

    return answer


def _start(pool: Path, out: Path, *more: str) -> subprocess.Popen:
    common = ["--pool", pool, "--out", out, "--allow-private-addresses"]
    options = [*common, "--samples-per-shard", PER_SHARD, "--concurrency", 2, *more]
    words = [sys.executable, "-m", "pipeline.cli", "download", *map(str, options)]
    return subprocess.Popen(words, cwd=Path(__file__).parents[3], start_new_session=True)


def _wait_until(reached, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert process.poll() is None, "the download ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()
