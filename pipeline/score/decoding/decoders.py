"""Processes that see: chunks of samples in; rows and tokens out, pixels in the slab. One that dies costs one sample."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.samples import Dropped
from pipeline.score.decoding.seeing import Chunk, Seen, Sight, see, set_up
from pipeline.score.rows import SEEN
from pipeline.workers import worker_processes
from schemas.errors import UserError

READY = "pipeline.score.decoding.seeing"  # what they are forked with


@dataclass
class Ticket:
    """A chunk that is being seen."""

    chunk: Chunk
    answer: "Future[Seen]"


class Decoders:
    """`count` processes that see with `sight`. Chunks are seen in the order of `submit`."""

    def __init__(self, sight: Sight, count: int) -> None:
        self.sight, self.count = sight, count
        self._stack = ExitStack()
        self._open: dict[int, Ticket] = {}  # by number, in the order of submission
        self._pool = self._started(count)
        self._next = 0

    def submit(self, chunk: Chunk) -> int:
        """Begin to see a chunk; the number by which to ask for it."""
        number, self._next = self._next, self._next + 1
        self._open[number] = Ticket(chunk, self._begun(chunk))
        return number

    def result(self, number: int) -> Seen:
        """What came of a chunk, once. A sample on which a process dies is dropped as `decoder_died`."""
        try:
            seen = self._open[number].answer.result()
        except BrokenProcessPool:
            self._recover()
            seen = self._open[number].answer.result()
        del self._open[number]
        return seen

    def give_up(self) -> None:
        """Have nothing seen that was not asked for yet: when this returns, no process is at any of it."""
        wait([ticket.answer for ticket in self._open.values() if not ticket.answer.cancel()])
        self._open.clear()

    def close(self) -> None:
        """End the processes, and let go of the memory."""
        self._stack.close()
        self._open.clear()
        self.sight.slab.close()

    def _started(self, count: int) -> ProcessPoolExecutor:
        return self._stack.enter_context(worker_processes(count, ready=READY, set_up=partial(set_up, self.sight)))

    def _begun(self, chunk: Chunk) -> "Future[Seen]":
        try:
            return self._pool.submit(see, chunk)
        except BrokenProcessPool as error:  # told by `result`
            broken: Future[Seen] = Future()
            broken.set_exception(error)
            return broken

    def _recover(self) -> None:
        """See again, one after another, what was lost with the processes; then go on with new ones."""
        lost = [ticket for ticket in self._open.values() if ticket.answer.exception() is not None]
        for ticket in lost:
            ticket.answer = _done(self._seen_alone(ticket.chunk))
        self._stack.close()
        self._pool = self._started(self.count)

    def _seen_alone(self, chunk: Chunk) -> Seen:
        """A chunk seen in a process of its own; if that dies, its samples one by one, each in its own."""
        for pieces in ([chunk], list(_singly(chunk))):
            seen = [self._seen_or_none(piece) for piece in pieces]
            if all(seen) or len(pieces) > 1:
                break
        if len(pieces) > 1 and not any(seen):
            raise UserError(
                "decoding processes die on whatever they are given: look for what ends them, such as too little memory; "
                "fewer --decoders may help"
            )
        return joined([each or _given_up(piece) for each, piece in zip(seen, pieces, strict=True)])

    def _seen_or_none(self, chunk: Chunk) -> Seen | None:
        try:
            with worker_processes(1, ready=READY, set_up=partial(set_up, self.sight)) as pool:
                return pool.submit(see, chunk).result()
        except BrokenProcessPool:
            return None


def joined(parts: Sequence[Seen]) -> Seen:
    """What came of consecutive chunks, as of one."""
    good = [part for part in parts if len(part.rows)]
    return Seen(
        rows=pa.concat_batches([part.rows for part in good or parts[:1]]),
        slots=np.concatenate([part.slots for part in parts]),
        tokens=tuple(np.concatenate(each) for each in zip(*(part.tokens for part in good), strict=True)),
        dropped=tuple(dropped for part in parts for dropped in part.dropped),
        peak_rss_bytes=max(part.peak_rss_bytes for part in parts),
    )


def _given_up(chunk: Chunk) -> Seen:
    dropped = tuple(Dropped(sample.key, "decoder_died") for sample in chunk.samples)
    return Seen(rows=pa.RecordBatch.from_pylist([], SEEN), slots=np.empty(0, np.int64), tokens=(), dropped=dropped)


def _singly(chunk: Chunk) -> Iterator[Chunk]:
    for i, (sample, told) in enumerate(zip(chunk.samples, chunk.told, strict=True)):
        yield replace(chunk, samples=(sample,), told=(told,), slot=chunk.slot + i)


def _done(seen: Seen) -> "Future[Seen]":
    future: Future[Seen] = Future()
    future.set_result(seen)
    return future
