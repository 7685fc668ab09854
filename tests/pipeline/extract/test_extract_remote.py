"""WATs over HTTP: a broken connection is taken up where it broke, a missing file is named."""

import gzip
import json
import random
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.extract import ExtractConfig, run
from pipeline.extract.remote import HttpStream
from schemas.errors import UserError


@contextmanager
def serving(files, *, cut_at=(), statuses=(), ranges=True):
    """A loopback server of `files` (path → bytes). Its first answers break off at `cut_at` bytes or bear `statuses`."""
    cuts, errors, seen = list(cut_at), list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Range"))
            data = files.get(self.path)
            status = errors.pop(0) if errors else (404 if data is None else 200)
            start = 0
            if status == 200 and ranges and self.headers.get("Range"):
                start, status = int(self.headers["Range"][len("bytes=") :].rstrip("-")), 206
            body = (data or b"")[start:]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status < 300:
                self.wfile.write(body[: cuts.pop(0)] if cuts else body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


DATA = random.Random(1).randbytes(300_000)


def read_all(url, delays=(0.0, 0.0)):
    stream = HttpStream(url, retry_delays_s=delays)
    with stream:
        return b"".join(iter(lambda: stream.read(50_000), b""))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(ranges):
    with serving({"/x": DATA}, cut_at=[100_000, 120_000], ranges=ranges) as (url, seen):
        assert read_all(f"{url}/x") == DATA
        assert seen[0] is None
        assert seen[1] == "bytes=100000-"


def test_a_server_that_is_busy_is_asked_again():
    with serving({"/x": DATA}, statuses=[503, 429]) as (url, _):
        assert read_all(f"{url}/x") == DATA


def test_a_server_that_stays_broken_is_given_up_with_its_url():
    with serving({"/x": DATA}, statuses=[503] * 9) as (url, _), pytest.raises(UserError, match=r"/x: HTTP 503, after 3 tries"):
        read_all(f"{url}/x")


def test_a_missing_file_is_named_and_not_asked_for_again():
    with serving({}) as (url, seen):
        with pytest.raises(UserError, match=r"/gone: HTTP 404"):
            read_all(f"{url}/gone")
        assert len(seen) == 1


def test_a_wat_is_extracted_from_a_url_and_a_missing_one_costs_itself_alone(make, tmp_path):
    wat = make.member(make.record(make.page([make.image("a.jpg")])))
    with serving({"/a.warc.wat.gz": wat}) as (url, _):
        manifest = run(ExtractConfig(out=str(tmp_path / "out"), wat=(f"{url}/a.warc.wat.gz", f"{url}/b.warc.wat.gz")))
    assert [report.status for report in manifest.inputs] == ["ok", "failed"]
    assert "HTTP 404" in manifest.inputs[1].error
    assert manifest.counts["rows_out"] == 1


def test_wats_of_a_crawl_are_drawn_over_http_and_read_on_where_the_connection_breaks(make, tmp_path, capsys):
    folder = "crawl-data/CC-TEST-1"
    paths = [f"{folder}/segments/{n}/wat/s-{n:05d}.warc.wat.gz" for n in range(6)]
    pages = [make.page([make.image(f"{n}-{at}.jpg") for at in range(200)], url=f"https://p{n}.example/") for n in range(6)]
    files = {f"/{path}": make.member(make.record(page)) for path, page in zip(paths, pages, strict=True)}
    files[f"/{folder}/wat.paths.gz"] = gzip.compress("".join(f"{path}\n" for path in paths).encode())
    # Whole is the listing; the first WAT's connection breaks in mid-member, and once more.
    with serving(files, cut_at=[10**9, 300, 200]) as (url, seen):
        command = ["extract", "--crawl", "CC-TEST-1", "--base-url", url, "--out", str(tmp_path / "out")]
        assert main([*command, "--wats", "3", "--seed", "7"]) == 0
        assert seen == [None, None, "bytes=300-", "bytes=500-", None, None]
        assert main([*command[:-1], str(tmp_path / "other"), "--wats", "3", "--seed", "8"]) == 0
    capsys.readouterr()
    drawn = [pq.read_table(part) for part in sorted((tmp_path / "out").glob("*.parquet"))]
    assert [table.num_rows for table in drawn] == [200] * 3
    named = [table["wat_path"][0].as_py() for table in drawn]
    assert named == sorted(set(named) & set(paths))
    assert {crawl for table in drawn for crawl in table["crawl"].to_pylist()} == {"CC-TEST-1"}
    assert sorted(part.name for part in (tmp_path / "other").glob("*.parquet")) != sorted(
        part.name for part in (tmp_path / "out").glob("*.parquet")
    )


def test_a_wat_whose_connection_stays_broken_costs_itself_alone_and_is_read_when_run_again(make, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.extract.remote.HttpStream.__init__.__kwdefaults__", {"retry_delays_s": (0.0, 0.0)})
    wats = {f"/{n}.wat.gz": make.member(make.record(make.page([make.image(f"{n}.jpg")]))) for n in range(2)}
    with serving(wats, cut_at=[50, 0, 0]) as (url, _):
        config = ExtractConfig(out=str(tmp_path / "out"), wat=tuple(f"{url}{name}" for name in wats))
        first = run(config)
        again = run(config)
    assert [report.status for report in first.inputs] == ["failed", "ok"]
    assert "/0.wat.gz: connection ended after 50 of" in first.inputs[0].error
    assert ([report.status for report in again.inputs], again.parts_resumed) == (["ok", "ok"], 1)
    assert again.counts["rows_out"] == 2


@pytest.fixture
def refusing():
    """A URL of this machine at which nobody listens, and nobody else can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield "http://{}:{}".format(*held.getsockname())


MALFORMED = [
    ("http:///x.wat.gz", "a URL without a host"),
    ("http://[::1/x.wat.gz", "not a URL"),
    ("http://127.0.0.1:1/a b.wat.gz", "not a URL that HTTP can ask for"),
    ("http://127.0.0.1:port/x.wat.gz", "not a URL that HTTP can ask for"),
    ("http://127.0.0.1:1/ü.wat.gz", "not a URL that HTTP can ask for"),
]


@pytest.mark.parametrize(("url", "problem"), MALFORMED)
def test_a_malformed_url_is_named_and_costs_itself_alone(make, tmp_path, url, problem):
    (tmp_path / "a.wat.gz").write_bytes(make.member(make.record(make.page([make.image("a.jpg")]))))
    manifest = run(ExtractConfig(out=str(tmp_path / "out"), wat=(url, str(tmp_path / "a.wat.gz"))))
    assert [report.status for report in manifest.inputs] == ["failed", "ok"]
    assert manifest.inputs[0].error.startswith(f"{url}: {problem}")


@pytest.mark.parametrize(
    ("base", "problem"),
    [("http:///x", "a URL without a host"), ("http://[::1", "not a URL"), ("http://127.0.0.1:port", "not a URL that HTTP")],
)
def test_a_malformed_base_url_is_told_in_one_line(tmp_path, capsys, base, problem):
    assert main(["extract", "--crawl", "C", "--base-url", base, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert f"/crawl-data/C/wat.paths.gz: {problem}" in told
    assert "unexpected" not in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("status", [403, 404])
def test_a_listing_that_the_server_refuses_is_told_in_one_line(tmp_path, capsys, status):
    with serving({}, statuses=[status]) as (url, seen):
        assert main(["extract", "--crawl", "C", "--base-url", url, "--out", str(tmp_path / "out")]) == 1
        assert len(seen) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"webpairs: {url}/crawl-data/C/wat.paths.gz: HTTP {status}; check that the file is there")
    assert told.count("\n") == 1


def test_a_server_that_takes_no_connection_is_named_after_the_last_try(refusing):
    with pytest.raises(UserError, match=rf"{refusing}/x: .*Connection refused.*, after 3 tries; check the URL and the network"):
        read_all(f"{refusing}/x")


def test_nothing_that_extract_writes_holds_a_secret(make, tmp_path):
    wat = make.member(make.record(make.page([make.image("a.jpg")])))
    out = tmp_path / "out"
    with serving({"/x.warc.wat.gz?X-Amz-Signature=SECRET": wat}) as (url, _):
        named = (
            f"{url}/x.warc.wat.gz?X-Amz-Signature=SECRET",
            f"{url}/gone.wat.gz?token=SECRET",
            f"{url[:7]}me:SECRET@{url[7:]}/y",
        )
        manifest = run(ExtractConfig(out=str(out), wat=named))
        again = run(ExtractConfig(out=str(out), wat=tuple(path.replace("token=SECRET", "token=SECRET2") for path in named)))
    assert [(report.status, report.path) for report in manifest.inputs] == [
        ("ok", f"{url}/x.warc.wat.gz"),
        ("failed", f"{url}/gone.wat.gz"),
        ("failed", f"{url}/y"),
    ]
    assert again.parts_resumed == 1
    (part,) = out.glob("*.parquet")
    assert pq.read_table(part)["wat_path"].to_pylist() == [f"{url}/x.warc.wat.gz"]
    written = [path.read_text() for path in out.rglob("*.json")]
    assert [text for text in written if "SECRET" in text] == []
    assert json.loads((out / "_config.json").read_text())["wat"][0] == f"{url}/x.warc.wat.gz"
