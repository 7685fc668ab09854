"""A WAT as a stream of bytes, from a file system or over HTTP; a connection that breaks is taken up where it broke."""

import http.client
import io as memory
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Protocol, cast

from pipeline import io
from pipeline.extract.naming import public_path
from schemas.errors import UserError

_TIMEOUT_S = 60.0
_RETRY_DELAYS_S = (1.0, 2.0, 4.0, 8.0)
_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})  # worth another try; Common Crawl answers 503 to slow one down


class Readable(Protocol):
    """What the readers of WATs need of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, b"" at the end."""
        ...


def open_source(path: str) -> IO[bytes]:
    """Open a local path, an fsspec URL or an HTTP URL for reading from front to back.

    Raises UserError where it is not there. No error tells a URL's user, query or fragment: manifests keep what errors say.
    """
    public = public_path(path)
    if path.startswith(("http://", "https://")):
        try:
            host = urllib.parse.urlsplit(path).netloc
        except ValueError as error:  # brackets that hold no IPv6 address
            raise UserError(f"{public}: not a URL ({error}); give http://HOST/PATH") from error
        if not host:
            raise UserError(f"{public}: a URL without a host; give http://HOST/PATH")
        if "@" in host:
            raise UserError(f"{public}: a user or password before the host is not sent; give a URL that needs none")
        return cast(IO[bytes], memory.BufferedReader(HttpStream(path)))
    try:
        return io.open_read(path)
    except UserError as error:
        raise UserError(str(error).replace(path, public)) from error


class HttpStream(memory.RawIOBase):
    """The body of an HTTP GET, read once. Raises UserError where the server has no such file, OSError where it stays broken."""

    def __init__(self, url: str, *, retry_delays_s: tuple[float, ...] = _RETRY_DELAYS_S) -> None:
        """Open `url`; each failure in a row waits for the next of `retry_delays_s`."""
        super().__init__()
        self._url = url
        self._public = public_path(url)
        self._delays_s = retry_delays_s
        self._position = 0
        self._length: int | None = None
        self._body: http.client.HTTPResponse | None = None
        self._failures = 0
        self._body = self._persistently_open()

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Hang up."""
        if self._body is not None:
            self._body.close()
        super().close()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into `buffer`; 0 only at the true end."""
        while True:
            try:
                if self._body is None:
                    self._body = self._open()
                count = self._body.readinto(buffer)
                if count or self._length is None or self._position >= self._length:
                    self._position += count
                    self._failures = 0
                    return count
                raise ConnectionError(f"connection ended after {self._position} of {self._length} bytes")
            except (OSError, http.client.HTTPException) as error:
                self._wait_after(error)

    def _persistently_open(self) -> http.client.HTTPResponse:
        while True:
            try:
                return self._open()
            except (OSError, http.client.HTTPException) as error:
                try:
                    self._wait_after(error)
                except OSError as last:
                    raise UserError(f"{last}; check the URL and the network, then run the same command again") from error

    def _wait_after(self, error: Exception) -> None:
        if self._body is not None:
            self._body.close()
        self._body = None
        if self._failures >= len(self._delays_s):
            raise OSError(f"{self._public}: {error}, after {self._failures + 1} tries") from error
        time.sleep(self._delays_s[self._failures])
        self._failures += 1

    def _open(self) -> http.client.HTTPResponse:
        headers = {"User-Agent": "webpairs", "Accept-Encoding": "identity"}
        if self._position:
            headers["Range"] = f"bytes={self._position}-"
        try:
            body = urllib.request.urlopen(  # noqa: S310 - the scheme was checked by open_source
                urllib.request.Request(self._url, headers=headers),  # noqa: S310
                timeout=_TIMEOUT_S,
            )
        except (http.client.InvalidURL, ValueError) as error:  # a blank, a letter outside ASCII, a port that is no number
            raise UserError(f"{self._public}: not a URL that HTTP can ask for; percent-encode it") from error
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _PASSING_STATUS:
                raise ConnectionError(f"HTTP {error.code}") from error
            raise UserError(f"{self._public}: HTTP {error.code}; check that the file is there and may be read") from error
        opened = cast(http.client.HTTPResponse, body)
        if self._position and opened.status != http.client.PARTIAL_CONTENT:
            _skip(opened, self._position)
        if self._length is None and opened.length is not None:
            self._length = opened.length
        return opened


def _skip(body: http.client.HTTPResponse, count: int) -> None:
    while count:
        got = len(body.read(min(count, 1 << 20)))
        if not got:
            raise ConnectionError("connection ended before the place to go on from")
        count -= got
