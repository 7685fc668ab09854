"""A release on a web server: static files over HTTP(S), through redirects that keep what was promised, by proxies if set.

Retries are not here: each call is one request, and says whether it is worth another (PassingError) or not (UserError).
"""

import os
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, SSLError

from pipeline.extract.naming import public_path
from pipeline.pull.source import ChangedError, Opened, PassingError
from schemas.errors import UserError

_READ_BYTES = 1 << 18  # at most, of one read from the socket: what came before a break is kept
_SHORT_BYTES = 1 << 16
_MOST_REDIRECTS = 8
_LONGEST_RETRY_AFTER_S = 120
_SLOWEST_BYTES_PER_S = 100  # slower for as long as a silence may last: that is no download
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524})
_ADVICE = {
    401: "it wants to know who asks; for a hub set HF_TOKEN",
    403: "it may not be read; check the address, for a hub HF_TOKEN",
    404: "no such file there; check the address",
    410: "it was taken away; ask its publisher",
}
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is shown to one origin (scheme, host and port), and to no other."""

    origin: str
    secret: str


class Web:
    """A folder at an http(s) URL. A query (a signature) is sent with every file's name."""

    def __init__(self, url: str, *, connections: int, timeout_s: float, token: Token | None = None) -> None:
        """Connects to nothing yet. Raises UserError for what is no URL."""
        self.public = public_path(url)
        try:
            self._parts = urlsplit(url)
        except ValueError as error:  # brackets that hold no IPv6 address
            raise UserError(f"{self.public}: not a URL ({error}); give https://HOST/FOLDER") from error
        if not self._parts.hostname:
            raise UserError(f"{self.public}: a URL without a host; give https://HOST/FOLDER")
        if self._parts.username is not None:
            raise UserError(f"{self.public}: a user or password before the host is not sent; give a URL that needs none")
        self._connections, self._timeout_s, self._token = connections, timeout_s, token
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._under_way: set[urllib3.BaseHTTPResponse] = set()
        self._lock = threading.Lock()

    @contextmanager
    def open(
        self, name: str, start: int = 0, end: int | None = None, *, validator: str = "", anew: bool = False
    ) -> Iterator[Opened]:
        """See Source."""
        headers = {"User-Agent": "webpairs", "Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}" if start < 0 else f"bytes={start}-{'' if end is None else end - 1}"
            if validator:
                headers["If-Range"] = validator
        if anew:
            headers["Cache-Control"] = "no-cache"
        response = self._get(self._address(name), headers)
        with self._lock:
            self._under_way.add(response)
        try:
            yield _opened(response, start if "Range" in headers else None, self._timeout_s)
        finally:
            with self._lock:
                self._under_way.discard(response)
            response.close()

    def hang_up(self) -> None:
        """See Source."""
        with self._lock:
            for response in self._under_way:
                with suppress(OSError, ValueError, RuntimeError):  # it has just ended by itself
                    response.shutdown()
            for pool in self._pools.values():
                pool.clear()

    def _address(self, name: str) -> str:
        return urlunsplit(self._parts._replace(path=f"{self._parts.path.rstrip('/')}/{quote(name)}", fragment=""))

    def _get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """The answer, 200 or 206, at the end of the redirects."""
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._ask(url, headers)
            if response.status not in _REDIRECTS:
                return _usable(response, url)
            _let_go(response)
            url = _redirected(url, response.headers.get("Location", ""))
        raise UserError(f"redirected more than {_MOST_REDIRECTS} times; check the address")

    def _ask(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        if self._token is not None and origin_of(url) == self._token.origin:
            headers = {**headers, "Authorization": f"Bearer {self._token.secret}"}
        try:
            return self._pool(url).request(
                "GET", url, headers=headers, preload_content=False, redirect=False, retries=False, decode_content=False
            )
        except LocationValueError as error:
            raise UserError(f"{public_path(url)!r}: not a URL that can be asked for") from error
        except (HTTPError, OSError) as error:
            raise _failure(error) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        known = getproxies()
        proxy = None if proxy_bypass(parts.hostname or "") else known.get(parts.scheme, known.get("all"))
        settings: dict[str, Any] = {
            "num_pools": 16,
            "maxsize": self._connections,
            "ssl_context": self._tls,
            "timeout": urllib3.Timeout(connect=self._timeout_s, read=self._timeout_s),
        }
        with self._lock:
            if proxy not in self._pools:
                if proxy is None:
                    self._pools[proxy] = urllib3.PoolManager(**settings)
                else:
                    self._pools[proxy] = urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", **settings)
            return self._pools[proxy]

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())


def origin_of(url: str) -> str:
    """scheme://host:port, the port written out."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises UserError for what is not HTTP, and for HTTP from HTTPS: everybody could change that."""
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        _ = parts.port
    except ValueError as error:
        raise UserError(f"redirected to {location[:200]!r}, which is no URL") from error
    if not location or parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise UserError(f"redirected to {public_path(location)[:200]!r}, which is not followed: only http and https are")
    if parts.scheme == "http" and url.startswith("https:"):
        raise UserError(f"redirected from https to {public_path(target)[:200]!r}, which is not followed: it is not encrypted")
    return urlunsplit(parts._replace(fragment=""))


def _let_go(response: urllib3.BaseHTTPResponse) -> None:
    """Leave the connection for the next request, where the rest of the answer is short."""
    with suppress(HTTPError, OSError):
        response.read(_SHORT_BYTES, decode_content=False)
    response.close()


def _usable(response: urllib3.BaseHTTPResponse, url: str) -> urllib3.BaseHTTPResponse:
    """The response, where it is 200 or 206 and unencoded."""
    status = response.status
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if status in {200, 206} and encoding == "identity":
        return response
    after_s = urllib3.Retry(retry_after_max=_LONGEST_RETRY_AFTER_S).get_retry_after(response) if status in _PASSING else None
    _let_go(response)
    if status in {200, 206}:
        raise UserError(f"{public_path(url)}: is sent encoded ({encoding!r}), which was not asked for; serve the file as it is")
    if status == 416:
        raise ChangedError("HTTP 416: it has not as many bytes as are here already")
    if status in _PASSING:
        raise PassingError(f"HTTP {status}", after_s)
    raise UserError(f"{public_path(url)}: HTTP {status}: {_ADVICE.get(status, 'check the address')}")


def _opened(response: urllib3.BaseHTTPResponse, start: int | None, slow_after_s: float) -> Opened:
    """What comes. Raises ChangedError for a range that was not asked for; `start` is None where none was."""
    validator = _validator(response)
    blocks = _blocks(response, slow_after_s)
    length = response.headers.get("Content-Length", "")
    if response.status == 200:
        total = int(length) if length.isascii() and length.isdecimal() and len(length) < 19 else None
        return Opened(start=0, total=total, validator=validator, blocks=blocks)
    told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if told is None or start is None or (start >= 0 and int(told[1]) != start):
        raise ChangedError("the server sent another range than it was asked for")
    return Opened(start=int(told[1]), total=None if told[3] == "*" else int(told[3]), validator=validator, blocks=blocks)


def _validator(response: urllib3.BaseHTTPResponse) -> str:
    """What If-Range takes: a strong ETag, else the date of the last change (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _blocks(response: urllib3.BaseHTTPResponse, slow_after_s: float) -> Iterator[bytes]:
    """The body, as it comes. Raises PassingError where it breaks off, or hardly comes at all."""
    since, got = time.monotonic(), 0
    while True:
        try:
            block = response.read1(_READ_BYTES, decode_content=False)
        except (HTTPError, OSError, ValueError) as error:
            raise _failure(error) from error
        if not block:
            return
        got += len(block)
        yield block
        if (passed := time.monotonic() - since) > slow_after_s:
            if got < _SLOWEST_BYTES_PER_S * passed:
                raise PassingError(f"fewer than {_SLOWEST_BYTES_PER_S} bytes/s came")
            since, got = time.monotonic(), 0


def _failure(error: Exception) -> Exception:
    """What a failed connection means: PassingError, but for a certificate, which will not mend itself."""
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UserError(f"its certificate cannot be verified ({error}); SSL_CERT_FILE names authorities of your own")
    return PassingError(f"{type(error).__name__}: {error}")
