"""What a request leaves behind: nothing to the next one on the same handle, no file, no thread."""

import gzip
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.download.fetching.fetch import Fetcher, Manners
from pipeline.download.fetching.transfer import FetchLimits


@pytest.mark.parametrize("concurrency", [1, 4])
@settings(max_examples=12)
@given(order=st.lists(st.integers(0, 7), min_size=2, max_size=12))
def test_nothing_of_a_request_is_left_to_the_next_on_the_same_handle(mixed, make, concurrency, order):
    urls, ends = mixed
    ended = make.fetch([urls[kind] for kind in order], concurrency=concurrency, manners=Manners(per_host=1))
    assert [(one.reason, one.body, one.account.content_type) for one in ended] == [ends[kind] for kind in order]


@pytest.fixture(scope="module")
def mixed(make):
    """URLs of every kind of answer, and (reason, body, content type) of each."""
    web = make.web()
    kind = {"Content-Type": "image/x"}
    served = [
        (web.serve("/0", b"plain", headers=kind), (None, b"plain", "image/x")),
        (web.serve("/1", b"untyped"), (None, b"untyped", None)),
        (web.serve("/2", gzip.compress(b"zip"), headers={"Content-Encoding": "gzip"}), (None, b"zip", None)),
        (web.serve("/3", b"no", headers={"X-Robots-Tag": "noai", **kind}), ("opt_out", None, "image/x")),
        (web.serve("/4", b"gone", status=410, headers=kind), ("http_410", None, "image/x")),
        (web.serve("/5", b"x" * 2000_000), ("too_large", None, None)),
        (web.serve("/6", b"", status=302, headers={"Location": "/1", **kind}), (None, b"untyped", None)),
        (web.serve("/7", b"bad", headers={"Content-Encoding": "gzip"}), ("bad_encoding", None, None)),
    ]
    yield [url for url, _ in served], [end for _, end in served]
    web.close()


def test_a_thousand_hostile_requests_leave_no_file_and_no_thread_behind(wire, make):
    ok = b"HTTP/1.1 200 OK\r\n"
    kinds = [b"garbage", b"", ok + b"Content-Length: 50\r\n\r\nabc", ok + b"Set-Cookie: a=b\r\n" * 10_000]
    kinds.append(ok + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde")

    def any_of_them(connection, server):
        connection.sendall(kinds[server.connections % len(kinds)])

    server = wire(any_of_them)
    make.fetch([server.url])
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    ended = make.fetch([f"{server.url}?{n}" for n in range(1000)], concurrency=32)
    assert len(ended) == 1000
    assert not any(one.reason is None for one in ended)
    deadline = time.monotonic() + 5
    while (len(os.listdir("/proc/self/fd")), threading.active_count()) > (files, threads) and time.monotonic() < deadline:
        time.sleep(0.02)  # the server's side of the connections
    assert len(os.listdir("/proc/self/fd")) <= files
    assert threading.active_count() <= threads


def test_a_fetcher_may_be_left_with_requests_in_flight(wire):
    silent = wire(lambda _connection, server: server.stopping.wait(5))
    limits = FetchLimits(timeout_s=30, max_bytes=100, user_agent="webpairs/test", may_connect=lambda _address: True)
    before = len(os.listdir("/proc/self/fd"))
    started = time.monotonic()
    with Fetcher(limits, 8) as fetcher:
        for number in range(20):
            fetcher.start(number, silent.url)
        fetcher.step(0.1)
        assert fetcher.active == 20
    silent.close()
    assert time.monotonic() - started < 3
    assert len(os.listdir("/proc/self/fd")) <= before
