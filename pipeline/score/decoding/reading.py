"""A shard's tar → batches in the slab, decoded ahead of the model, in the tar's order."""

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline.samples import Located, Sample, TarReader
from pipeline.score.decoding.decoders import Decoders, joined
from pipeline.score.decoding.seeing import Chunk, Seen

_MOST_AT_ONCE = 32  # samples that a process takes


@dataclass(frozen=True)
class Batch:
    """A buffer of the slab that is full, or the last: what came of its samples. Its pixels stand until the next is asked for."""

    buffer: int
    seen: Seen


def batches(
    reader: TarReader, told: Mapping[str, dict[str, Any]], decoders: Decoders, *, path: str | None
) -> Generator[Batch, None, None]:
    """The samples of a tar, as many to a batch as the slab has slots.

    `told` has the rows of the sidecar by key. `path` is where the decoders find the tar, if it is on this machine: then this
    process reads no more of it than headers. Close it where it is not read to its end.
    """
    samples: Iterator[Sample | Located] = iter(reader) if path is None else reader.located()
    slab = decoders.sight.slab
    free, ahead = deque(range(slab.buffers)), deque[tuple[int, list[int]]]()
    try:
        while True:
            while free and (numbers := _submitted(samples, told, decoders, path=path, buffer=free[0])):
                ahead.append((free.popleft(), numbers))
            if not ahead:
                return
            buffer, numbers = ahead.popleft()
            yield Batch(buffer, joined([decoders.result(number) for number in numbers]))
            free.append(buffer)
    finally:
        decoders.give_up()  # where not all was asked for: nothing of it may come to stand among the next tar's pixels


def _submitted(
    samples: Iterator[Sample | Located],
    told: Mapping[str, dict[str, Any]],
    decoders: Decoders,
    *,
    path: str | None,
    buffer: int,
) -> list[int]:
    """Give the decoders a buffer's samples; the numbers of their chunks, none where the tar has ended."""
    slots = decoders.sight.slab.slots
    size = max(1, min(_MOST_AT_ONCE, slots // (2 * decoders.count)))
    numbers = []
    for slot in range(0, slots, size):
        some = tuple(islice(samples, min(size, slots - slot)))
        if not some:
            break
        beside = [told.get(sample.key, {}) for sample in some]
        numbers.append(decoders.submit(Chunk(path=path, samples=some, told=beside, buffer=buffer, slot=slot)))
    return numbers
