"""How hosts are treated: in turn, never too many requests at once or too soon, waited for when they ask, left alone when dead."""

import itertools
import threading
import time
from collections import Counter, defaultdict
from email.utils import formatdate

import pytest

from pipeline.download.fetching.fetch import Fetcher, Manners
from pipeline.download.fetching.transfer import FetchLimits


class Busy:
    """An answer that takes a while, and how many were under way at once, by host and in all."""

    def __init__(self, make, pause_s=0.03):
        self.lock, self.now, self.most, self.starts = threading.Lock(), Counter(), Counter(), []
        self.make, self.pause_s = make, pause_s

    def __call__(self, handler):
        host = handler.server.server_address[0]
        with self.lock:
            self.starts.append(time.monotonic())
            for name in (host, "all"):
                self.now[name] += 1
                self.most[name] = max(self.most[name], self.now[name])
        time.sleep(self.pause_s)
        with self.lock:
            for name in (host, "all"):
                self.now[name] -= 1
        self.make.send(handler, b"abc")


@pytest.fixture
def two(make):
    """Two servers, on hosts of their own."""
    webs = [make.web("127.0.0.1"), make.web("127.0.0.2")]
    yield webs
    for web in webs:
        web.close()


def test_no_host_has_more_requests_at_once_than_it_may_and_hosts_go_side_by_side(two, make):
    busy = Busy(make)
    urls = [web.answer(f"/{n}", busy) for n in range(12) for web in two]
    make.fetch(urls, manners=Manners(per_host=2), concurrency=16)
    assert (busy.most["127.0.0.1"], busy.most["127.0.0.2"]) == (2, 2)
    assert busy.most["all"] > 2


def test_there_are_never_more_requests_than_connections(two, make):
    busy = Busy(make)
    make.fetch([web.answer(f"/{n}", busy) for n in range(8) for web in two], concurrency=3)
    assert busy.most["all"] <= 3


def test_two_requests_to_a_host_are_an_interval_apart_redirects_included(web, make):
    busy = Busy(make, 0.0)
    web.answer("/end", busy)
    web.answer(
        "/start",
        lambda handler: (busy.starts.append(time.monotonic()), make.send(handler, b"", status=302, headers={"Location": "/end"})),
    )
    make.fetch([web.url("/start"), web.answer("/1", busy), web.answer("/2", busy)], manners=Manners(interval_s=0.3))
    gaps = [later - sooner for sooner, later in itertools.pairwise(busy.starts)]
    assert len(gaps) == 3
    assert min(gaps) > 0.2  # the server may be late with one and not with the next


def test_waiting_for_a_host_costs_no_time_of_the_requests_own(web, make):
    busy = Busy(make, 0.0)
    urls = [web.answer(f"/{n}", busy) for n in range(6)]
    ended = make.fetch(urls, manners=Manners(interval_s=0.12), timeout_s=0.3)
    assert [one.reason for one in ended] == [None] * 6
    assert max(one.account.duration_s for one in ended) < 0.3


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for_by_all_requests_to_that_host_and_by_no_other(two, make, status):
    slow, other = two
    times = defaultdict(list)

    def at_the_second(handler):
        times[handler.path].append(time.monotonic())
        if len(times[handler.path]) == 1:
            make.send(handler, b"", status=status, headers={"Retry-After": "1"})
        else:
            make.send(handler, b"abc")

    def plain(handler):
        times[handler.server.server_address[0]].append(time.monotonic())
        make.send(handler, b"abc")

    urls = [slow.answer("/first", at_the_second), slow.answer("/second", plain), other.answer("/", plain)]
    ended = make.fetch(urls, manners=Manners(per_host=1), retries=1)
    assert [one.reason for one in ended] == [None] * 3
    asked = times["/first"][0]
    assert times["/first"][1] - asked >= 1
    assert times["127.0.0.1"][0] - asked >= 1
    assert times["127.0.0.2"][0] - asked < 0.5
    assert [one.account.attempts for one in ended] == [2, 1, 1]


@pytest.mark.parametrize("said", ["3600", "DATE", "999999999999"])
def test_a_host_that_asks_for_too_much_time_is_left_alone(two, make, said):
    slow, other = two
    said = formatdate(time.time() + 3600, usegmt=True) if said == "DATE" else said
    urls = [slow.serve(f"/{n}", status=429, headers={"Retry-After": said}) for n in range(5)]
    ended = make.fetch([*urls, other.serve("/", b"abc")], manners=Manners(per_host=1), retries=3)
    assert [one.reason for one in ended] == ["http_429", *["host_busy"] * 4, None]
    assert slow.requests.total() == 1
    assert [one.account.attempts for one in ended] == [1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("said", ["0", "-5", "soon", formatdate(0, usegmt=True)])
def test_a_retry_after_that_says_nothing_leaves_the_usual_pause(web, make, said):
    url = web.serve("/", status=503, headers={"Retry-After": said})
    started = time.monotonic()
    (ended,) = make.fetch([url], retries=1)
    assert (ended.reason, web.requests["/"]) == ("http_503", 2)
    assert 0.125 <= time.monotonic() - started < 1.5


def test_pauses_double_and_are_never_the_same(web, make):
    times = []
    url = web.answer("/", lambda handler: (times.append(time.monotonic()), make.send(handler, b"", status=500)))
    make.fetch([url], retries=2)
    first, second = (later - sooner for sooner, later in itertools.pairwise(times))
    assert 0.12 < first < 0.5
    assert 0.24 < second < 0.9


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 501])
def test_what_will_not_pass_is_asked_for_once(web, make, status):
    (ended,) = make.fetch([web.serve("/", status=status)], retries=3)
    assert (ended.reason, web.requests["/"]) == (f"http_{status}", 1)


def test_an_opt_out_is_asked_for_once(web, make):
    (ended,) = make.fetch([web.serve("/", b"abc", headers={"X-Robots-Tag": "noindex"})], retries=3)
    assert (ended.reason, web.requests["/"]) == ("opt_out", 1)


def test_a_host_that_never_answers_is_given_up_after_ten_requests_and_its_rest_is_not_asked_for(web, wire, make):
    silent = wire(lambda _connection, server: server.stopping.wait(5), "127.0.0.3")
    urls = [f"{silent.url}?{n}" for n in range(30)]
    ended = make.fetch([*urls, web.serve("/", b"abc")], timeout_s=0.1, manners=Manners(per_host=4))
    reasons = Counter(one.reason for one in ended)
    assert reasons == {"timeout": reasons["timeout"], "host_unresponsive": 30 - reasons["timeout"], None: 1}
    assert 10 <= reasons["timeout"] < 10 + 4
    assert silent.connections <= 14


def test_one_answer_in_between_keeps_a_host_from_being_given_up(web, make):
    def now_and_then(handler):
        number = int(handler.path[1:])
        time.sleep(0.0 if number % 8 == 0 else 0.15)
        make.send(handler, b"", status=404)

    urls = [web.answer(f"/{n}", now_and_then) for n in range(24)]
    ended = make.fetch(urls, timeout_s=0.07, manners=Manners(per_host=1))
    assert Counter(one.reason for one in ended) == {"timeout": 21, "http_404": 3}


@pytest.mark.parametrize(
    ("connections", "manners"), [(1, Manners()), (1, Manners(interval_s=0.01)), (4, Manners(interval_s=2.0))]
)
def test_waiting_costs_no_work(web, wire, make, connections, manners):
    """For a slow server; for a host whose interval is over while all connections are taken; for an interval."""
    silent = wire(lambda _connection, server: server.stopping.wait(5), "127.0.0.3")
    limits = FetchLimits(timeout_s=30, max_bytes=100, user_agent="webpairs/test", may_connect=lambda _address: True)
    with Fetcher(limits, connections, manners) as fetcher:
        fetcher.start(0, silent.url)
        for number in range(1, 5):
            fetcher.start(number, web.serve("/", b"abc"))
        fetcher.step(0.1)
        used, until, steps = time.thread_time(), time.monotonic() + 0.6, 0
        while time.monotonic() < until:
            fetcher.step(until - time.monotonic())
            steps += 1
        assert time.thread_time() - used < 0.06
        assert steps < 20


def test_decoders_that_are_behind_hold_up_further_requests(web, make):
    limits = FetchLimits(timeout_s=5, max_bytes=100, user_agent="webpairs/test", may_connect=lambda _address: True)
    with Fetcher(limits, 4) as fetcher:
        for number in range(3):
            fetcher.start(number, web.serve(f"/{number}", b"abc"))
        assert fetcher.step(0.1, busy=4) == []
        assert not web.requests
        assert len([*fetcher.step(0.5, busy=3), *fetcher.step(0.5, busy=3)]) <= 2
        while fetcher.active:
            fetcher.step(0.5)
    assert web.requests.total() == 3
