"""A loopback web server with chosen answers, pictures made by code, and a pool of its URLs."""

import hashlib
import io
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.download.fetching.address import any_address
from pipeline.download.fetching.fetch import Account, Fetcher, Manners
from pipeline.download.fetching.robots import known_rules
from pipeline.download.fetching.transfer import FetchLimits
from schemas.pool import POOL


class Web:
    """A server on loopback: `paths` gives each path's answer, `requests` counts them."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.paths: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.requests: Counter[str] = Counter()
        self.stopping = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def do_GET(self):
                web.requests[self.path] += 1
                try:
                    web.paths.get(self.path, web.not_found)(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_words):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_where):
                pass  # clients that hang up are part of the tests

        self.server = Server((host, 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def not_found(handler):
        send(handler, b"no such page", status=404)

    def serve(self, path: str, body: bytes = b"", *, status: int = 200, headers: dict[str, str] | None = None) -> str:
        """Answer `path` with this body; its URL."""
        return self.answer(path, lambda handler: send(handler, body, status=status, headers=headers))

    def answer(self, path: str, how: Callable[[BaseHTTPRequestHandler], None]) -> str:
        """Answer `path` by calling `how`; its URL."""
        self.paths[path] = how
        return self.url(path)

    def url(self, path: str) -> str:
        return "http://{}:{}".format(*self.server.server_address) + path

    def close(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()


class Wire:
    """A server that knows nothing of HTTP: `how(connection, wire)` is called once a request's head is there, or at once."""

    def __init__(self, how: Callable[[socket.socket, "Wire"], None], host: str = "127.0.0.1", *, at_once: bool = False) -> None:
        self.connections = 0
        self.stopping = threading.Event()
        self._how, self._at_once = how, at_once
        self._listening = socket.create_server((host, 0), backlog=256)
        self.url = "http://{}:{}/a.jpg".format(*self._listening.getsockname())
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                if self._at_once or self.has_request(connection):
                    self._how(connection, self)
            except OSError:
                pass  # clients that hang up are part of the tests

    @staticmethod
    def has_request(connection: socket.socket) -> bool:
        """Wait for the head of the next request; False where none comes."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                return False
            head += piece
        return True

    def close(self) -> None:
        if self.stopping.is_set():
            return
        self.stopping.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)


class Ended(NamedTuple):
    """How a URL ended: the reason for a failure, or the body."""

    reason: str | None
    body: bytes | None
    account: Account


def fetch(urls: Sequence[str], *, manners: Manners | None = None, concurrency: int = 8, **limits) -> list[Ended]:
    """Fetch URLs, and no more: no shard, no decoding. `limits` are those of FetchLimits."""
    told = {"timeout_s": 5, "max_bytes": 10**6, "user_agent": "webpairs/test", "may_connect": any_address, **limits}
    ended: dict[int, Ended] = {}
    with Fetcher(FetchLimits(**told), concurrency, manners) as fetcher:
        for number, url in enumerate(urls):
            fetcher.start(number, url)
        while fetcher.active:
            for response in fetcher.step(1.0):
                assert response.number not in ended
                ended[response.number] = Ended(response.reason, response.body and response.body.take(), response.account)
    return [ended[number] for number in range(len(urls))]


def send(handler, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def web() -> Iterator[Web]:
    served = Web()
    yield served
    served.close()


@pytest.fixture
def wire() -> Iterator[Callable[..., Wire]]:
    """Starts servers of the Wire kind: wire(how, host="127.0.0.1", at_once=False)."""
    made = []

    def start(*arguments, **options):
        made.append(Wire(*arguments, **options))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.fixture(autouse=True)
def no_rules_are_known():
    """Ports come back: what a test learnt from a robots.txt is not to be known to the next."""
    known_rules.cache_clear()


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions of this file that make a test's world: make.picture(…), make.pool(…), make.web(), make.uid(…)."""
    return SimpleNamespace(picture=picture, pool=write_pool, web=Web, uid=uid_of, send=send, smooth=smooth, fetch=fetch)


def smooth(width: int, height: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """(height, width, channels) uint8 that compresses like a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, channels), dtype=np.uint8)
    bands = [Image.fromarray(coarse[..., i]).resize((width, height), Image.Resampling.BICUBIC) for i in range(channels)]
    return np.stack([np.asarray(band) for band in bands], axis=-1)


def picture(width: int, height: int, seed: int = 0, *, mode: str = "RGB", kind: str = "JPEG", **settings) -> bytes:
    """An encoded image."""
    channels = {"RGBA": 4, "CMYK": 4, "LA": 2}.get(mode, 3)
    pixels = smooth(width, height, seed, channels)
    image = Image.fromarray(pixels, mode if channels == 4 else None) if channels != 2 else None
    if mode == "LA":
        image = Image.merge("LA", [Image.fromarray(pixels[..., 0]), Image.fromarray(pixels[..., 1])])
    if mode in ("L", "P", "1"):
        image = image.convert(mode)
    encoded = io.BytesIO()
    image.save(encoded, kind, **settings)
    return encoded.getvalue()


def write_pool(folder: Path, pairs: list[tuple[str, str]], *, files: int = 1) -> Path:
    """A pool of (url, text) pairs in as many files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_row(number, url, text) for number, (url, text) in enumerate(pairs)]
    size = -(-len(rows) // files)
    for number in range(files):
        piece = rows[number * size : (number + 1) * size]
        pq.write_table(pa.Table.from_pylist(piece, schema=POOL), folder / f"part-{number:05d}.parquet")
    return folder


def uid_of(url: str, text: str) -> str:
    return hashlib.md5((text + url).encode()).hexdigest()


def _row(number: int, url: str, text: str) -> dict:
    return {
        "uid": uid_of(url, text),
        "url": url,
        "text": text,
        "page_url": "http://site.example/page",
        "crawl": "CC-MAIN-2024-22",
        "wat_path": "a.wat.gz",
        "record_offset": number,
        "fetched_at": datetime(2024, 5, 18, 1, 2, 3, tzinfo=UTC) if number % 3 else None,
        "html_lang": "en",
        "content_language": None,
        "license_url": None,
        "robots": ["nofollow"] if number % 2 else [],
        "tdm_reserved": None if number % 2 else False,
        "source": "img",
        "lang": "en",
        "lang_prob": 0.99,
        "domain": "site.example",
        "opted_out": False,
        "n_records": 1,
        "sample_rank": number,
    }
