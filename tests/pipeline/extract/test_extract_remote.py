"""WATs over HTTP: a broken connection is taken up where it broke, a missing file is named."""

import random
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

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
