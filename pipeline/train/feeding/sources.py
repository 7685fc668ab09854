"""Where batches come from: the card itself, if the pool's wanted rows fit on it, else this machine, gathered one batch ahead.

Both take the rows of one batch after another and give (b, H, W, 3) uint8 images and (b, L) int64 tokens on the device.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from pipeline.train.decoded.pool import DecodedPool

MOST_OF_THE_CARD = 0.4  # of what is free on it: the model, its gradients and activations need the rest
_COPIED_BYTES = 2**27  # to the card at a time
AHEAD = 2  # batches that are on their way to a card
_GATHERERS = 4  # threads that fill a batch for a card; reading lets go of the interpreter

Pair = tuple[torch.Tensor, torch.Tensor]


class Source(Protocol):
    """Rows of one batch after another → images and tokens on the device."""

    def batches(self, rows: Iterable[np.ndarray]) -> Generator[Pair, None, None]:
        """(b,) int64 each → (b, H, W, 3) uint8 and (b, L) int64."""
        ...


def source_for(pool: DecodedPool, index: np.ndarray, device: str) -> Source:
    """The source for a run over the rows in `index`, int64, repeated ones counted once: the card if they fit there."""
    if torch.device(device).type != "cuda":
        return Streamed(pool, device)
    wanted = np.unique(index)
    free_bytes = torch.cuda.mem_get_info(device)[0]
    if fits_on_card(len(wanted) * bytes_per_row(pool), free_bytes):
        return Resident(pool, wanted, device)
    return Streamed(pool, device)


def fits_on_card(needed_bytes: int, free_bytes: int) -> bool:
    """Whether that much may be laid on a card with so much free."""
    return needed_bytes <= MOST_OF_THE_CARD * free_bytes


def bytes_per_row(pool: DecodedPool) -> int:
    """What a pair takes on a card, in bytes."""
    return int(np.prod(pool.images.shape[1:])) + 4 * int(pool.tokens.shape[1])


class Resident:
    """All wanted rows, copied to the device once. A batch is gathered there: the host only says which rows."""

    def __init__(self, pool: DecodedPool, wanted: np.ndarray, device: str) -> None:
        """wanted: (m,) int64, ascending, each row once."""
        self._wanted, self._device = wanted, device
        self._images = torch.empty((len(wanted), *pool.images.shape[1:]), dtype=torch.uint8, device=device)
        self._tokens = torch.empty((len(wanted), pool.tokens.shape[1]), dtype=torch.int32, device=device)
        at_once = max(1, _COPIED_BYTES // bytes_per_row(pool))
        for start in range(0, len(wanted), at_once):
            rows = wanted[start : start + at_once]
            images = np.empty((len(rows), *pool.images.shape[1:]), np.uint8)
            pool.images.read_into(rows, images)
            self._images[start : start + at_once] = torch.from_numpy(images).to(device)
            self._tokens[start : start + at_once] = torch.from_numpy(pool.tokens[rows]).to(device)

    def batches(self, rows: Iterable[np.ndarray]) -> Generator[Pair, None, None]:
        """See Source."""
        for some in rows:
            at = torch.from_numpy(np.searchsorted(self._wanted, some)).to(self._device)
            yield self._images[at], self._tokens[at].long()


class Streamed:
    """Batches gathered on this machine by a thread that is ahead of who takes them, and copied to a card beside its work."""

    def __init__(self, pool: DecodedPool, device: str) -> None:
        self._pool, self._device = pool, torch.device(device)

    def batches(self, rows: Iterable[np.ndarray]) -> Generator[Pair, None, None]:
        """See Source. The thread ends with the iterator, however that ends."""
        if self._device.type != "cuda":
            for images, tokens in _ahead(self._gathered, rows, 1):
                yield images, tokens.long()
            return
        lane = CudaLane(self._device)
        with ThreadPoolExecutor(_GATHERERS, "gather") as gatherers:
            for sent in _ahead(Filling(self._pool, lane, gatherers), rows, AHEAD):
                images, tokens = lane.arrived(sent)
                yield images, tokens.long()

    def _gathered(self, rows: np.ndarray) -> Pair:
        images = np.empty((len(rows), *self._pool.images.shape[1:]), np.uint8)
        self._pool.images.read_into(rows, images)
        return torch.from_numpy(images), torch.from_numpy(self._pool.tokens[rows])


class Sent(NamedTuple):
    """Images and tokens that are on their way to a card, and the event that is reached when they are there."""

    pair: Pair
    copied: Any


class Lane(Protocol):
    """How a batch gets from this machine's memory to the card."""

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Memory of this machine from which can be sent."""
        ...

    def send(self, pair: Pair) -> Sent:
        """Begin to copy; the buffers are not to be written before `wait_for`."""
        ...

    def wait_for(self, sent: Sent) -> None:
        """Return when all was copied."""
        ...


class CudaLane:
    """Page-locked memory, copied on a stream of its own, so that the card computes meanwhile.

    Source: CUDA C++ programming guide, "Asynchronous concurrent execution".
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """See Lane."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def send(self, pair: Pair) -> Sent:
        """See Lane."""
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            images, tokens = (each.to(self._device, non_blocking=True) for each in pair)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record(self._stream)
        return Sent((images, tokens), copied)

    def wait_for(self, sent: Sent) -> None:
        """See Lane."""
        sent.copied.synchronize()

    def arrived(self, sent: Sent) -> Pair:
        """The pair, for use on the current stream, which waits for the copy; the host does not."""
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(sent.copied)
        for each in sent.pair:
            each.record_stream(stream)  # else its memory might be given out anew while the card still reads it
        return sent.pair


class Filling:
    """Rows → buffers → a lane. For one thread, which has others gather; buffers are used in turn, AHEAD + 1 of them."""

    def __init__(self, pool: DecodedPool, lane: Lane, gatherers: ThreadPoolExecutor) -> None:
        self._pool, self._lane, self._gatherers = pool, lane, gatherers
        self._used: deque[tuple[Pair, Sent]] = deque()

    def __call__(self, rows: np.ndarray) -> Sent:
        images, tokens = buffers = self._buffers(len(rows))
        into, read = images.numpy(), self._pool.images.read_into
        ends = [len(rows) * part // _GATHERERS for part in range(_GATHERERS + 1)]
        for done in [self._gatherers.submit(read, rows[a:b], into[a:b]) for a, b in pairwise(ends)]:
            done.result()
        tokens.numpy()[:] = self._pool.tokens[rows]
        sent = self._lane.send(buffers)
        self._used.append((buffers, sent))
        return sent

    def _buffers(self, size: int) -> Pair:
        """Those that were used longest ago, when the card has what was in them; new ones while there are few."""
        if len(self._used) > AHEAD:
            buffers, sent = self._used.popleft()
            self._lane.wait_for(sent)
            if len(buffers[0]) == size:
                return buffers
        images = self._lane.buffer((size, *self._pool.images.shape[1:]), torch.uint8)
        return images, self._lane.buffer((size, self._pool.tokens.shape[1]), torch.int32)


def _ahead(make: Any, items: Iterable[np.ndarray], count: int) -> Iterator[Any]:
    """`make(item)` in order, by a thread that is `count` items ahead, no more, and ends when the iterator is closed."""
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(1, "batches") as thread:
        try:
            for item in items:
                pending.append(thread.submit(make, item))
                if len(pending) > count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
