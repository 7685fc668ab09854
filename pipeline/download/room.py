"""Room for pictures: how many bytes all decoders of a process may take together; what does not fit waits its turn.

The bound of a worker: what it holds before the first picture (Python and libraries, about 200 MB), the undecoded bodies (those
are the engine's), and the room, or the largest single picture where that is more: at 89 Mpx, the default of --max-pixels, about
0.7 GB of a PNG, whatever its depth, 0.8 GB of a progressive JPEG, 1.1 GB of a moving WebP or an AVIF with alpha, 1.3 GB of a
progressive CMYK JPEG. The estimates are `header.Header.memory`.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

DEFAULT_ROOM = 512 * 2**20  # bytes


class Room:
    """Bytes that are shared out in the order of asking: a huge picture is not overtaken for ever by small ones."""

    def __init__(self, size: int = DEFAULT_ROOM) -> None:
        """`size` in bytes; what is larger gets the room alone."""
        self._size = self._free = size
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold `size` bytes while the block runs; wait for them first."""
        size = min(size, self._size)
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._free >= size)
                self._free -= size
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
