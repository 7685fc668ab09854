"""A small web server on loopback that answers as an HTTP forward proxy for whatever a lookup knows.

Give it `lookup(url) -> Response | None` and use it as a context manager: clients that take `proxy_url` as their HTTP proxy reach
every host of the lookup. GET and HEAD, HTTP/1.0 and 1.1, keep-alive; for tests and the demo, not for the open network.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import responses as reasons
from urllib.parse import urlsplit

_MAX_CONNECTIONS = 1024
_MAX_HEAD_BYTES = 65_536
_IDLE_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a URL answers. `headers` without Content-Length; `dropped`: the connection closes in the middle of the body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    dropped: bool = False


Lookup = Callable[[str], Response | None]
_NOT_FOUND = Response(status=404, headers=(("Content-Type", "text/plain"),), body=b"not found\n")


class ProxyServer:
    """Serves a lookup on 127.0.0.1, or another address of this machine, from a thread of its own, from __enter__ to __exit__.

    `port` 0 takes a free one; `requests` counts what was answered. A lookup that raises answers 500.
    """

    def __init__(self, lookup: Lookup, port: int = 0, host: str = "127.0.0.1") -> None:
        self._lookup = lookup
        self._host, self._port = host, port
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="demo-proxy", daemon=True)
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self.requests = 0

    def __enter__(self) -> "ProxyServer":
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def proxy_url(self) -> str:
        """What a client takes as its proxy, e.g. http://127.0.0.1:40123."""
        return f"http://{self._host}:{self._port}"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with socket.create_server((self._host, self._port), backlog=512) as listener:
            listener.setblocking(False)
            self._port = listener.getsockname()[1]
            self._loop.add_reader(listener, self._accept, listener)
            self._ready.set()
            await self._stop.wait()
            self._loop.remove_reader(listener)
        open_sockets = list(self._connections.values())
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for channel in open_sockets:
            channel.close()

    def _accept(self, listener: socket.socket) -> None:
        """Give a new connection its task. Not asyncio's own server: its accepting cannot be ended without losing a socket."""
        try:
            channel, _ = listener.accept()
        except OSError:  # the client has gone again
            return
        channel.setblocking(False)
        if len(self._connections) >= _MAX_CONNECTIONS:
            channel.close()
            return
        task = self._loop.create_task(self._answer_all(channel))
        self._connections[task] = channel
        task.add_done_callback(self._connections.pop)

    async def _answer_all(self, channel: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=channel, limit=_MAX_HEAD_BYTES)
        try:
            while await self._answer_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        with suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_IDLE_TIMEOUT_S):
                writer.close()
                await writer.wait_closed()
        writer.transport.abort()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and answer it; whether the connection stays open."""
        async with asyncio.timeout(_IDLE_TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        request = _parse(head)
        self.requests += 1
        if request is None:
            writer.write(_encode(Response(status=400), keep=False, with_body=True))
            await writer.drain()
            return False
        response = self._respond(request)
        if response.dropped:
            encoded = _encode(response, keep=False, with_body=True)
            writer.write(encoded[: len(encoded) - len(response.body) // 2])
            await writer.drain()
            return False
        writer.write(_encode(response, keep=request.keep, with_body=request.method != "HEAD"))
        await writer.drain()
        return request.keep

    def _respond(self, request: "_Request") -> Response:
        if request.method not in {"GET", "HEAD"}:
            return Response(status=405, headers=(("Allow", "GET, HEAD"),))
        try:
            return self._lookup(request.url) or _NOT_FOUND
        except Exception as error:  # noqa: BLE001 - a server goes on answering whatever one lookup does
            return Response(status=500, headers=(("Content-Type", "text/plain"),), body=type(error).__name__.encode())


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    keep: bool


def _parse(head: bytes) -> _Request | None:
    """The request in a head: absolute-form as proxies get it, or origin-form with Host. None where it is neither."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    method, target, version = words
    url = target if "://" in target else f"http://{fields.get('host', '')}{target}"
    try:
        known = bool(urlsplit(url).hostname) and (target.startswith("/") or "://" in target)
    except ValueError:
        return None
    # A body would be taken for the next request: what brings one is answered and the connection closed.
    has_body = fields.get("content-length", "0") != "0" or "transfer-encoding" in fields
    said = (fields.get("proxy-connection", "") + fields.get("connection", "")).lower()
    keep = not has_body and ("keep-alive" in said if version == "HTTP/1.0" else "close" not in said)
    return _Request(method, _as_utf8(url), keep) if known else None


def _as_utf8(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "replace")


def _encode(response: Response, *, keep: bool, with_body: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status} {reasons.get(response.status, 'Unknown')}",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    lines += [f"Content-Length: {len(response.body)}", f"Connection: {'keep-alive' if keep else 'close'}"]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    return head + response.body if with_body else head
