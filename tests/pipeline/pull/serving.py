"""A web server on loopback that serves a folder and does to a client what bad servers, networks and mirrors do, when told to.

`server.faults[path]` holds what is done to the next requests for a path, one each; then it is served well. Whatever it sends is
counted, so that a test can say what was transferred.
"""

import hashlib
import re
import socket
import struct
import threading
from collections import defaultdict, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from urllib.parse import unquote, urlsplit

_MOST_BYTES = 64 << 20  # of a body without end


@dataclass
class Asked:
    """A request, and what was sent in answer to it."""

    path: str
    headers: dict
    status: int = 0
    bytes_sent: int = 0


@dataclass
class Server:
    """A folder at `url`."""

    root: Path
    url: str = ""
    etags: bool = True
    ranges: bool = True
    faults: dict = field(default_factory=lambda: defaultdict(deque))
    asked: list = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    http: ThreadingHTTPServer | None = None

    def wrap(self, context):
        """From now on over TLS."""
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.url = self.url.replace("http:", "https:")

    def on(self, path, *faults):
        """What happens at the next requests for `path`; a fault `for_ever` at all of them."""
        self.faults[f"/{path}"] = faults[0] if isinstance(faults[0], repeat) else deque(faults)

    def next_fault(self, path):
        waiting = self.faults.get(path)
        if isinstance(waiting, repeat):
            return next(waiting)
        return waiting.popleft() if waiting else None

    def bytes_sent(self, path=None):
        return sum(one.bytes_sent for one in self.asked if path is None or one.path == f"/{path}")

    def requests(self, path):
        return [one for one in self.asked if one.path == f"/{path}"]


def for_ever(fault):
    return repeat(fault)


def cut(after_bytes):
    """Hang up in the middle of the body."""

    def fault(handler):
        handler.send_file(upto=after_bytes)
        handler.hang_up()

    return fault


def reset(after_bytes):
    """Break the connection in the middle of the body, as a crashed machine does."""

    def fault(handler):
        handler.send_file(upto=after_bytes)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.hang_up()

    return fault


def silent(after_bytes):
    """Send the beginning, then nothing more until the server ends."""

    def fault(handler):
        handler.send_file(upto=after_bytes)
        handler.server.served.ended.wait(20)
        handler.hang_up()

    return fault


def status(code, **headers):
    def fault(handler):
        handler.answer(code, headers, b"")

    return fault


def redirect(location, code=302):
    def fault(handler):
        handler.answer(code, {"Location": location}, b"")

    return fault


def corrupt(position):
    """Flip a bit of the byte at `position` of the file, where it is among those asked for."""

    def fault(handler):
        def flipped(data):
            return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]

        handler.send_file(change=flipped)

    return fault


def whole_always(handler):
    """Ignore Range."""
    handler.send_file(ranges=False)


def without_length(handler):
    """As HTTP/1.0 did: the body ends with the connection."""
    handler.send_file(ranges=False, length=False)
    handler.hang_up()


def endless(handler):
    """A body that does not end by itself."""
    handler.answer(200, {"Transfer-Encoding": "chunked"}, None)
    for _ in range(_MOST_BYTES >> 16):
        handler.put(b"10000\r\n" + bytes(1 << 16) + b"\r\n")


def other_range(handler):
    """Bytes from elsewhere than asked for."""
    handler.answer(206, {"Content-Range": "bytes 0-9/10"}, bytes(10))


def then_replaced_by(data, after_bytes):
    """Hang up in the middle, and have another file of that name from then on."""

    def fault(handler):
        cut(after_bytes)(handler)
        handler.file.write_bytes(data)

    return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        served = self.server.served
        path = unquote(urlsplit(self.path).path)
        self.told = Asked(path, {name.lower(): value for name, value in self.headers.items()})
        served.asked.append(self.told)
        self.file = served.root / path.lstrip("/")
        fault = served.next_fault(path)
        try:
            if fault is not None:
                fault(self)
            elif not self.file.is_file():
                self.answer(404, {}, b"")
            else:
                self.send_file(ranges=served.ranges)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send_file(self, *, upto=None, ranges=True, length=True, change=bytes):
        data = change(self.file.read_bytes())
        tag = f'"{hashlib.sha256(self.file.read_bytes()).hexdigest()[:16]}"' if self.server.served.etags else None
        headers = {"ETag": tag} if tag else {}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if ranges and wanted and self.headers.get("If-Range", tag) == tag:
            start = int(wanted[1]) if wanted[1] else max(0, len(data) - int(wanted[2]))
            end = min(len(data), int(wanted[2]) + 1) if wanted[1] and wanted[2] else len(data)
            if start >= len(data):
                self.answer(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            code, body = 206, data[start:end]
        else:
            code, body = 200, data
        if length:
            headers["Content-Length"] = str(len(body))
        self.answer(code, headers, None)
        self.put(body if upto is None else body[:upto])

    def answer(self, code, headers, body):
        """Headers, and the body unless it follows."""
        self.told.status = code
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.put(body or b"")

    def put(self, data):
        for start in range(0, len(data), 1 << 16):
            block = data[start : start + (1 << 16)]
            self.wfile.write(block)
            self.told.bytes_sent += len(block)

    def hang_up(self):
        self.close_connection = True

    def log_message(self, *_):
        pass


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        """A client that hangs up is no error of the server's."""


@contextmanager
def serving(root):
    """The server, for as long as the block lasts."""
    http = _Quiet(("127.0.0.1", 0), _Handler)
    http.served = Server(root=Path(root), url=f"http://127.0.0.1:{http.server_address[1]}", http=http)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield http.served
    finally:
        http.served.ended.set()
        http.shutdown()
        http.server_close()
        thread.join()
