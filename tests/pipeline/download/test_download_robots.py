"""robots.txt (RFC 9309): fetched once per origin, heeded, and where it cannot be had nothing of its site is asked for."""

import gzip
import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.download.fetching.fetch import Manners
from pipeline.download.fetching.robots import KnownRules, Rules, origin_of
from pipeline.download.outcomes import DOWNLOAD_FAILURES

POLITE = Manners(robots_txt=True)
NO_PRIVATE = b"User-agent: *\nDisallow: /private/\n"
REFUSED, UNREACHABLE = "robots_txt", "robots_unreachable"


@pytest.fixture
def reasons(web, make):
    """What becomes of paths of the server, in order, with robots.txt asked for first."""

    def reasons(*paths, **options):
        for path in paths:
            if path not in web.paths:
                web.serve(path, b"abc")
        return [one.reason for one in make.fetch([web.url(path) for path in paths], **{"manners": POLITE, **options})]

    return reasons


def test_what_is_disallowed_is_not_asked_for_and_the_rest_is(web, reasons):
    web.serve("/robots.txt", NO_PRIVATE)
    assert reasons("/private/a", "/public/a", "/private", "/private/b") == [REFUSED, None, None, REFUSED]
    assert web.requests == {"/robots.txt": 1, "/public/a": 1, "/private": 1}


def test_without_the_option_nobody_asks(web, reasons):
    web.serve("/robots.txt", NO_PRIVATE)
    assert reasons("/private/a", manners=Manners()) == [None]
    assert web.requests == {"/private/a": 1}


@pytest.mark.parametrize(
    "path", ["/%70rivate/a", "/x/../private/a", "/x/%2e%2e/private/a", "/./private/a", "/x/.%2E/private/../private/a"]
)
def test_other_spellings_of_a_path_are_the_same_path(web, reasons, path):
    web.serve("/robots.txt", NO_PRIVATE)
    assert reasons(path) == [REFUSED]
    assert web.requests == {"/robots.txt": 1}


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("User-agent: *\nDisallow: /*.gif$", "/a.gif", False),
        ("User-agent: *\nDisallow: /*.gif$", "/a.gif?b", True),
        ("User-agent: *\nDisallow: /a*/b", "/ax/y/b.jpg", False),
        ("User-agent: *\nDisallow: /\nAllow: /ok/", "/ok/a", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("User-agent: other\nDisallow: /", "/a", True),
        ("User-agent: webpairs\nDisallow: /", "/a", False),
        ("User-agent: CCBot\nDisallow: /", "/a", False),
        ("User-agent: img2dataset\nUser-agent: x\nDisallow: /", "/a", False),
        ("user-AGENT:   test-agent  # us\nDISALLOW : /a", "/a", False),
        ("User-agent: *\nDisallow:", "/a", True),
        ("\ufeffUser-agent: *\nDisallow: /", "/a", False),
        ("User-agent: *\r\nDisallow: /\r\n", "/a", False),
        ("User-agent: *\rDisallow: /\r", "/a", False),
        ("User-agent: *\nDisallow: /é", "/%C3%A9", False),
        ("Disallow: /", "/a", True),
        ("<html>Not found</html>", "/a", True),
        ("", "/a", True),
    ],
)
def test_rules_are_read_as_the_rfc_has_them(text, path, allowed):
    rules = Rules.of(None, text.encode(), "test-agent")
    assert rules.refusal(f"http://a.example{path}") == (None if allowed else REFUSED)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_where_there_is_none_all_is_allowed(web, reasons, status):
    web.serve("/robots.txt", b"User-agent: *\nDisallow: /", status=status)
    assert reasons("/a") == [None]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 304, 999])
def test_where_it_cannot_be_had_nothing_is_asked_for(web, reasons, status):
    web.serve("/robots.txt", b"", status=status)
    assert reasons("/a", "/b") == [UNREACHABLE] * 2
    assert web.requests == {"/robots.txt": 1}


def test_a_site_that_is_not_there_is_told_as_such(make):
    (ended,) = make.fetch(["http://127.0.0.1:1/a"], manners=POLITE)
    assert (ended.reason, ended.account.attempts) == ("refused", 0)


def test_it_is_tried_again_like_any_other_request(web, make, reasons):
    def at_the_second(handler):
        make.send(handler, NO_PRIVATE, status=200 if web.requests["/robots.txt"] == 2 else 503)

    web.answer("/robots.txt", at_the_second)
    assert reasons("/a", "/private/a", retries=1) == [None, REFUSED]


def test_it_is_fetched_once_for_many_urls_and_for_the_shards_that_follow(web, reasons):
    web.serve("/robots.txt", NO_PRIVATE)
    for shard in range(3):
        assert set(reasons(*(f"/{shard}/{n}" for n in range(20)))) == {None}
    assert web.requests["/robots.txt"] == 1


def test_each_origin_has_its_own(web, make):
    other = make.web("127.0.0.1")
    web.serve("/robots.txt", NO_PRIVATE)
    ended = make.fetch([web.serve("/private/a", b"a"), other.serve("/private/a", b"b")], manners=POLITE)
    other.close()
    assert [one.reason for one in ended] == [REFUSED, None]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://a.example/b?c", "http://a.example"),
        ("https://a.example:8443/", "https://a.example:8443"),
        ("http://[::1]/", "http://[::1]"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, origin):
    assert origin_of(url) == origin


def test_a_redirect_of_robots_txt_is_followed_and_the_rules_count_for_where_it_was_asked(web, make):
    other = make.web("127.0.0.2")
    web.serve("/robots.txt", status=301, headers={"Location": other.serve("/rules", NO_PRIVATE)})
    ended = make.fetch([web.url("/private/a"), web.serve("/a", b"abc")], manners=POLITE)
    other.close()
    assert [one.reason for one in ended] == [REFUSED, None]
    assert other.requests == {"/rules": 1}


def test_a_robots_txt_that_leads_round_in_circles_cannot_be_had(web, reasons):
    web.serve("/robots.txt", status=302, headers={"Location": "/robots.txt?again"})
    web.serve("/robots.txt?again", status=302, headers={"Location": "/robots.txt"})
    assert reasons("/a") == [UNREACHABLE]


def test_a_redirect_of_an_image_is_under_the_rules_of_where_it_leads(web, make):
    other = make.web("127.0.0.2")
    other.serve("/robots.txt", NO_PRIVATE)
    moved = web.serve("/a", status=302, headers={"Location": other.serve("/private/a", b"abc")})
    (ended,) = make.fetch([moved], manners=POLITE)
    other.close()
    assert (ended.reason, ended.account.final_url) == (REFUSED, moved)
    assert other.requests == {"/robots.txt": 1}


def test_x_robots_tag_on_robots_txt_is_not_about_images(web, reasons):
    web.serve("/robots.txt", NO_PRIVATE, headers={"X-Robots-Tag": "noindex"})
    assert reasons("/a", "/private/a") == [None, REFUSED]


def test_a_robots_txt_may_be_encoded(web, reasons):
    web.serve("/robots.txt", gzip.compress(NO_PRIVATE), headers={"Content-Encoding": "gzip"})
    assert reasons("/a", "/private/a") == [None, REFUSED]


@pytest.mark.parametrize("announced", [True, False])
def test_of_a_large_one_the_first_512_kib_count(web, make, reasons, announced):
    filler = b"# nothing to see here\n" * 23_500  # 517 kB
    text = b"User-agent: *\nDisallow: /first/\n" + filler + b"Disallow: /middle/\n" + filler + b"Disallow: /last/\n"

    def how(handler):
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)
        handler.close_connection = True

    web.answer("/robots.txt", how)
    assert reasons("/first/a", "/middle/a", "/last/a") == [REFUSED, REFUSED, None]


def test_one_that_never_ends_is_cut_and_what_it_said_counts(web, reasons):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(NO_PRIVATE)
        while not web.stopping.is_set():
            handler.wfile.write(b"# and so on\n" * 1000)

    web.answer("/robots.txt", endless)
    assert reasons("/a", "/private/a") == [None, REFUSED]


def test_one_that_drips_cannot_be_had(web, reasons):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        while not web.stopping.wait(0.02):
            handler.wfile.write(b"#")

    web.answer("/robots.txt", drip)
    assert reasons("/a", timeout_s=0.3) == ["timeout"]
    assert web.requests == {"/robots.txt": 1}


HOSTILE = {
    "agents": b"".join(b"User-agent: a%d\n" % n for n in range(30_000)),
    "rules": b"User-agent: *\n" + b"".join(b"Disallow: /%d\n" % n for n in range(35_000)),
    "agents_times_rules": b"".join(b"User-agent: a%d\n" % n for n in range(10_000))
    + b"".join(b"Allow: /%d\n" % n for n in range(20_000)),
    "spellings": b"".join(b"user agent a%d\n" % n for n in range(10_000)) + b"Allow: /x\n" * 30_000,
    "stars": b"User-agent: *\nDisallow: /" + b"*a" * 250_000 + b"$\n",
    "many_stars": b"User-agent: *\n" + (b"Disallow: /" + b"*a" * 50 + b"b$\n") * 4_000,
    "one_line": b"Disallow: /" + b"a" * 500_000,
    "colons": b":" * 500_000,
    "junk": random.Random(0).randbytes(500_000),
    "nothing_but_lines": b"\n" * 500_000,
    "odd_lines": "\u2028User-agent: a\x85Disallow: /\x0b".encode() * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_reading_one_and_asking_it_takes_bounded_time(name):
    used = time.process_time()
    rules = Rules.of(None, HOSTILE[name][: 512 * 1024], "test-agent")
    for n in range(20):
        assert rules.refusal("http://a.example/" + "a" * 2000 + str(n)) in (None, REFUSED, UNREACHABLE)
    assert time.process_time() - used < 5


@given(st.binary(max_size=300))
def test_any_bytes_are_rules(body):
    rules = Rules.of(None, b"User-agent: *\n" + body, "test-agent")
    assert rules.refusal("http://a.example/a%b?ü") in (None, REFUSED)
    assert 0 <= rules.delay_s <= 60


@given(st.sampled_from(sorted(DOWNLOAD_FAILURES)))
def test_every_end_of_a_request_for_it_leads_to_a_documented_refusal(reason):
    assert Rules.of(reason, b"", "x").refusal("http://a.example/") in DOWNLOAD_FAILURES


@pytest.mark.parametrize(
    ("said", "delay_s"), [("2", 2), ("0.5", 0.5), ("100000", 60), ("-1", 0), ("nan", 0), ("inf", 0), ("x", 0)]
)
def test_a_crawl_delay_is_at_most_a_minute(said, delay_s):
    assert Rules.of(None, f"User-agent: *\nCrawl-delay: {said}\n".encode(), "x").delay_s == delay_s


def test_a_crawl_delay_is_kept_in_the_shards_that_follow_too(web, make, reasons):
    times = []
    for path in ("/1", "/2", "/3", "/4"):
        web.answer(path, lambda handler: (times.append(time.monotonic()), make.send(handler, b"abc")))
    web.serve("/robots.txt", b"User-agent: *\nCrawl-delay: 0.3\n")
    reasons("/1", "/2")
    reasons("/3", "/4")
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert gaps[0] > 0.28
    assert gaps[2] > 0.28


def test_what_is_refused_costs_no_delay(web, reasons):
    web.serve("/robots.txt", NO_PRIVATE + b"Crawl-delay: 30\n")
    started = time.monotonic()
    assert reasons(*(f"/private/{n}" for n in range(20)), "/a") == [REFUSED] * 20 + [None]
    assert time.monotonic() - started < 5


def test_rules_are_forgotten_when_there_are_too_many_or_they_are_old(monkeypatch):
    known = KnownRules()
    for n in range(10_001):
        known.put(str(n), Rules())
    assert known.get("0") is None
    assert known.get("1") is not None
    known.put("gone", Rules(unreachable=UNREACHABLE))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 700)
    assert known.get("gone") is None
    assert known.get("2") is not None
    monkeypatch.setattr(time, "monotonic", lambda: now + 25 * 3600)
    assert known.get("2") is None


def test_a_host_that_is_given_up_while_its_robots_txt_is_waited_for_ends_all(web, reasons):
    web.serve("/robots.txt", status=503, headers={"Retry-After": "3600"})
    assert reasons("/a", "/b", "/c", retries=2) == ["host_busy"] * 3
    assert web.requests == {"/robots.txt": 1}
