"""Memory in which decoding processes leave pixels and from which the model takes them: nothing is copied between processes."""

import mmap
import os
from collections.abc import Sequence
from math import prod
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np

Shape = tuple[int, int]  # height and width, px


class Slab:
    """Buffers of one batch each: for every shape (slots, height, width, 3) uint8, in one mapping that has no name.

    It may be handed to a process that is being started, and only then. A name in /dev/shm would be simpler, but what containers
    allow there is often less than a batch; this counts as the processes' own memory.
    """

    def __init__(self, shapes: Sequence[Shape], *, slots: int, buffers: int, descriptor: int | None = None) -> None:
        self.shapes, self.slots, self.buffers = tuple(shapes), slots, buffers
        self._sizes = [slots * prod(shape) * 3 for shape in self.shapes]
        self._bytes = max(1, sum(self._sizes)) * buffers
        if descriptor is None:
            descriptor = os.memfd_create("webpairs-pixels")
            os.ftruncate(descriptor, self._bytes)
        self._descriptor = descriptor
        self._memory = np.frombuffer(mmap.mmap(descriptor, self._bytes), np.uint8)

    def pixels(self, buffer: int, shape: int) -> np.ndarray:
        """The images of a buffer in the shape of that index: (slots, height, width, 3) uint8, not a copy."""
        at = buffer * sum(self._sizes) + sum(self._sizes[:shape])
        return self._memory[at : at + self._sizes[shape]].reshape(self.slots, *self.shapes[shape], 3)

    @property
    def memory(self) -> np.ndarray:
        """All of it, (bytes,) uint8: for a device driver that wants to keep its pages in place."""
        return self._memory

    def close(self) -> None:
        """Let go of it; the memory is free when no process holds a view."""
        os.close(self._descriptor)
        self._memory = self._memory[:0].copy()

    def __reduce__(self) -> Any:
        """Raises RuntimeError unless a process is being started."""
        return _attach, (self.shapes, self.slots, self.buffers, DupFd(self._descriptor))


def _attach(shapes: Sequence[Shape], slots: int, buffers: int, descriptor: Any) -> Slab:
    return Slab(shapes, slots=slots, buffers=buffers, descriptor=descriptor.detach())
