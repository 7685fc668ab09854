"""The proxy: one that is not there or is none is told at once, before any URL counts as tried."""

import socket

import pytest

from pipeline.cli import main
from pipeline.download import DownloadConfig, run
from pipeline.download.fetching.proxy import proxy_address
from schemas.errors import UsageError, UserError


@pytest.fixture
def refusing():
    """An address of this machine at which nobody listens, and nobody else can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield "{}:{}".format(*held.getsockname())


@pytest.mark.parametrize("scheme", ["", "http://", "socks5h://"])
def test_a_proxy_that_does_not_answer_is_refused_before_any_url_is_tried(refusing, make, tmp_path, scheme):
    pool = make.pool(tmp_path / "pool", [("http://a.example/1.jpg", "a")])
    config = DownloadConfig(pool=str(pool), out=str(tmp_path / "out"), proxy=scheme + refusing, retries=0)
    with pytest.raises(UserError, match=rf"--proxy {scheme}{refusing}: does not answer \(Connection refused\)"):
        run(config)
    assert not (tmp_path / "out").exists()


def test_the_command_says_so_in_one_line(refusing, make, tmp_path, capsys):
    pool = make.pool(tmp_path / "pool", [("http://a.example/1.jpg", "a")])
    assert main(["download", "--pool", str(pool), "--out", str(tmp_path / "out"), "--proxy", f"http://{refusing}"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"webpairs: --proxy http://{refusing}: does not answer")
    assert told.count("\n") == 1


@pytest.mark.parametrize("proxy", ["ftp://a:1", "http://", "http://a:port", "http://a:99999", "http://[::1", "//"])
def test_a_proxy_that_is_none_is_wrong_usage(proxy):
    with pytest.raises(UsageError, match="--proxy "):
        DownloadConfig(pool="p", out="o", proxy=proxy)


@pytest.mark.parametrize(
    ("proxy", "address"),
    [("a", ("a", 1080)), ("a:8", ("a", 8)), ("https://a", ("a", 443)), ("socks5://u:w@[::1]:9", ("::1", 9))],
)
def test_a_proxy_s_host_and_port_are_those_that_curl_would_ask(proxy, address):
    assert proxy_address(proxy) == address
