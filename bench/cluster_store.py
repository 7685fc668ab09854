"""An S3 server in a process of its own, moto's, with faults that are switched on and off while it runs.

In: a folder for its address and log, an address to listen at. Out: the environment in which s3:// leads to it, `fault` and
`clear`, and what it counted. Nothing outlives the server: moto keeps its objects in memory.
"""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

CONTROL = "/_control"  # no bucket's name begins with an underscore
_STARTS_WITHIN_S = 60
_PIECES = 8  # of a body that is slow
_ADDRESS, _LOG = "store.address", "store.log"

Kind = Literal["500", "503", "403", "slow", "cut", "down", "silent"]
_ANSWERS = {
    "500": ("500 Internal Server Error", "InternalError", "We encountered an internal error. Please try again."),
    "503": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    "403": ("403 Forbidden", "AccessDenied", "Access Denied"),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong: 500, 503, 403; slow; a body cut in the middle; down: hangs up; silent: says nothing.

    `share` of the requests have it, 0 to 1, or only the `nth` of them, counted from 1, where that is not 0; for `for_s` seconds
    from now, or until `clear`. `method` and `holds` choose requests: GET, PUT, …, and a piece of the path or query.
    """

    kind: Kind
    for_s: float = 86_400.0
    share: float = 1.0
    nth: int = 0
    method: str = ""
    holds: str = ""
    delay_s: float = 2.0  # of a slow answer's first byte, and of its body as a whole


@dataclass(frozen=True, kw_only=True)
class Store:
    """A running server."""

    url: str
    environment: dict[str, str]  # for processes that are to find it

    def fault(self, kind: Kind, **how: Any) -> None:
        """Switch a `Fault` on, in the place of one that is on."""
        self._ask(asdict(Fault(kind=kind, **how)))

    def clear(self) -> None:
        """Switch the fault off."""
        self._ask({})

    def counts(self) -> dict[str, int]:
        """What it did so far: requests and bytes, in and out, by method, and answers with a fault by kind."""
        return self._ask(None)

    def _ask(self, body: Mapping[str, Any] | None) -> dict[str, int]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + CONTROL, data=data), timeout=30) as answer:
            return dict(json.load(answer))


@contextmanager
def store(folder: Path, host: str = "127.0.0.1", port: int = 0, *, prefix: Sequence[str] = ()) -> Iterator[Store]:
    """An empty S3 server for as long as the block lasts, at a free port unless one is given.

    `prefix` goes before the command, as `ip netns exec NAME`. Raises SystemExit where it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _ADDRESS).unlink(missing_ok=True)
    command = [*prefix, sys.executable, "-m", "bench.cluster_store", host, str(port), str(folder)]
    root = str(Path(__file__).resolve().parent.parent)
    with (folder / _LOG).open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": root})
    try:
        url = _address(folder / _ADDRESS, server)
        yield Store(url=url, environment=_environment(url))
    finally:
        server.kill()
        server.communicate()


def _environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _address(path: Path, server: "subprocess.Popen[bytes]") -> str:
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        if path.exists():
            return path.read_text()
        time.sleep(0.05)
    raise SystemExit(f"the S3 server did not start: see {path.with_name(_LOG)}")


class Faulty:
    """A WSGI application before moto's: counts what passes, and lets go wrong what it was told to."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._fault: Fault | None = None
        self._until = 0.0
        self._matching = 0
        self._chance = random.Random(0)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"] == CONTROL:
            return self._control(environ, start_response)
        method, length = environ["REQUEST_METHOD"], int(environ.get("CONTENT_LENGTH") or 0)
        fault = self._strikes(environ)
        with self._lock:
            self._counts.update({"requests": 1, f"requests_{method}": 1, "bytes_in": length})
            self._counts.update([f"faults_{fault.kind}"] if fault else [])
        if fault is None:
            return self._counted(self._application(environ, start_response), method)
        if fault.kind in _ANSWERS:
            environ["wsgi.input"].read(length)  # else the client sees a connection reset in the place of the answer
            return _refused(fault.kind, environ, start_response)
        if fault.kind in ("down", "silent"):
            time.sleep(max(0, self._until - time.monotonic()) if fault.kind == "silent" else 0)
            _hang_up(environ)
        return self._disturbed(fault, environ, start_response, method)

    def _control(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            how = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            with self._lock:
                self._fault, self._matching = Fault(**how) if how else None, 0
                self._until = time.monotonic() + (self._fault.for_s if self._fault else 0)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(self._counts).encode()]

    def _strikes(self, environ: dict[str, Any]) -> Fault | None:
        with self._lock:
            fault = self._fault
            if fault is None or time.monotonic() > self._until or fault.method not in ("", environ["REQUEST_METHOD"]):
                return None
            if fault.holds not in f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}":
                return None
            self._matching += 1
            if fault.nth:
                return fault if self._matching == fault.nth else None
            return fault if self._chance.random() < fault.share else None

    def _counted(self, body: Iterable[bytes], method: str) -> Iterator[bytes]:
        for piece in body:
            with self._lock:
                self._counts.update({"bytes_out": len(piece), f"bytes_out_{method}": len(piece)})
            yield piece

    def _disturbed(
        self, fault: Fault, environ: dict[str, Any], start_response: Callable[..., Any], method: str
    ) -> Iterator[bytes]:
        """Moto's own answer, dripped or broken off."""
        if fault.kind == "slow":
            time.sleep(fault.delay_s)
        body = b"".join(self._counted(self._application(environ, start_response), method))
        if fault.kind == "cut" and len(body) > 1:
            yield body[: len(body) // 2]
            _hang_up(environ)
        step = max(1, -(-len(body) // _PIECES))
        for start in range(0, len(body), step):
            if fault.kind == "slow":
                time.sleep(fault.delay_s / _PIECES)
            yield body[start : start + step]


def _hang_up(environ: dict[str, Any]) -> NoReturn:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


def _refused(kind: str, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    status, code, message = _ANSWERS[kind]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    yield b"" if environ["REQUEST_METHOD"] == "HEAD" else body


def _serve(host: str, port: int, folder: Path) -> None:
    """Serve until standard input is closed, which it is when whoever started this ends, however that happens."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    moto = DomainDispatcherApplication(create_backend_app)
    server = make_server(host, port, Faulty(moto), threaded=True, request_handler=MotoRequestHandler)
    os.environ["MOTO_PORT"] = str(server.server_port)
    fresh = folder / f"{_ADDRESS}.new"
    fresh.write_text(f"http://{host}:{server.server_port}")
    fresh.replace(folder / _ADDRESS)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
