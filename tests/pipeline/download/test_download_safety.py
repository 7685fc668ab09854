"""Servers and files that mean harm: each is refused in bounded time and memory, under its own name."""

import struct
import time
import zlib

import pyarrow.parquet as pq
import pytest

from pipeline.download import DownloadConfig, run
from pipeline.download.engine import EngineSettings, Order, Spill, download
from pipeline.download.fetching.transfer import FetchLimits
from pipeline.download.images.image import ImageSettings


@pytest.fixture
def ends(tmp_path, make):
    """Download URLs through the stage; (status, error_message) of each."""

    def ends(urls, **options):
        pool = make.pool(tmp_path / "pool", [(url, "text") for url in urls])
        config = {"allow_private_addresses": True, "retries": 0, **options}
        run(DownloadConfig(pool=str(pool), out=str(tmp_path / "out"), **config))
        rows = pq.read_table(tmp_path / "out/00000.parquet").to_pylist()
        return [(row["status"], row["error_message"]) for row in rows]

    return ends


def test_loopback_is_refused_without_the_option_and_never_contacted(ends, web, make):
    url = web.serve("/a.jpg", make.picture(50, 50))
    local = url.replace("127.0.0.1", "localhost")
    mapped = url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
    decimal = url.replace("127.0.0.1", "2130706433")
    blocked = ("failed_to_download", "blocked_address")
    assert ends([url, local, mapped, decimal], allow_private_addresses=False) == [blocked] * 4
    assert not web.requests


def test_a_redirect_to_a_refused_address_is_not_followed(web, make):
    """127.0.0.2 stands for a public host here; the redirect leads to 127.0.0.1, which is refused."""
    outer = make.web("127.0.0.2")
    url = outer.serve("/outer.jpg", status=302, headers={"Location": web.serve("/inner.jpg", make.picture(50, 50))})
    with Spill() as spill:
        (result,) = download([Order(url)], _settings(lambda address: address == "127.0.0.2"), spill)
    outer.close()
    assert result.failure == ("failed_to_download", "blocked_address")
    assert outer.requests == {"/outer.jpg": 1}
    assert not web.requests


def test_other_schemes_are_refused_at_first_and_after_a_redirect(ends, web, tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    moved = web.serve("/moved.jpg", status=302, headers={"Location": f"file://{secret}"})
    refused = ("failed_to_download", "unsupported_scheme")
    assert ends([f"file://{secret}", "ftp://127.0.0.1/a.jpg", moved]) == [refused] * 3


def test_an_endless_body_is_cut_at_max_bytes(ends, web):
    sent = []

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        while not web.stopping.is_set():
            handler.wfile.write(b"\xff" * 65536)
            sent.append(65536)

    assert ends([web.answer("/endless.jpg", endless)], max_bytes=500_000) == [("failed_to_download", "too_large")]
    assert sum(sent) < 20_000_000  # what socket buffers took before the connection was closed


def test_an_announced_size_beyond_max_bytes_is_not_read(ends, web):
    assert ends([web.serve("/big.jpg", b"x" * 200_000)], max_bytes=100_000) == [("failed_to_download", "too_large")]


def test_a_gzip_bomb_is_cut_at_max_bytes(ends, web):
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(squeezer.compress(b"\0" * 10**6) for _ in range(50)), squeezer.flush()])
    url = web.serve("/bomb.jpg", bomb, headers={"Content-Encoding": "gzip"})
    assert ends([url], max_bytes=1_000_000) == [("failed_to_download", "too_large")]


def test_a_drip_is_stopped_by_the_limit_for_the_whole_request(ends, web):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        while not web.stopping.wait(0.05):
            handler.wfile.write(b"\xff")

    started = time.monotonic()
    assert ends([web.answer("/drip.jpg", drip)], timeout_s=0.5) == [("failed_to_download", "timeout")]
    assert time.monotonic() - started < 5


def test_a_body_shorter_than_announced_is_a_broken_connection(ends, web):
    def short(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x" * 10)
        handler.close_connection = True

    assert ends([web.answer("/short.jpg", short)]) == [("failed_to_download", "reset")]


def test_a_decompression_bomb_is_refused_from_its_header(ends, web):
    assert ends([web.serve("/bomb.png", _png_of_zeros(32_000, 32_000))]) == [("failed_to_resize", "too_many_pixels")]


def test_redirects_in_a_circle_end(ends, web):
    url = web.serve("/round.jpg", status=302, headers={"Location": "/round.jpg"})
    assert ends([url]) == [("failed_to_download", "too_many_redirects")]


def test_failures_of_the_network_have_their_own_names(ends):
    urls = ["http://no-such-host.invalid/a.jpg", "http://127.0.0.1:1/a.jpg", "http:///a.jpg", "not a url", ""]
    assert [reason for _, reason in ends(urls)] == ["dns", "refused", "invalid_url", "invalid_url", "invalid_url"]


def _settings(may_connect) -> EngineSettings:
    limits = FetchLimits(timeout_s=5, max_bytes=10**6, user_agent="webpairs/test", may_connect=may_connect)
    image = ImageSettings(size=64, mode="keep_ratio_largest", enlarge=False, quality=95, max_pixels=10**6)
    return EngineSettings(limits=limits, image=image, concurrency=2, decode_threads=1)


def _png_of_zeros(width: int, height: int) -> bytes:
    """A 1-bit PNG of that size in some kilobytes, valid in every part."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * ((width // 8 + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
