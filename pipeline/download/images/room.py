"""Room for pictures: how many bytes all decoders of a process may take together; what does not fit waits its turn.

The bound of a worker, whatever arrives: what it holds before the first picture (Python and libraries, about 200 MB), the
undecoded bodies (those are the engine's), and 1.25 times the room, or the largest single picture where that is more, as estimated
by `image.memory_of`; the quarter is what malloc does not give back. At 89 Mpx, the default of --max-pixels, a picture takes 0.5
GB as a baseline JPEG, 0.7 GB as a PNG, whatever its depth, 0.8 GB as a progressive JPEG, 1.1 GB as a moving WebP or a TIFF of 16
bits, 1.3 GB as a TIFF of JPEGs or a progressive CMYK JPEG, 1.4 GB as an AVIF. One that is stored as large takes 0.5 GB more, as
WebP 2.1 GB, and 2.1 GB more where faces are blurred in it.

Beyond it is one thing only: an AVIF that says that it is small may hold frames of 16,384² px, which libavif decodes before it
compares: 0.9 GB, of more than 8 bits twice that. One AVIF is decoded at a time, so that this adds up once.
"""

import ctypes
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

DEFAULT_ROOM = 512 * 2**20  # bytes
_LARGE = 32 * 2**20  # bytes; what has taken as many is worth giving back at once
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; it keeps what threads freed, up to several times the room


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
            if _trim is not None and size >= _LARGE:
                _trim(0)
            with self._changed:
                self._free += size
                self._changed.notify_all()
