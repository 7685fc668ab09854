"""An object store that is ill for a while costs nothing; one that stays ill is told of, and leaves nothing half done behind."""

import os
import subprocess
import sys

import pytest

s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto")

from bench.cluster_store import store  # noqa: E402 - imports moto
from pipeline import io  # noqa: E402
from pipeline.attempts import Attempt, settle, tidy  # noqa: E402
from pipeline.ledger import reports_of  # noqa: E402
from pipeline.manifest import PartReport  # noqa: E402
from schemas.errors import UserError  # noqa: E402

OUT = "s3://bucket/out"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with an empty bucket."""
    with store(tmp_path_factory.mktemp("store")) as running:
        before = dict(os.environ)
        os.environ.update(running.environment)
        s3fs.S3FileSystem.clear_instance_cache()  # one that was made before leads to another server
        try:
            io.url_to_fs("s3://bucket")[0].mkdir("bucket")
            yield running
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture
def ill(server):
    """Switches a fault on; it is off after the test."""
    yield server.fault
    server.clear()


def write(path, content):
    with io.atomic_write(path) as file:
        file.write(content)


def everything_below(folder):
    fs, name = io.url_to_fs(folder)
    return sorted(path.removeprefix(name + "/") for path in fs.find(name))


@pytest.mark.parametrize("kind", ["500", "503", "down", "cut"])
def test_a_store_that_is_ill_for_a_second_is_written_to_and_read_as_if_it_were_not(ill, server, kind):
    content = os.urandom(200_000)
    write(f"{OUT}/{kind}/before", content)
    struck = server.counts().get(f"faults_{kind}", 0)
    ill(kind, for_s=1.2)
    assert io.read_bytes(f"{OUT}/{kind}/before") == content
    write(f"{OUT}/{kind}/after", content[:1000])
    assert io.sizes(f"{OUT}/{kind}") == {"before": 200_000, "after": 1000}
    assert everything_below(f"{OUT}/{kind}") == ["after", "before"]
    assert server.counts()[f"faults_{kind}"] >= struck + 2


def test_what_will_not_pass_is_not_asked_for_again(ill, server):
    ill("403", method="PUT")
    with pytest.raises(UserError, match=r"cannot be written .*give a place that can be written to"):
        write(f"{OUT}/refused", b"x")
    assert server.counts()["faults_403"] == 1
    with pytest.raises(UserError, match="no such file"):
        io.read_bytes(f"{OUT}/absent")


def test_a_write_that_comes_to_nothing_leaves_what_stood_there(ill):
    write(f"{OUT}/kept/file", b"old")
    ill("403", method="PUT", nth=2)  # the copy that gives it its name
    with pytest.raises(UserError, match="cannot be written"):
        write(f"{OUT}/kept/file", b"new")
    assert io.read_bytes(f"{OUT}/kept/file") == b"old"
    assert everything_below(f"{OUT}/kept") == ["file"]


@pytest.mark.parametrize(
    "stops_at",
    [
        {"method": "PUT", "holds": "a.tar", "nth": 1},  # no file has its name yet
        {"method": "DELETE", "holds": "_tmp.a.tar", "nth": 1},  # copied, and the temporary file is there still
        {"method": "PUT", "holds": "a.parquet", "nth": 1},  # one of two
        {"method": "PUT", "holds": "a.json", "nth": 1},  # all but the report
    ],
    ids=["before the first rename", "within a rename", "between two renames", "before the report"],
)
def test_a_part_whose_renames_were_cut_short_does_not_stand_and_is_made_whole_by_the_next_run(ill, server, stops_at):
    out = f"{OUT}/cut-short-{'-'.join(map(str, stops_at.values())).replace('.', '-')}"
    temporaries = {name: f"_tmp.{name}.0123abcd" for name in ("a.tar", "a.parquet")}
    for name, temporary in temporaries.items():
        io.url_to_fs(out)[0].pipe_file(f"{io.url_to_fs(out)[1]}/{temporary}", name.encode())
    attempt = Attempt(report=PartReport(name="a", files=tuple(temporaries), counts={"rows_out": 1}), temporaries=temporaries)
    ill("403", **stops_at)
    with pytest.raises((UserError, PermissionError)):
        settle(out, attempt)
    server.clear()
    assert reports_of(out, ["a"]) == {}
    tidy(out)
    assert reports_of(out, ["a"])["a"].counts == {"rows_out": 1}
    assert everything_below(out) == ["_parts/a.json", "a.parquet", "a.tar"]
    assert [io.read_bytes(f"{out}/{name}") for name in temporaries] == [b"a.tar", b"a.parquet"]


def test_a_store_that_stays_ill_is_told_of_in_one_line(ill):
    ill("503")
    command = [sys.executable, "-m", "pipeline.cli", "extract", "--wat", "s3://bucket/wat", "--out", f"{OUT}/candidates"]
    env = {**os.environ, "AWS_MAX_ATTEMPTS": "2"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Please reduce your request rate" in done.stderr
    assert "or wait until it is well" in done.stderr
    assert len(done.stderr.splitlines()) == 1
