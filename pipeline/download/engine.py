"""The native engine: orders in, one Result each out; fetching on this thread, decoding on a few others, pictures on disk.

What is in memory at a time is bounded by `concurrency` (requests and undecoded bodies together) and by the room that the decoders
share: finished pictures go to a spill file, from which the shard is written in the order of its keys.
"""

import hashlib
import math
import os
import queue
import resource
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import IO, NamedTuple, Self

from pipeline.download.fetching.fetch import Account, Fetcher, Manners, Response
from pipeline.download.fetching.transfer import FetchLimits
from pipeline.download.images.image import BadImageError, ImageSettings, Picture, make_picture
from pipeline.download.images.room import Room
from pipeline.download.outcomes import FAILED_TO_DOWNLOAD, FAILED_TO_RESIZE, Failure, removed_by
from pipeline.removal import Removal
from schemas.errors import UserError

_SPILLED_AT_ONCE = 2**18  # bytes
_WHILE_DECODING_S = 0.02  # how long a finished picture may wait for the fetcher's attention
_Decoded = queue.SimpleQueue[tuple[int, Future[tuple["Result", bytes]]]]
# Hex digits → the hash that has so many.
HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Limits of each request, manners, treatment of each image, how much goes on at once, and which bytes are not to be stored.

    `hashes` are those that are told of the bytes as served.
    """

    limits: FetchLimits
    image: ImageSettings
    concurrency: int
    decode_threads: int
    manners: Manners = field(default_factory=Manners)
    hashes: tuple[str, ...] = ("sha256",)
    removal: Removal = field(default_factory=Removal)


class Order(NamedTuple):
    """What is asked for: a URL, the hex hash of its bytes (None: any), the boxes to blur (x0, y0, x1, y1 in 0 to 1)."""

    url: str
    expected_hash: str | None = None
    boxes: tuple[tuple[float, ...], ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether each of the boxes is four finite numbers."""
        return all(len(box) == 4 and all(part is not None and math.isfinite(part) for part in box) for box in self.boxes)


class Result(NamedTuple):
    """What became of an order: a failure, or a picture at `offset` in the spill file (its own `data` emptied)."""

    failure: Failure | None
    account: Account = Account()
    picture: Picture | None = None
    hashes: tuple[str, ...] = ()
    offset: int = 0
    length: int = 0


class Spill:
    """Finished pictures, in order of arrival, in a file that has no name and so vanishes with the process."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=_SPILLED_AT_ONCE)  # noqa: SIM115 - closed by __exit__
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def add(self, data: bytes) -> int:
        """Keep data; its offset."""
        self._end += self._file.write(data)
        return self._end - len(data)

    def get(self, offset: int, length: int) -> bytes:
        """What was kept at an offset."""
        self._file.flush()
        return os.pread(self._file.fileno(), length, offset)


def download(orders: Sequence[Order], settings: EngineSettings, spill: Spill) -> list[Result]:
    """One Result per order, in their order. Each is requested once (and again after failures that may pass)."""
    _allow_sockets(settings.concurrency)
    results: list[Result | None] = [None] * len(orders)
    room, decoding = Room(), 0
    decoded: _Decoded = queue.SimpleQueue()
    with (
        Fetcher(settings.limits, settings.concurrency, settings.manners) as fetcher,
        ThreadPoolExecutor(settings.decode_threads) as pool,
    ):
        for number, order in enumerate(orders):
            fetcher.start(number, order.url)
        while fetcher.active or decoding:
            for response in fetcher.step(_WHILE_DECODING_S if decoding else 1.0, busy=decoding):
                if response.reason is not None:
                    results[response.number] = Result(Failure(FAILED_TO_DOWNLOAD, response.reason), response.account)
                    continue
                decoding += 1
                work = partial(_make, response, orders[response.number], settings, room)
                pool.submit(work).add_done_callback(partial(_put, decoded, response.number))
            while not decoded.empty():
                number, future = decoded.get()
                results[number] = _keep(*future.result(), spill)
                decoding -= 1
    return [result for result in results if result is not None]


def _allow_sockets(concurrency: int) -> None:
    """Let this process open as many files as so many requests need: connections in use and kept, bodies on disk, the rest."""
    needed = 4 * concurrency + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise UserError(
            f"--concurrency {concurrency}: needs {needed} open files, {hard} are allowed here; lower it, or raise `ulimit -Hn`"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _put(decoded: "_Decoded", number: int, done: "Future[tuple[Result, bytes]]") -> None:
    decoded.put((number, done))


def _make(response: Response, order: Order, settings: EngineSettings, room: Room) -> tuple[Result, bytes]:
    """A whole body as a stored picture's bytes, or why it is none; runs in a decoder's thread."""
    assert response.body is not None  # noqa: S101 - a response without a reason has a body
    body = response.body.take()
    hashes = tuple(hashlib.new(name, body, usedforsecurity=False).hexdigest() for name in settings.hashes)
    failure = _unwanted(body, order, settings, dict(zip(settings.hashes, hashes, strict=True)))
    if failure is not None:
        return Result(failure, response.account, None, hashes), b""
    try:
        picture = make_picture(body, settings.image, boxes=order.boxes, room=room)
    except BadImageError as bad:
        return Result(Failure(FAILED_TO_RESIZE, str(bad)), response.account, None, hashes), b""
    return Result(None, response.account, picture._replace(data=b""), hashes), picture.data


def _unwanted(body: bytes, order: Order, settings: EngineSettings, known: dict[str, str]) -> Failure | None:
    """Why a body is not to be stored; `known` has the hashes of it that are computed already."""
    if order.expected_hash is not None:
        expected = order.expected_hash.strip().lower()
        name = HASHES.get(len(expected))
        if name is None or (known.get(name) or hashlib.new(name, body, usedforsecurity=False).hexdigest()) != expected:
            return Failure(FAILED_TO_DOWNLOAD, "hash_mismatch")
    listed = settings.removal.reason_of_content(body)
    return None if listed is None else removed_by(listed)


def _keep(result: Result, data: bytes, spill: Spill) -> Result:
    return result if result.failure is not None else result._replace(offset=spill.add(data), length=len(data))
