"""A loopback web server with chosen answers, pictures made by code, and a pool of its URLs."""

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions of this file that make a test's world: make.picture(…), make.pool(…), make.web(), make.uid(…)."""
    return SimpleNamespace(picture=picture, pool=write_pool, web=Web, uid=uid_of, send=send, smooth=smooth)


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
