"""Whose turn it is: requests wait in their host's queue, and no host is asked more, or sooner, than it may be."""

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Any

# So many failures of a host in a row, with no answer between them, and the rest of its URLs is not asked for.
_GIVEN_UP_AFTER = 10


@dataclass(slots=True)
class _Host:
    waiting: deque[Any] = field(default_factory=deque)
    running: int = 0
    free_at: float = 0.0  # no request before this moment
    interval_s: float = 0.0
    placed: bool = False  # among the ready or the timed
    failures: int = 0


class HostQueue:
    """Requests by host. `take` gives the next one that may start, hosts in turn; `done` makes room for another.

    At most `per_host` requests of a host run at once, and `interval_s` lie between two starts. What is taken and `done` without
    having `begun` (a URL that robots.txt forbids) costs its host no time. Moments are time.monotonic(), s.
    """

    def __init__(self, *, per_host: int, interval_s: float = 0.0) -> None:
        self._per_host = per_host
        self._interval_s = interval_s
        self._hosts: dict[str, _Host] = {}
        self._ready: deque[str] = deque()
        self._timed: list[tuple[float, str]] = []
        self._size = 0

    def __len__(self) -> int:
        """How many requests wait."""
        return self._size

    def add(self, host: str, request: Any, *, first: bool = False) -> None:
        """Let a request wait behind the others of its host, or ahead of them."""
        state = self._hosts.get(host)
        if state is None:
            state = self._hosts[host] = _Host(interval_s=self._interval_s)
        if first:
            state.waiting.appendleft(request)
        else:
            state.waiting.append(request)
        self._size += 1
        self._place(host, state)

    def take(self, now: float) -> Any | None:
        """The next request that may start; None where none may yet. Its host counts it as running until `done`."""
        while self._timed and self._timed[0][0] <= now:
            self._put_in_place(heapq.heappop(self._timed)[1], now)
        while self._ready:
            host = self._ready.popleft()
            state = self._hosts[host]
            state.placed = False
            if state.free_at > now:
                self._place(host, state, now)
            elif state.waiting and state.running < self._per_host:
                state.running += 1
                request = state.waiting.popleft()
                self._size -= 1
                self._place(host, state, now)
                return request
        return None

    def begun(self, host: str, now: float) -> None:
        """A request that was taken is made: the next one waits for the host's interval."""
        state = self._hosts[host]
        state.free_at = max(state.free_at, now + state.interval_s)

    def done(self, host: str) -> None:
        """A request that was taken has ended."""
        state = self._hosts[host]
        state.running -= 1
        self._place(host, state)

    def hold(self, host: str, until: float) -> None:
        """Ask the host for nothing before `until`."""
        state = self._hosts[host]
        state.free_at = max(state.free_at, until)

    def slow_down(self, host: str, interval_s: float) -> None:
        """Let at least so much time lie between two requests to the host."""
        state = self._hosts[host]
        state.interval_s = max(state.interval_s, interval_s)

    def answered(self, host: str) -> None:
        """The host is alive."""
        self._hosts[host].failures = 0

    def failed(self, host: str) -> bool:
        """Count a failure of the host itself; whether it is to be given up."""
        state = self._hosts[host]
        state.failures += 1
        return state.failures >= _GIVEN_UP_AFTER

    def hosts(self) -> list[str]:
        """The hosts that requests wait for."""
        return [host for host, state in self._hosts.items() if state.waiting]

    def drop(self, host: str) -> list[Any]:
        """Take all that wait for a host out of the queue."""
        state = self._hosts[host]
        dropped = list(state.waiting)
        state.waiting.clear()
        self._size -= len(dropped)
        return dropped

    def next_at(self) -> float | None:
        """When time alone makes a request ready; None where something else must happen first."""
        return self._timed[0][0] if self._timed else None

    def _place(self, host: str, state: _Host, now: float | None = None) -> None:
        if state.placed or not state.waiting or state.running >= self._per_host:
            return
        state.placed = True
        if now is not None and state.free_at > now:
            heapq.heappush(self._timed, (state.free_at, host))
        else:
            self._ready.append(host)

    def _put_in_place(self, host: str, now: float) -> None:
        state = self._hosts[host]
        state.placed = False
        self._place(host, state, now)
