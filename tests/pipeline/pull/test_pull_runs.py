"""pull as a process: killed, interrupted, twice at once, on a full disk, into a place that cannot be written to; and on S3."""

import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial

import fsspec
import pytest

from pipeline.pull.partial import Partial
from schemas.errors import UsageError, UserError
from tests.pipeline.pull.serving import silent

NAME = "data/00000.parquet"
FILES = 9  # of the release, besides release.json and SHA256SUMS


def begun(server, copy, **more):
    """A pull in a process of its own."""
    words = [sys.executable, "-m", "pipeline.cli", "pull", server.url, str(copy), "--wait-s", "0.01"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def ended(process):
    """Exit status, stdout, stderr."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def wait_for_part(copy, size):
    """Until the copy holds the first `size` bytes of the file that does not come, and all others."""
    journal = copy / "_pulled.jsonl"
    for _ in range(1000):
        part = [path for path in copy.glob("data/_part.00000.parquet.*") if path.suffix != ".json"]
        others = len(journal.read_bytes().splitlines()) if journal.exists() else 0
        if part and part[0].stat().st_size >= size and others == FILES - 1:
            return
        time.sleep(0.02)
    raise AssertionError("nothing came")


def test_what_came_before_a_kill_is_not_downloaded_again(server, pulled, same_as, tmp_path, release):
    server.on(NAME, silent(9000))
    process = begun(server, tmp_path / "copy")
    wait_for_part(tmp_path / "copy", 9000)
    process.kill()
    assert ended(process)[0] == -signal.SIGKILL
    assert not (tmp_path / "copy" / "SHA256SUMS").exists()
    assert not (tmp_path / "copy" / NAME).exists()
    assert pulled().counts["resumed"] == 1
    assert same_as(tmp_path / "copy")
    assert server.bytes_sent(NAME) == (release / NAME).stat().st_size
    assert server.bytes_sent("data/00001.npz") == (release / "data" / "00001.npz").stat().st_size


def test_an_interrupt_ends_it_at_once_and_a_second_pull_is_refused_meanwhile(server, pulled, same_as, tmp_path):
    server.on(NAME, silent(9000))
    process = begun(server, tmp_path / "copy")
    wait_for_part(tmp_path / "copy", 9000)
    with pytest.raises(UserError, match="another pull is at work there"):
        pulled()
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    status, _, told = ended(process)
    assert time.monotonic() - started < 10, "the server is silent, and --timeout-s 30 s"
    assert (status, told.splitlines()[-1]) == (130, "webpairs: interrupted; run the same command again to go on")
    pulled()
    assert same_as(tmp_path / "copy")


def test_a_full_disk_ends_it_with_one_line_and_it_goes_on_when_there_is_room(server, pulled, same_as, tmp_path):
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (12_000, 12_000))
    status, _, told = ended(begun(server, tmp_path / "copy", preexec_fn=limit))
    assert status == 1
    assert "make room, then run the same command again" in told
    assert len(told.splitlines()) == 1
    assert pulled().counts["resumed"] >= 1
    assert same_as(tmp_path / "copy")


def test_a_file_that_cannot_fit_is_not_begun(tmp_path):
    with (
        Partial(tmp_path / "file", "0" * 64) as part,
        pytest.raises(UserError, match=r"bytes are to come, [\d,]+ are free; make room"),
    ):
        part.restart("", 1 << 60)


def test_a_place_that_cannot_be_written_to_is_told(pulled, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/copy: cannot be written \(Not a directory\)"):
        pulled(out=str(tmp_path / "file" / "copy"))
    with pytest.raises(UserError, match=r"/proc/copy: cannot be written"):
        pulled(out="/proc/copy")
    with pytest.raises(UsageError, match="a release is pulled to a folder of this machine"):
        pulled(out="s3://bucket/copy")


def test_a_folder_that_is_no_release_is_told(pulled, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty/SHA256SUMS: no such file there; check the address"):
        pulled(url=str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"attempts": 0}, "--attempts 0: must be at least 1"),
        ({"timeout_s": 0.0}, "--timeout-s 0.0: must be above 0"),
        ({"wait_s": -1.0}, "--wait-s -1.0: must be at least 0"),
        ({"max_file_gb": 0.0}, "--max-file-gb 0.0: must be above 0"),
        ({"sums_sha256": "abc"}, "--sums-sha256 abc: must be 64 hex digits"),
        ({"workers": 0}, "--workers 0: must be 1 to 1024"),
    ],
)
def test_options_out_of_bounds_are_refused(settings, told, pulled):
    with pytest.raises(UsageError, match=told):
        pulled(**settings)


def test_from_a_bucket_whole_and_by_columns(s3_environment, release, same_as, tmp_path):
    where = {"endpoint_url": s3_environment["AWS_ENDPOINT_URL"], "key": "key", "secret": "secret"}
    bucket = fsspec.filesystem("s3", use_listings_cache=False, **where)
    bucket.mkdir("releases")
    bucket.put(str(release), "releases/small", recursive=True)
    environment = {**os.environ, **s3_environment}
    for words in (["--workers", "4"], ["--columns", "text"]):
        copy = tmp_path / words[0]
        command = [sys.executable, "-m", "pipeline.cli", "pull", "s3://releases/small", str(copy), *words]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
    assert same_as(tmp_path / "--workers")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "--columns", check=True)
    missing = [sys.executable, "-m", "pipeline.cli", "pull", "s3://releases/nowhere", str(tmp_path / "x")]
    ran = subprocess.run(missing, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (
        1,
        "webpairs: s3://releases/nowhere/SHA256SUMS: no such file there; check the address\n",
    )
