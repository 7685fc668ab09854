"""The head of an HTTP response as it arrives, line by line: its status and headers, of interim responses (1xx) none."""


class Head:
    """Status line and headers of the final response; `size` counts the bytes of all lines, interim responses and trailers too."""

    def __init__(self) -> None:
        self.status = 0  # 0: not known, or not whole
        self.size = 0
        self.complete = False
        self._lines = bytearray()
        self._lowered = b""

    def add(self, line: bytes) -> bool:
        """Take a line; whether the final response's head is complete with it. What comes later (trailers) is counted only."""
        self.size += len(line)
        if self.complete:
            return False
        self._lines += line
        if line not in (b"\r\n", b"\n"):
            return False
        status = _status_in(self._lines)
        if 100 <= status < 200 and status != 101:
            self._lines.clear()
            return False
        self.status, self.complete, self._lowered = status, True, bytes(self._lines).lower()
        return True

    def has(self, name: bytes) -> bool:
        """Whether a header of this name, in lower case, is (or may be: this is for speed) there."""
        return b"\n" + name in self._lowered

    def values(self, name: bytes) -> list[str]:
        """The values of all headers of this name, in lower case."""
        fields = (line.partition(b":") for line in bytes(self._lines).splitlines()[1:])
        return [value.decode("utf-8", "replace").strip() for field, _, value in fields if field.strip().lower() == name]


def _status_in(head: bytearray) -> int:
    start = head.find(b" ") + 1
    digits = bytes(head[start : start + 3])
    return int(digits) if digits.isdigit() else 0
