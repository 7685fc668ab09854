"""Servers that mean harm, or speak no HTTP: every request ends under the name that is documented for it, in bounded time."""

import gzip
import random
import socket
import time
import zlib

import pytest

from pipeline.download.outcomes import DOWNLOAD_FAILURES

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: %s\r\n"
ELSEWHERE = MOVED % b"file:///etc/passwd"  # a redirect that is followed ends as unsupported_scheme


def whole(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A response as it should be."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def squeezed(coding: bytes, *layers, size: int = 50 * 10**6) -> bytes:
    body = b"\0" * size
    for layer in layers:
        body = layer(body)
    return whole(body, b"Content-Encoding: " + coding)


def saying(answer: bytes):
    return lambda connection, _wire: connection.sendall(answer)


def endless(start: bytes, piece: bytes, pause_s: float = 0.0):
    """Says `start` and then `piece` for ever."""

    def how(connection, wire):
        connection.sendall(start)
        while not wire.stopping.wait(pause_s) if pause_s else not wire.stopping.is_set():
            connection.sendall(piece)

    return how


def silent_after(start: bytes):
    def how(connection, wire):
        connection.sendall(start)
        wire.stopping.wait(5)

    return how


AT_ONCE = {
    "http_0_9": (saying(b"hello"), "bad_response"),
    "garbage": (saying(bytes(range(256)) * 20), "bad_response"),
    "another_protocol": (saying(b"SSH-2.0-OpenSSH_9.0\r\n"), "bad_response"),
    "a_version_from_the_future": (saying(b"HTTP/9.9 200 OK\r\n\r\n"), "bad_response"),
    "no_status": (saying(b"HTTP/1.1 abc\r\n\r\n"), "bad_response"),
    "nothing": (saying(b""), "reset"),
    "half_a_head": (saying(OK + b"Content-Len"), "reset"),
    "negative_length": (saying(OK + b"Content-Length: -5\r\n\r\nabc"), "bad_response"),
    "two_lengths": (saying(OK + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"), "bad_response"),
    "no_number_as_length": (saying(OK + b"Content-Length: 5x\r\n\r\nabcde"), "bad_response"),
    "length_of_no_computer": (saying(OK + b"Content-Length: 99999999999999999999999\r\n\r\nabcde"), "too_large"),
    "shorter_than_announced": (saying(OK + b"Content-Length: 50\r\n\r\nabcde"), "reset"),
    "endless_headers": (endless(OK, b"X-A: bbbbbbbbbbbbbbbbbbbbbbb\r\n"), "headers_too_large"),
    "endless_header": (endless(OK + b"X-A: ", b"b" * 1000), "headers_too_large"),
    "endless_interim_responses": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "headers_too_large"),
    "endless_early_hints": (endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), "headers_too_large"),
    "endless_trailers": (endless(CHUNKED + b"3\r\nabc\r\n0\r\n", b"X-A: b\r\n"), "headers_too_large"),
    "endless_cookies": (endless(OK, b"Set-Cookie: a=b\r\n" * 100), "headers_too_large"),
    "endless_body": (endless(OK + b"\r\n", b"x" * 65536), "too_large"),
    "endless_chunks": (endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), "too_large"),
    "chunks_without_end": (saying(CHUNKED + b"3\r\nabc\r\n"), "reset"),
    "chunk_of_no_computer": (saying(CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nabc"), "reset"),
    "largest_chunk": (saying(CHUNKED + b"7FFFFFFFFFFFFFFF\r\nabc"), "reset"),
    "no_chunk": (saying(CHUNKED + b"zz\r\nabc"), "reset"),
    "nul_in_a_header": (saying(OK + b"X-A: a\0b\r\n\r\n"), "bad_response"),
    "status_from_nowhere": (saying(b"HTTP/1.1 999 x\r\nContent-Length: 3\r\n\r\nabc"), "http_999"),
    "a_switch_of_protocols": (saying(b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nabc"), "http_101"),
    "a_login": (saying(whole(b"", b'WWW-Authenticate: Basic realm="x"', status=b"401 x")), "http_401"),
    "a_proxys_login": (saying(whole(b"", b'Proxy-Authenticate: Basic realm="x"', status=b"407 x")), "http_407"),
    "endless_404": (endless(b"HTTP/1.1 404 x\r\n\r\n", b"x" * 65536), "http_404"),
    "silent_404": (silent_after(b"HTTP/1.1 404 x\r\nContent-Length: 9\r\n\r\n"), "http_404"),
    "a_header_like_a_status": (saying(b"HTTP/1.1 404 x\r\nHTTP/1.1 : 200 OK\r\nContent-Length: 0\r\n\r\n"), "http_404"),
    "gzip_beyond_the_limit": (saying(squeezed(b"gzip", gzip.compress)), "too_large"),
    "deflate_beyond_the_limit": (saying(squeezed(b"deflate", zlib.compress)), "too_large"),
    "gzip_in_gzip": (saying(squeezed(b"gzip, gzip", gzip.compress, gzip.compress)), "bad_encoding"),
    "gzip_as_transfer_encoding": (saying(OK + b"Transfer-Encoding: gzip\r\n\r\n" + gzip.compress(b"\0" * 10**7)), "bad_encoding"),
    "gzip_that_is_none": (saying(whole(b"abcdef", b"Content-Encoding: gzip")), "bad_encoding"),
    "gzip_and_more": (saying(whole(gzip.compress(b"abc") + b"junk", b"Content-Encoding: gzip")), "bad_encoding"),
    "brotli_that_is_none": (saying(whole(b"\xff" * 20, b"Content-Encoding: br")), "bad_encoding"),
    "an_unknown_coding": (saying(whole(b"abcdef", b"Content-Encoding: zstd")), "bad_encoding"),
    "redirect_nowhere": (saying(whole(b"", status=b"302 x")), "http_302"),
    "redirect_to_a_file": (saying(ELSEWHERE + b"Content-Length: 0\r\n\r\n"), "unsupported_scheme"),
    "redirect_to_gopher": (saying(MOVED % b"gopher://127.0.0.1:25/x" + b"Content-Length: 0\r\n\r\n"), "unsupported_scheme"),
    "redirect_to_script": (saying(MOVED % b"javascript:alert(1)" + b"Content-Length: 0\r\n\r\n"), "unsupported_scheme"),
    "redirect_to_no_url": (saying(MOVED % b"http://[::1" + b"Content-Length: 0\r\n\r\n"), "invalid_url"),
    "redirect_two_ways": (saying(MOVED % b"/a" + b"Location: /b\r\nContent-Length: 0\r\n\r\n"), "bad_response"),
    "redirect_with_endless_body": (endless(ELSEWHERE + b"\r\n", b"x" * 65536), "unsupported_scheme"),
    "redirect_with_a_long_body": (silent_after(ELSEWHERE + b"Content-Length: 99999999\r\n\r\n"), "unsupported_scheme"),
    "redirect_cut_short": (saying(ELSEWHERE + b"Content-Length: 9\r\n\r\n"), "unsupported_scheme"),
    "redirect_with_a_bomb": (endless(ELSEWHERE + b"Content-Encoding: gzip\r\n\r\n", b"x" * 999), "unsupported_scheme"),
}
AT_THE_LIMIT = {
    "silence": silent_after(b""),
    "silence_after_the_status": silent_after(OK),
    "silence_after_the_head": silent_after(OK + b"Content-Length: 5\r\n\r\n"),
    "slow_headers": endless(OK, b"X-A: b\r\n", 0.05),
    "slow_body": endless(OK + b"Content-Length: 1000\r\n\r\n", b"x", 0.05),
    "endless_chunk_extension": endless(CHUNKED + b"1;", b"x" * 1000, 0.05),
    "slow_redirect": endless(MOVED % b"/a.jpg" + b"Content-Length: 1000\r\n\r\n", b"x", 0.05),
}
ACCEPTED = {
    "shorter_than_sent": (saying(OK + b"Content-Length: 3\r\n\r\nabcde"), b"abc"),
    "the_same_length_twice": (saying(OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), b"abc"),
    "trailers": (saying(CHUNKED + b"3\r\nabc\r\n0\r\nX-Robots-Tag: noai\r\nHTTP/1.1 404 x: y\r\n\r\n"), b"abc"),
    "chunks_and_a_length": (saying(OK + b"Content-Length: 2\r\n" + CHUNKED[17:] + b"3\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "many_cookies": (saying(whole(b"abc", *(b"Set-Cookie: a%d=b" % n for n in range(2000)))), b"abc"),
    "interim_responses": (saying(b"HTTP/1.1 103 x\r\nX-Robots-Tag: noai\r\n\r\n" * 3 + whole(b"abc")), b"abc"),
    "an_empty_body": (saying(whole(b"")), b""),
    "gzip": (saying(whole(gzip.compress(b"abc"), b"Content-Encoding: gzip")), b"abc"),
    "deflate": (saying(whole(zlib.compress(b"abc"), b"Content-Encoding: deflate")), b"abc"),
    "raw_deflate": (saying(whole(zlib.compress(b"abc", wbits=-15), b"Content-Encoding: deflate")), b"abc"),
    "brotli": (saying(whole(bytes.fromhex("0b01806162630 3".replace(" ", "")), b"Content-Encoding: br")), b"abc"),
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_what_a_hostile_server_does_has_a_name_and_costs_little(wire, make, name):
    how, reason = AT_ONCE[name]
    started, used = time.monotonic(), time.thread_time()
    (ended,) = make.fetch([wire(how).url])
    assert ended.reason == reason
    assert reason in DOWNLOAD_FAILURES or reason.startswith("http_")
    assert time.monotonic() - started < 4
    assert time.thread_time() - used < 1


def test_servers_that_keep_us_waiting_are_left_at_the_limit_and_cost_no_work(wire, make):
    urls = [wire(how).url for how in AT_THE_LIMIT.values()]
    started, used = time.monotonic(), time.thread_time()
    assert [ended.reason for ended in make.fetch(urls, timeout_s=0.5)] == ["timeout"] * len(urls)
    assert 0.5 <= time.monotonic() - started < 3
    assert time.thread_time() - used < 0.1


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_odd_but_clear_is_accepted(wire, make, name):
    how, body = ACCEPTED[name]
    (ended,) = make.fetch([wire(how).url])
    assert (ended.reason, ended.body) == (None, body)


@pytest.mark.parametrize(
    "header", [b"X-Robots-Tag : noai", b"X-Robots-Tag:\r\n noai", b"x-robots-tag: all\r\nX-ROBOTS-TAG: webpairs: none"]
)
def test_an_opt_out_is_seen_however_it_is_written(wire, make, header):
    (ended,) = make.fetch([wire(saying(whole(b"abc", header))).url])
    assert ended.reason == "opt_out"


def test_a_header_that_looks_like_a_status_line_hides_no_opt_out(wire, make):
    (ended,) = make.fetch([wire(saying(whole(b"abc", b"X-Robots-Tag: noai", b"HTTP/1.1 : 200 OK"))).url])
    assert ended.reason == "opt_out"


def test_how_far_a_body_may_inflate_is_judged_by_the_bytes_that_were_sent(wire, make):
    """Twentyfold is what a plain drawing saved as BMP comes to; a thousandfold is made on purpose."""
    picture = random.Random(0)
    drawing = b"".join(bytes([picture.randrange(256)]) * 40 for _ in range(75_000))
    sent = gzip.compress(drawing)
    fine, bomb = (
        wire(saying(whole(sent, b"Content-Encoding: gzip"))),
        wire(saying(squeezed(b"gzip", gzip.compress, size=5 * 10**6))),
    )
    ended = make.fetch([fine.url, bomb.url], max_bytes=10**8)
    assert [one.reason for one in ended] == [None, "decompression_bomb"]
    assert ended[0].body == drawing
    assert ended[0].account.bytes_read == len(sent)


def test_a_timeout_on_a_connection_that_is_used_again_is_no_failure_of_dns(wire, make):
    def once(connection, wire):
        connection.sendall(whole(b"abc"))
        wire.stopping.wait(5)

    server = wire(once)
    ended = make.fetch([server.url, server.url + "?2"], concurrency=1, timeout_s=0.4)
    assert [one.reason for one in ended] == [None, "timeout"]
    assert server.connections == 1


def test_a_connection_that_is_not_taken_ends_as_a_timeout_or_refusal(make):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        url = "http://{}:{}/".format(*full.getsockname())
        reasons = {one.reason for one in make.fetch([f"{url}{n}" for n in range(8)], timeout_s=0.4)}
    assert reasons <= {"timeout"}


def test_what_follows_a_body_is_not_taken_for_the_next_answer(wire, make):
    server = wire(saying(whole(b"abc") + whole(b"poison")))
    assert [one.body for one in make.fetch([server.url, server.url + "?2"], concurrency=1)] == [b"abc", b"abc"]


def test_redirects_across_hosts_end_after_ten(make):
    one, two = make.web("127.0.0.1"), make.web("127.0.0.2")
    one.serve("/a", status=302, headers={"Location": two.url("/a")})
    two.serve("/a", status=307, headers={"Location": one.url("/a")})
    (ended,) = make.fetch([one.url("/a")])
    one.close(), two.close()
    assert ended.reason == "too_many_redirects"
    assert one.requests["/a"] + two.requests["/a"] == 11


@pytest.mark.parametrize("location", ["b.jpg", "/x/b.jpg", "//HOST/x/b.jpg", "../x/y/../b.jpg", "\\x\\b.jpg", "/x/./b.jpg#part"])
def test_a_redirect_may_be_written_in_any_way_that_a_browser_reads(web, make, location):
    web.serve("/x/b.jpg", b"abc")
    location = location.replace("HOST", web.url("").removeprefix("http://"))
    (ended,) = make.fetch([web.serve("/x/a.jpg", status=301, headers={"Location": location})])
    assert (ended.body, ended.account.final_url) == (b"abc", web.url("/x/b.jpg"))


def test_the_proxy_of_the_environment_is_not_asked(web, wire, make, monkeypatch):
    trap = wire(saying(whole(b"trap")))
    for name in ("http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, trap.url)
    assert make.fetch([web.serve("/a", b"abc")])[0].body == b"abc"
    assert not trap.connections


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (whole(b"", status=b"403 no"), "unreachable"),
        (whole(b"", b"Retry-After: 1000", status=b"429 no"), "unreachable"),
        (whole(b"", b"Location: file:///x", status=b"302 no"), "unreachable"),
        (b"garbage", "reset"),
        (b"", "reset"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_not_the_servers_answer(wire, make, answer, reason):
    (ended,) = make.fetch(["https://a.example/b.jpg"], proxy=wire(saying(answer)).url)
    assert ended.reason == reason


def test_a_url_of_megabytes_is_none(make):
    assert make.fetch(["http://a.example/" + "a" * 9_000_000])[0].reason == "invalid_url"
