"""URLs go in, responses come out in order of arrival: hosts in turn, redirects hop by hop, further attempts, robots.txt.

A URL's way is an errand: requests to one host after the other, each in its host's queue and under its rules. Waiting costs no
time of an errand's own: `timeout_s` is for the requests of an attempt together.
"""

import heapq
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from pipeline.download.fetching.hosts import HostQueue
from pipeline.download.fetching.multi import Multi
from pipeline.download.fetching.robots import MAX_BYTES, Rules, known_rules, origin_of
from pipeline.download.fetching.transfer import Body, FetchLimits, Hop
from pipeline.download.fetching.url import Target, joined, scheme_of, target_of
from pipeline.download.outcomes import is_of_host, may_pass

_FIRST_PAUSE_S = 0.25  # before the first further attempt, doubled before each one after it, times a half to one and a half
_MAX_REDIRECTS = 10
_BUSY = (429, 503)
_PATIENCE = 10  # × max_wait_s: how long a shard waits for hosts' intervals while nothing else is going on


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How hosts are treated: requests at once and seconds between them per host, the longest Retry-After that is waited for."""

    per_host: int = 8
    interval_s: float = 0.0
    max_wait_s: float = 30.0
    robots_txt: bool = False


class Account(NamedTuple):
    """What is told of a URL besides its outcome: the last request's URL and content type, body bytes as sent and seconds of all

    requests together, attempts (0: it was not asked for), and the moment of its end, s since the epoch.
    """

    final_url: str | None = None
    content_type: str | None = None
    bytes_read: int = 0
    duration_s: float = 0.0
    attempts: int = 0
    ended_at: float | None = None


class Response(NamedTuple):
    """How the way of URL `number` ended: a whole body, or the reason why there is none."""

    number: int
    reason: str | None
    body: Body | None
    account: Account = Account()


@dataclass(slots=True)
class _Errand:
    number: int
    target: Target  # of the next request
    first: Target
    attempts: int = 0
    hops: int = 0
    left_s: float = 0.0
    bytes_read: int = 0
    seconds: float = 0.0
    content_type: str | None = None
    asked: str | None = None  # URL of the last request
    origin: str | None = None  # whose robots.txt is fetched by it

    def restart(self) -> None:
        self.target, self.hops = self.first, 0

    def account(self) -> Account:
        if not self.attempts:
            return Account()
        return Account(self.asked, self.content_type, self.bytes_read, self.seconds, self.attempts, time.time())


@dataclass(slots=True)
class _Waiting:
    """Errands that wait for something else than their host's turn."""

    retries: list[tuple[float, int, _Errand]] = field(default_factory=list)  # a heap by time
    parked: defaultdict[str, list[_Errand]] = field(default_factory=lambda: defaultdict(list))  # by origin, for its robots.txt


class Fetcher:
    """Errands under way, at most `connections` requests at once. `start` adds one, `step` lets them go on."""

    def __init__(self, limits: FetchLimits, connections: int, manners: Manners | None = None) -> None:
        self._limits = limits
        self._connections = connections
        self._manners = manners or Manners()
        self._multi = Multi(limits, connections)
        self._queue = HostQueue(per_host=self._manners.per_host, interval_s=self._manners.interval_s)
        self._waiting = _Waiting()
        self._given_up: dict[str, str] = {}
        self._ended: list[Response] = []
        self._active = 0
        self._idle_s = 0.0  # spent on waiting for hosts' intervals alone
        self._rules = known_rules(limits.agent_name)
        self._random = random.Random()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._multi.__exit__(*error)

    @property
    def active(self) -> int:
        """URLs that have not come out of `step` yet."""
        return self._active

    def start(self, number: int, url: str) -> None:
        """Take a URL up; `number` comes back with its response."""
        self._active += 1
        target = _target(url)
        if target is None:
            self._ended.append(Response(number, _reason_against(url), None))
        else:
            self._enqueue(_Errand(number, target, target))

    def step(self, wait_s: float, busy: int = 0) -> list[Response]:
        """Wait at most `wait_s` for something to happen, and let it; the responses that are complete.

        `busy` of the connections stay unused for now: as many bodies wait to be decoded.
        """
        now = time.monotonic()
        self._retry_due(now)
        while len(self._multi) + busy < self._connections and (errand := self._queue.take(now)) is not None:
            self._send(errand)
        until = now if self._ended else self._next_at(now + wait_s, room=len(self._multi) + busy < self._connections)
        for errand, hop in self._multi.step(until):
            self._arrived(errand, hop)
        self._lose_patience(now)
        ended, self._ended = self._ended, []
        self._active -= len(ended)
        return ended

    def _lose_patience(self, since: float) -> None:
        """Give up hosts that want so much time between requests that nothing else is going on, when that has lasted too long."""
        if len(self._multi) or self._waiting.retries or not len(self._queue):
            return
        self._idle_s += time.monotonic() - since
        if self._idle_s > _PATIENCE * self._manners.max_wait_s:
            for host in self._queue.hosts():
                self._give_up(host, "host_busy")

    def _next_at(self, at_latest: float, *, room: bool) -> float:
        """When there is something to do even if nothing arrives; a host whose time comes has to wait for room, too."""
        retry = self._waiting.retries[0][0] if self._waiting.retries else None
        times = (at_latest, retry, self._queue.next_at() if room else None)
        return min(moment for moment in times if moment is not None)

    def _enqueue(self, errand: _Errand, *, first: bool = False) -> None:
        given_up = self._given_up.get(errand.target.host)
        if given_up is not None:
            self._finish(errand, given_up)
        else:
            self._queue.add(errand.target.host, errand, first=first)

    def _retry_due(self, now: float) -> None:
        retries = self._waiting.retries
        while retries and retries[0][0] <= now:
            self._enqueue(heapq.heappop(retries)[2], first=True)

    def _send(self, errand: _Errand) -> None:
        """Use the place that the queue gave an errand: for its request, or for the robots.txt that must be known first."""
        if self._manners.robots_txt and errand.origin is None:
            origin = origin_of(errand.target.url)
            rules = self._rules.get(origin)
            if rules is None:
                self._ask_for_rules(origin, errand)
                return
            refusal = rules.refusal(errand.target.url)
            if refusal is not None:
                self._queue.done(errand.target.host)
                self._finish(errand, refusal)
                return
            self._queue.slow_down(errand.target.host, rules.delay_s)
        self._request(errand)

    def _request(self, errand: _Errand) -> None:
        if errand.hops == 0:
            errand.left_s, errand.attempts = self._limits.timeout_s, errand.attempts + 1
        errand.asked = errand.target.url
        self._queue.begun(errand.target.host, time.monotonic())
        if errand.origin is None:
            self._multi.begin(errand, errand.asked, timeout_s=errand.left_s, max_bytes=self._limits.max_bytes)
        else:  # of a longer one the rest is ignored, as RFC 9309 has it
            self._multi.begin(errand, errand.asked, timeout_s=errand.left_s, max_bytes=MAX_BYTES, part="start")

    def _ask_for_rules(self, origin: str, errand: _Errand) -> None:
        under_way = origin in self._waiting.parked
        self._waiting.parked[origin].append(errand)
        if under_way:
            self._queue.done(errand.target.host)
        else:
            target = Target(f"{origin}/robots.txt", errand.target.host)
            self._request(_Errand(-1, target, target, origin=origin))

    def _arrived(self, errand: _Errand, hop: Hop) -> None:
        self._queue.done(errand.target.host)
        errand.bytes_read += hop.bytes_read
        errand.seconds += hop.seconds
        errand.left_s -= hop.seconds
        errand.content_type = hop.content_type
        if hop.status and not is_of_host(hop.reason or ""):
            self._queue.answered(errand.target.host)
        if hop.location is not None:
            self._redirect(errand, hop.location)
        elif hop.reason is None:
            self._finish(errand, None, hop.body)
        else:
            self._failed(errand, hop)

    def _redirect(self, errand: _Errand, location: str) -> None:
        errand.hops += 1
        place = joined(errand.target.url, location)
        target = _target(place)
        if errand.hops > _MAX_REDIRECTS:
            self._finish(errand, "too_many_redirects")
        elif target is None:
            self._finish(errand, _reason_against(place))
        elif errand.left_s <= 0:
            self._finish(errand, "timeout")
        else:
            errand.target = target
            self._enqueue(errand, first=True)

    def _failed(self, errand: _Errand, hop: Hop) -> None:
        """Try again later what may pass, and leave alone a host that asks for it or does not answer at all."""
        reason = hop.reason or ""
        hop.body.drop()
        pause = _FIRST_PAUSE_S * 2 ** (errand.attempts - 1) * self._random.uniform(0.5, 1.5)
        if hop.status in _BUSY:
            pause = max(pause, hop.retry_after_s or 0.0)
            self._hold(errand.target.host, pause)
        elif is_of_host(reason) and self._queue.failed(errand.target.host):
            self._give_up(errand.target.host, "host_unresponsive")
        if may_pass(reason) and errand.attempts <= self._limits.retries and errand.target.host not in self._given_up:
            due = time.monotonic() + pause
            errand.restart()
            heapq.heappush(self._waiting.retries, (due, id(errand), errand))
        else:
            self._finish(errand, reason)

    def _hold(self, host: str, seconds: float) -> None:
        if seconds > self._manners.max_wait_s:
            self._give_up(host, "host_busy")
        else:
            self._queue.hold(host, time.monotonic() + seconds)

    def _give_up(self, host: str, reason: str) -> None:
        self._given_up[host] = reason
        for errand in self._queue.drop(host):
            self._finish(errand, reason)

    def _finish(self, errand: _Errand, reason: str | None, body: Body | None = None) -> None:
        if errand.origin is not None:
            self._learn(errand.origin, reason, body)
        else:
            self._ended.append(Response(errand.number, reason, body, errand.account()))

    def _learn(self, origin: str, reason: str | None, body: Body | None) -> None:
        """Remember what a robots.txt says, or that there is none, and let those go on that waited for it."""
        rules = Rules.of(reason, body.take() if body is not None else b"", self._limits.agent_name)
        self._rules.put(origin, rules)
        parked = self._waiting.parked.pop(origin)
        for errand in reversed(parked):
            self._enqueue(errand, first=True)


def _target(url: str) -> Target | None:
    return target_of(url) if scheme_of(url) in ("http", "https") else None


def _reason_against(url: str) -> str:
    """Why a URL that is no target cannot be requested."""
    return "invalid_url" if scheme_of(url) in ("http", "https", "") else "unsupported_scheme"
