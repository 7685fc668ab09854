"""The account of every URL and of a whole run: outcome, final URL, content type, bytes, duration, attempts, moment; by domain."""

import time
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.download import DownloadConfig, run
from pipeline.download.fetching.fetch import Account, Manners
from pipeline.download.outcomes import DOWNLOAD_FAILURES, RESIZE_FAILURES, may_pass, may_pass_later
from pipeline.download.tally import BY_TLD, tld_of, told_by_tld
from pipeline.manifest import PartReport


def test_the_last_request_names_url_and_type_and_all_of_them_count_for_bytes_and_time(web, make):
    def slowly(handler):
        time.sleep(0.1)
        make.send(handler, b"abcde", headers={"Content-Type": "image/x; a=b"})

    web.answer("/b", slowly)
    (ended,) = make.fetch([web.serve("/a", b"moved", status=302, headers={"Location": "/b", "Content-Type": "text/plain"})])
    account = ended.account
    assert (account.final_url, account.content_type) == (web.url("/b"), "image/x; a=b")
    assert (account.bytes_read, account.attempts) == (10, 1)
    assert 0.1 <= account.duration_s < 1
    assert 0 <= time.time() - account.ended_at < 5


def test_further_attempts_add_up_and_pauses_do_not(web, make):
    def at_the_third(handler):
        make.send(handler, b"abc", status=200 if web.requests["/a"] == 3 else 500)

    started = time.monotonic()
    (ended,) = make.fetch([web.answer("/a", at_the_third)], retries=2)
    assert (ended.reason, ended.account.attempts) == (None, 3)
    assert ended.account.duration_s < 0.3 < time.monotonic() - started


def test_what_was_not_asked_for_has_an_empty_account(make):
    assert [one.account for one in make.fetch(["nonsense", "ftp://a.example/b"])] == [Account()] * 2


def test_a_redirect_to_what_is_not_asked_for_is_told_by_the_url_that_was(web, make):
    (ended,) = make.fetch([web.serve("/a", status=302, headers={"Location": "ftp://a.example/b"})])
    assert (ended.reason, ended.account.final_url) == ("unsupported_scheme", web.url("/a"))


def test_a_url_of_a_host_that_was_given_up_after_its_first_attempt_keeps_its_account(web, make):
    urls = [web.serve("/0", status=500), web.serve("/1", status=429, headers={"Retry-After": "9999"})]
    ended = make.fetch(urls, retries=1, manners=Manners(per_host=1))
    assert [one.reason for one in ended] == ["host_busy", "http_429"]
    assert [one.account.attempts for one in ended] == [1, 1]
    assert ended[0].account.final_url == urls[0]


@pytest.mark.parametrize("kind", ["x" * 5000, "image/ü", "", "image/jpeg\t"])
def test_a_content_type_is_told_whatever_it_is_and_at_most_200_characters(web, make, kind):
    def how(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: " + kind.encode() + b"\r\n\r\nabc")

    (ended,) = make.fetch([web.answer("/a", how)])
    assert ended.body == b"abc"
    assert len(ended.account.content_type or "") <= 200


def test_sidecar_and_manifest_tell_it_all(web, make, tmp_path):
    good = web.serve("/a.jpg", make.picture(50, 50), headers={"Content-Type": "image/jpeg"})
    moved = web.serve("/moved.jpg", status=301, headers={"Location": "/a.jpg"})
    urls = [good, moved, web.url("/missing.jpg"), "http://no-such-host.invalid/a.jpg", "ftp://a.example/", "nonsense"]
    pool = make.pool(tmp_path / "pool", [(url, "text") for url in urls])
    before = datetime.now(UTC)
    manifest = run(DownloadConfig(pool=str(pool), out=str(tmp_path / "out"), allow_private_addresses=True, retries=0))
    rows = pq.read_table(tmp_path / "out/00000.parquet").to_pylist()
    assert [row["error_message"] for row in rows] == [None, None, "http_404", "dns", "unsupported_scheme", "invalid_url"]
    assert [row["final_url"] for row in rows] == [good, good, *urls[2:4], None, None]
    assert [row["attempts"] for row in rows] == [1, 1, 1, 1, 0, 0]
    assert rows[0]["content_type"] == "image/jpeg"
    assert rows[0]["bytes_read"] == len(make.picture(50, 50))
    assert rows[4]["duration_s"] is None
    assert all(before <= row["image_fetched_at"] <= datetime.now(UTC) for row in rows[:4])
    assert [row["image_fetched_at"] for row in rows[4:]] == [None, None]
    assert manifest.facts["00000"]["success_rate"] == pytest.approx(2 / 6, abs=1e-6)
    assert manifest.facts["00000"]["may_pass_later"] == 1
    assert manifest.facts["outcomes_by_tld"] == {
        "ip": {"failed_to_download_http_404": 1, "success": 2},
        "example": {"failed_to_download_unsupported_scheme": 1},
        "invalid": {"failed_to_download_dns": 1},
        "none": {"failed_to_download_invalid_url": 1},
    }


@pytest.mark.parametrize(
    ("url", "tld"),
    [
        *(("http://a.example.org/b", "org"), ("HTTP://A.ORG:8080", "org"), ("http://a.рф/", "xn--p1ai")),
        *(("http://1.2.3.4/", "ip"), ("http://0x7f000001/", "ip"), ("http://[::1]:8/", "ip")),
        *(("", "none"), ("http:///a", "none"), ("nonsense", "none"), ("http://localhost/", "localhost")),
    ],
)
def test_the_top_level_domain_of_a_url(url, tld):
    assert tld_of(url) == tld


@given(st.text(max_size=40))
def test_any_text_has_a_top_level_domain_or_none(text):
    assert tld_of("http://" + text)


def test_domains_beyond_the_most_frequent_are_counted_together():
    counted = {f"t{n:03d}": {"success": 2 if n < 5 else 1} for n in range(300)}
    parts = [PartReport(name=str(part), inputs=(), counts={}, facts={BY_TLD: counted}) for part in range(2)]
    summed = told_by_tld(parts)["outcomes_by_tld"]
    assert list(summed)[:5] == [f"t{n:03d}" for n in range(5)]
    assert sum(counts["success"] for counts in summed.values()) == 2 * 305
    assert summed["other"]["success"] == 200


def test_what_may_pass_soon_may_pass_later():
    for reason in (*DOWNLOAD_FAILURES, *RESIZE_FAILURES, "http_404", "http_410", "http_429", "http_500"):
        assert may_pass_later(reason) or not may_pass(reason)
    assert not any(map(may_pass_later, ("http_404", "http_410", "opt_out", "robots_txt", "hash_mismatch", "removed_by_url")))
