"""Many transfers at once on one thread: libcurl's multi interface on epoll. Transfers go in, those that ended come out."""

import resource
import select
import time
from typing import Any, Self

import pycurl

from pipeline.download.fetching.transfer import FetchLimits, Part, Transfer


class Multi:
    """Transfers in flight, about `connections` at once; connections that are done with are kept open, to be used again."""

    def __init__(self, limits: FetchLimits, connections: int) -> None:
        self._limits = limits
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        # The files that a process may have open hold the bodies and the shard as well.
        kept_open = min(2 * connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._multi.setopt(pycurl.M_MAXCONNECTS, kept_open)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._epoll = select.epoll()
        self._timer: float | None = None
        self._running: dict[Any, tuple[Transfer, Any]] = {}
        self._idle: list[Transfer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for curl in self._running:
            self._multi.remove_handle(curl)
        for transfer in [*(transfer for transfer, _ in self._running.values()), *self._idle]:
            transfer.body.drop()
            transfer.curl.close()
        self._multi.close()
        self._epoll.close()

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, what: Any, url: str, *, timeout_s: float, max_bytes: int, part: Part = "whole") -> None:
        """Start a request, as Transfer.begin has it; `what` comes back with its end."""
        transfer = self._idle.pop() if self._idle else Transfer(self._limits)
        transfer.begin(url, timeout_s=timeout_s, max_bytes=max_bytes, part=part)
        self._running[transfer.curl] = transfer, what
        self._multi.add_handle(transfer.curl)

    def step(self, until: float) -> list[tuple[Any, Any]]:
        """Let happen what happens until a moment of time.monotonic(), or the first that does; (what, Hop) of those that ended."""
        now = time.monotonic()
        wait = min(until, self._timer) - now if self._timer is not None else until - now
        for descriptor, events in self._epoll.poll(max(0.0, wait)):
            wanted = (pycurl.CSELECT_IN if events & ~select.EPOLLOUT else 0) | (
                pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
            )
            self._multi.socket_action(descriptor, wanted)
        if self._timer is not None and self._timer <= time.monotonic():
            self._timer = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        return self._collect()

    def _collect(self) -> list[tuple[Any, Any]]:
        more, ended = 1, []
        while more:
            more, succeeded, failed = self._multi.info_read()
            ended += [(curl, 0) for curl in succeeded] + [(curl, code) for curl, code, _ in failed]
        return [self._end(curl, code) for curl, code in ended]

    def _end(self, curl: Any, code: int) -> tuple[Any, Any]:
        transfer, what = self._running.pop(curl)
        hop = transfer.end(code)
        self._multi.remove_handle(curl)
        self._idle.append(transfer)
        return what, hop

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
