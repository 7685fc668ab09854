"""Fixtures that several folders of tests share."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# The same examples at every run; no deadline, because a busy machine is not a bug.
settings.register_profile("repeatable", max_examples=60, derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("WEBPAIRS_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is absent: {folder} (set WEBPAIRS_SHARED)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def warm_workers() -> None:
    """One server for the workers of all stages, with the libraries of all: it keeps what it was started with to the end."""
    from pipeline.workers import warm_up

    warm_up("pipeline.download.ready", "pipeline.score.decoding.seeing")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests go first, so that no process is left alone with one at the end."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            # pyspark drops the socket that it reads results from while its file is still open: Python warns, nothing leaks.
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"))
    long = {item.path for item in items if item.get_closest_marker("slow") or "demo_root" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkSession]":
    """One embedded Spark for all tests."""
    from pipeline.spark import local_session

    session = local_session("webpairs tests", master="local[2]")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def s3_environment() -> Iterator[dict[str, str]]:
    """The environment in which s3:// leads to an empty S3 server on loopback."""
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    s3fs.S3FileSystem.clear_instance_cache()  # one that this process made before leads to the server of then
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            assert server.poll() is None, "the S3 server did not start"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.kill()
        server.wait()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small demo that has run; told.txt is what it printed, command.txt how it was called."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all workers: the first that asks runs it, the others wait
    folder = shared / "demo_root"
    with FileLock(f"{folder}.lock"):
        if not (folder / "command.txt").exists():
            _run_demo(folder)
    return folder


def _run_demo(folder: Path) -> None:
    sizes = "--pairs 500 --seed-pairs 200 --eval-items 100 --seeds 2 --samples-seen 1280"
    command = f"demo --root {folder} {sizes}"
    ran = subprocess.run([sys.executable, "-m", "pipeline.cli", *command.split()], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (folder / "told.txt").write_text(ran.stdout)
    (folder / "command.txt").write_text(command)
