"""A moving view of a file that is read once, front to back: absolute byte offsets, bounded memory."""

from pipeline.extract.remote import Readable

CHUNK_BYTES = 4 << 20


class Window:
    """The bytes [base, end) of a file; `fill` moves it on. All positions are offsets in the file, in bytes."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.data = b""
        self.base = 0
        self.ended = False

    @property
    def end(self) -> int:
        """Offset after the last byte that was read."""
        return self.base + len(self.data)

    def fill(self, keep: int) -> None:
        """Read another chunk; what stands before `keep` is forgotten."""
        chunk = self._file.read(CHUNK_BYTES)
        self.ended = not chunk
        drop = min(max(0, keep - self.base), len(self.data))
        self.data = self.data[drop:] + chunk
        self.base += drop

    def reaches(self, position: int, *, keep: int) -> bool:
        """Whether the file has a byte at `position`; where more must be read for it, what stands from `keep` on is kept."""
        while position >= self.end and not self.ended:
            self.fill(keep)
        return position < self.end

    def starts_with(self, sign: bytes, at: int) -> bool:
        """Whether `sign` stands at `at`."""
        while at + len(sign) > self.end and not self.ended:
            self.fill(at)
        return self.data.startswith(sign, at - self.base)

    def find(self, sign: bytes, start: int, *, keep: int, within: int) -> int | None:
        """Offset of the next `sign` from `start` on, the file's end where there is none, None where `within` bytes show none."""
        while True:
            found = self.data.find(sign, start - self.base)
            if found >= 0:
                return self.base + found
            if self.ended:
                return self.end
            if self.end - start > within:
                return None
            self.fill(keep)

    def view(self, start: int, end: int) -> memoryview:
        """The bytes [start, end), not copied."""
        return memoryview(self.data)[start - self.base : end - self.base]
