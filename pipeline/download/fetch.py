"""Many requests at once on one thread: libcurl's multi interface on epoll. URLs go in, responses come out in order of arrival."""

import heapq
import select
import time
from typing import IO, Any, NamedTuple, Self

import pycurl

from pipeline.download.outcomes import may_pass
from pipeline.download.transfer import FetchLimits, Transfer
from pipeline.download.url import request_url, scheme_of

_FIRST_PAUSE_S = 0.25  # before the first further attempt; doubled before each one after it


class Response(NamedTuple):
    """How the request for URL `number` ended: a whole body (to be closed), or the reason why there is none."""

    number: int
    reason: str | None
    body: IO[bytes] | None


class _Retry(NamedTuple):
    due: float  # time.monotonic(), s
    number: int
    url: str
    attempt: int


class Fetcher:
    """Requests in flight. `start` adds one, `step` lets them go on; at most `connections` are kept and reused."""

    def __init__(self, limits: FetchLimits, connections: int) -> None:
        self._limits = limits
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._epoll = select.epoll()
        self._timer: float | None = None
        self._running: dict[Any, Transfer] = {}
        self._idle: list[Transfer] = []
        self._retries: list[_Retry] = []
        self._ended: list[Response] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for curl in self._running:
            self._multi.remove_handle(curl)
        for transfer in [*self._running.values(), *self._idle]:
            transfer.body.close()
            transfer.curl.close()
        self._multi.close()
        self._epoll.close()

    @property
    def active(self) -> int:
        """Requests that have not come out of `step` yet."""
        return len(self._running) + len(self._retries) + len(self._ended)

    def start(self, number: int, url: str) -> None:
        """Begin the request for a URL; `number` comes back with its response."""
        scheme = scheme_of(url)
        ready = request_url(url) if scheme in ("http", "https") else None
        if ready is None:
            reason = "invalid_url" if scheme in ("http", "https", "") else "unsupported_scheme"
            self._ended.append(Response(number, reason, None))
        else:
            self._begin(number, ready, 0)

    def step(self, wait_s: float) -> list[Response]:
        """Wait at most `wait_s` for something to happen, and let it; the responses that are complete."""
        self._retry_due()
        if not self._ended:
            self._pump(wait_s)
            self._collect()
        ended, self._ended = self._ended, []
        return ended

    def _begin(self, number: int, url: str, attempt: int) -> None:
        transfer = self._idle.pop() if self._idle else Transfer(self._limits)
        transfer.begin(number, url, attempt)
        self._running[transfer.curl] = transfer
        self._multi.add_handle(transfer.curl)

    def _retry_due(self) -> None:
        now = time.monotonic()
        while self._retries and self._retries[0].due <= now:
            retry = heapq.heappop(self._retries)
            self._begin(retry.number, retry.url, retry.attempt)

    def _pump(self, wait_s: float) -> None:
        now = time.monotonic()
        ends = [now + wait_s, *([self._retries[0].due] if self._retries else []), *([self._timer] if self._timer else [])]
        for descriptor, events in self._epoll.poll(max(0.0, min(ends) - now)):
            wanted = (pycurl.CSELECT_IN if events & ~select.EPOLLOUT else 0) | (
                pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
            )
            self._multi.socket_action(descriptor, wanted)
        if self._timer is not None and self._timer <= time.monotonic():
            self._timer = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _collect(self) -> None:
        more = 1
        while more:
            more, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                self._end(curl, 0)
            for curl, code, _message in failed:
                self._end(curl, code)

    def _end(self, curl: Any, code: int) -> None:
        transfer = self._running.pop(curl)
        reason = transfer.outcome(code)
        self._multi.remove_handle(curl)
        self._idle.append(transfer)
        if reason is None:
            self._ended.append(Response(transfer.number, None, transfer.body))
            return
        transfer.body.close()
        if may_pass(reason) and transfer.attempt < self._limits.retries:
            due = time.monotonic() + _FIRST_PAUSE_S * 2**transfer.attempt
            heapq.heappush(self._retries, _Retry(due, transfer.number, transfer.url, transfer.attempt + 1))
        else:
            self._ended.append(Response(transfer.number, reason, None))

    def _watch(self, event: int, descriptor: int, _multi: Any, _data: Any) -> None:
        """Told by libcurl which sockets to watch, and for what."""
        if event == pycurl.POLL_REMOVE:
            self._forget(descriptor)
            return
        mask = (select.EPOLLIN if event & pycurl.POLL_IN else 0) | (select.EPOLLOUT if event & pycurl.POLL_OUT else 0)
        try:
            self._epoll.register(descriptor, mask)
        except FileExistsError:
            self._epoll.modify(descriptor, mask)

    def _forget(self, descriptor: int) -> None:
        try:
            self._epoll.unregister(descriptor)
        except (FileNotFoundError, OSError, ValueError):
            return  # closed already: epoll has forgotten it by itself

    def _set_timer(self, timeout_ms: int) -> None:
        self._timer = None if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000
