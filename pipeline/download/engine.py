"""The native engine: URLs in, one Result each out; fetching on this thread, decoding on a few others, pictures on disk.

What is in memory at a time is bounded by `concurrency` (requests and undecoded bodies together) and by the number of decoders:
finished pictures go to a spill file, from which the shard is written in the order of its keys.
"""

import hashlib
import queue
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, NamedTuple, Self

from pipeline.download.fetch import Fetcher, Response
from pipeline.download.image import BadImageError, ImageSettings, Picture, make_picture
from pipeline.download.outcomes import FAILED_TO_DOWNLOAD, FAILED_TO_RESIZE, Failure, removed_by
from pipeline.download.transfer import FetchLimits
from pipeline.removal import Removal

_WHILE_DECODING_S = 0.02  # how long a finished picture may wait for the fetcher's attention


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Limits of each request, treatment of each image, how much goes on at once, and which bytes are not to be stored."""

    limits: FetchLimits
    image: ImageSettings
    concurrency: int
    decode_threads: int
    removal: Removal = field(default_factory=Removal)


class Result(NamedTuple):
    """What became of one URL: a failure, or a picture at `offset` in the spill file (its own `jpg` emptied)."""

    failure: Failure | None
    picture: Picture | None = None
    sha256: str | None = None
    offset: int = 0
    length: int = 0


class Spill:
    """Finished pictures, in order of arrival, in a file that has no name and so vanishes with the process."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def add(self, data: bytes) -> int:
        """Keep data; its offset."""
        offset = self._end
        self._file.seek(offset)
        self._file.write(data)
        self._end += len(data)
        return offset

    def get(self, offset: int, length: int) -> bytes:
        """What was kept at an offset."""
        self._file.seek(offset)
        return self._file.read(length)


def download_urls(urls: Sequence[str], settings: EngineSettings, spill: Spill) -> list[Result]:
    """One Result per URL, in their order. Each URL is requested once (and again after failures that may pass)."""
    results: list[Result | None] = [None] * len(urls)
    started = decoding = 0
    decoded: queue.SimpleQueue[Future[tuple[int, Failure | Picture, str]]] = queue.SimpleQueue()
    with Fetcher(settings.limits, settings.concurrency) as fetcher, ThreadPoolExecutor(settings.decode_threads) as pool:
        while started < len(urls) or fetcher.active or decoding:
            while started < len(urls) and fetcher.active + decoding < settings.concurrency:
                fetcher.start(started, urls[started])
                started += 1
            for response in fetcher.step(_WHILE_DECODING_S if decoding else 1.0):
                if response.reason is not None:
                    results[response.number] = Result(Failure(FAILED_TO_DOWNLOAD, response.reason))
                    continue
                decoding += 1
                pool.submit(_decode, response, settings).add_done_callback(decoded.put)
            while not decoded.empty():
                number, made, sha256 = decoded.get().result()
                results[number] = _keep(made, sha256, spill)
                decoding -= 1
    return [result for result in results if result is not None]


def _decode(response: Response, settings: EngineSettings) -> tuple[int, Failure | Picture, str]:
    assert response.body is not None  # noqa: S101 - a response without a reason has a body
    with response.body as file:
        file.seek(0)
        body = file.read()
    sha256 = hashlib.sha256(body).hexdigest()
    listed = settings.removal.reason_of_content(body)
    if listed is not None:
        return response.number, removed_by(listed), sha256
    try:
        return response.number, make_picture(body, settings.image), sha256
    except BadImageError as bad:
        return response.number, Failure(FAILED_TO_RESIZE, str(bad)), sha256


def _keep(made: Failure | Picture, sha256: str, spill: Spill) -> Result:
    if isinstance(made, Failure):
        return Result(made)
    return Result(None, made._replace(jpg=b""), sha256, spill.add(made.jpg), len(made.jpg))
