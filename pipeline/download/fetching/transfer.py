"""One request through libcurl, one hop of a URL's way: its options, its limits, and how it ended as one of the named outcomes."""

import errno
import io
import socket
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Literal

import pycurl

from pipeline.download.fetching.answer import Head
from pipeline.download.outcomes import http_status
from pipeline.optout import is_refused

# Bodies beyond this wait on disk, so that many large ones in flight do not fill memory, bytes.
_IN_MEMORY = 2**20
_MAX_HEADER_BYTES = 2**16
# A body that inflates more than a hundredfold beyond its first MiB is no image (RFC 1951: at most 1,032 times).
_MAX_RATIO, _RATIO_FROM_BYTES = 100, 2**20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECT_BODY = 2**16  # read and thrown away, so that the connection can be used again
_BUFFER_BYTES = 2**17
_DNS_CACHE_S = -1  # as long as the shard takes: libcurl looks through all it knows for each request where names can grow old
_SUPPRESS_CONNECT_HEADERS = 265  # CURLOPT_…, which pycurl does not name: a proxy's own answer is not the server's
_BY_CODE = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "bad_response",  # HTTP/0.9, or no HTTP at all; other schemes do not come here
    pycurl.E_URL_MALFORMAT: "invalid_url",
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_HTTP_RETURNED_ERROR: "unreachable",  # a proxy's refusal; those of servers have a status
    pycurl.E_FILESIZE_EXCEEDED: "too_large",
    pycurl.E_BAD_CONTENT_ENCODING: "bad_encoding",
    pycurl.E_GOT_NOTHING: "reset",
    pycurl.E_PARTIAL_FILE: "reset",
    pycurl.E_RECV_ERROR: "reset",
    pycurl.E_SEND_ERROR: "reset",
    pycurl.E_HTTP2: "bad_response",
    92: "reset",  # CURLE_HTTP2_STREAM, which pycurl does not name
    100: "headers_too_large",  # CURLE_TOO_LARGE, likewise: libcurl's own bounds
    pycurl.E_FTP_WEIRD_SERVER_REPLY: "bad_response",  # for HTTP as well
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CIPHER: "tls",
}
Part = Literal["whole", "start"]


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """What every request is held to. `may_connect` is asked about each numeric address before it is connected."""

    timeout_s: float
    max_bytes: int
    user_agent: str
    may_connect: Callable[[str], bool]
    proxy: str | None = None
    retries: int = 0
    verify_tls: bool = True

    @property
    def agent_name(self) -> str:
        """The name by which a site may address us: the User-Agent's first word, without its version, in lower case."""
        return self.user_agent.split("/")[0].split(" ")[0].lower()


class Body:
    """The bytes of a response as they arrive: in memory, beyond 1 MiB in a file that has no name."""

    def __init__(self) -> None:
        self.size = 0
        self._file: IO[bytes] = io.BytesIO()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        if self.size > _IN_MEMORY and isinstance(self._file, io.BytesIO):
            on_disk = tempfile.TemporaryFile()  # noqa: SIM115 - closed by take or drop
            on_disk.write(self._file.getbuffer())
            self._file = on_disk
        self._file.write(chunk)

    def take(self) -> bytes:
        """All of it; nothing is kept."""
        with self._file as file:
            if isinstance(file, io.BytesIO):
                return file.getvalue()
            file.seek(0)
            return file.read()

    def drop(self) -> None:
        """Keep nothing."""
        self._file.close()


@dataclass(frozen=True, kw_only=True)
class Hop:
    """How a request ended: `reason` why not (None: a whole body, or a redirect to `location`), and what is to be known of it.

    `location` is as the server wrote it. `bytes_read` counts the body as sent, `seconds` from the request's start;
    `retry_after_s` is what the server asked for.
    """

    reason: str | None
    location: str | None
    body: Body
    status: int
    content_type: str | None
    bytes_read: int
    seconds: float
    retry_after_s: float | None


class Transfer:
    """A reusable libcurl handle and the state of the request that it is on."""

    def __init__(self, limits: FetchLimits) -> None:
        self.curl = pycurl.Curl()
        self._limits = limits
        self._configure()
        self._forget(limits.max_bytes, "whole")

    def begin(self, url: str, *, timeout_s: float, max_bytes: int, part: Part = "whole") -> None:
        """Make ready for one more request: `url` in ASCII, the seconds and bytes that it may take.

        Of a body that is longer, "whole" takes nothing, "start" the first `max_bytes`. "whole" is for images: what X-Robots-Tag
        says is heeded.
        """
        self._forget(max_bytes, part)
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.TIMEOUT_MS, max(1, round(timeout_s * 1000)))
        self.curl.setopt(pycurl.MAXFILESIZE_LARGE, max_bytes if part == "whole" else 0)

    def end(self, code: int) -> Hop:
        """How it ended; `code` is libcurl's, 0 for a request that went through. Raises OSError where the body was not kept."""
        if self._error is not None:
            raise self._error
        tell = self.curl.getinfo
        location = self._location()
        status = self._head.status or tell(pycurl.RESPONSE_CODE)
        wait = tell(pycurl.RETRY_AFTER) if status in (429, 503) else 0
        kind = tell(pycurl.CONTENT_TYPE) if status else None
        return Hop(
            reason=None if location else self._reason(0 if self._enough else code),
            location=location,
            body=self.body,
            status=status,
            content_type=kind and kind[:200],
            bytes_read=int(tell(pycurl.SIZE_DOWNLOAD_T)),
            seconds=tell(pycurl.TOTAL_TIME),
            retry_after_s=float(wait) if wait else None,
        )

    def _forget(self, max_bytes: int, part: Part) -> None:
        """Leave nothing of the request before."""
        self.body = Body()
        self._head = Head()
        self._max_bytes, self._part = max_bytes, part
        self._stopped: str | None = None  # why we ended it
        self._enough = False  # we ended it, having all that was wanted
        self._error: OSError | None = None
        self._encoded = self._blocked = False

    def _location(self) -> str | None:
        """Where a redirect leads, even if its body came to a bad end."""
        if self._head.status not in _REDIRECTS or self._stopped:
            return None
        return next(iter(self._head.values(b"location")), None) or None

    def _reason(self, code: int) -> str | None:
        if self._encoded and self._is_bomb(code):
            return "decompression_bomb"
        if self._stopped:
            return self._stopped
        status = self._head.status
        if status and not 200 <= status < 300 and code in (0, pycurl.E_HTTP_RETURNED_ERROR):
            return http_status(status)
        if code == 0 and not self._head.complete:
            return "reset"  # in the middle of the head, which libcurl takes for an empty body
        return self._failure(code) if code else None

    def _failure(self, code: int) -> str:
        """What libcurl's error is named."""
        if code == pycurl.E_COULDNT_CONNECT:
            return self._connect_failure()
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return "timeout" if self._resolved() else "dns"
        if code == pycurl.E_WRITE_ERROR and self._encoded:
            return "bad_encoding"  # there are bytes behind the end of a gzip body
        return _BY_CODE.get(code, "transfer_error")

    def _is_bomb(self, code: int) -> bool:
        """Whether the body was inflated too much. How much was sent is told at the end only, without a buffer that was cut."""
        sent: float = self.curl.getinfo(pycurl.SIZE_DOWNLOAD_T) + (_BUFFER_BYTES if code else 0)
        return self.body.size > max(_RATIO_FROM_BYTES, _MAX_RATIO * sent)

    def _resolved(self) -> bool:
        """Whether the host's address was known: looked up for this request, or that of an open connection."""
        tell = self.curl.getinfo
        return tell(pycurl.NAMELOOKUP_TIME) > 0 or bool(tell(pycurl.PRIMARY_IP))

    def _connect_failure(self) -> str:
        if self._blocked:
            return "blocked_address"
        return "refused" if self.curl.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED else "unreachable"

    def _configure(self) -> None:
        limits = self._limits
        options = {
            pycurl.NOSIGNAL: 1,
            pycurl.FAILONERROR: 1,
            # Each hop is a request of its own to its host's queue, under all rules; see fetch.py.
            pycurl.FOLLOWLOCATION: 0,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.CONNECTTIMEOUT_MS: max(1, round(limits.timeout_s * 1000)),
            pycurl.DNS_CACHE_TIMEOUT: _DNS_CACHE_S,
            pycurl.BUFFERSIZE: _BUFFER_BYTES,
            pycurl.USERAGENT: limits.user_agent,
            # Images do not compress: none is asked for, but what a server encodes all the same is decoded.
            pycurl.ACCEPT_ENCODING: "gzip, deflate, br",
            pycurl.HTTPHEADER: ["Accept-Encoding: identity", "Accept: image/*;q=1, */*;q=0.5"],
            # Only --proxy decides: an empty string keeps libcurl from reading http_proxy and no_proxy.
            pycurl.PROXY: limits.proxy or "",
            pycurl.NOPROXY: "",
            _SUPPRESS_CONNECT_HEADERS: 1,
            pycurl.CAINFO: ssl.get_default_verify_paths().cafile or _bundled_authorities(),
            # Half of a handshake's time goes to keys that quantum computers could not find, which public images do not need.
            pycurl.SSL_EC_CURVES: "X25519:P-256:P-384:P-521",
            pycurl.SSL_VERIFYPEER: int(limits.verify_tls),
            pycurl.SSL_VERIFYHOST: 2 * int(limits.verify_tls),
            pycurl.WRITEFUNCTION: self._write,
            pycurl.HEADERFUNCTION: self._header,
            pycurl.OPENSOCKETFUNCTION: self._open_socket,
        }
        for name, value in options.items():
            self.curl.setopt(name, value)

    def _header(self, line: bytes) -> int:
        """Take a line of the head; 0 stops the transfer."""
        complete = self._head.add(line)
        if self._head.size > _MAX_HEADER_BYTES:
            self._stopped = "headers_too_large"
        elif complete:
            self._judge()
        return 0 if self._stopped or self._enough else len(line)

    def _judge(self) -> None:
        """Look at the head before the first byte of the body is there."""
        head = self._head
        self._encoded = head.has(b"content-encoding")
        if head.status in _REDIRECTS:
            self._enough = self._encoded  # nobody wants to know what is in it
        elif self._encoded and head.status < 400 and len(",".join(head.values(b"content-encoding")).split(",")) > 1:
            # One inside the other multiply: kilobytes would keep libcurl busy for hours in a single call.
            self._stopped = "bad_encoding"
        elif self._part == "whole" and 200 <= head.status < 300 and self._is_opted_out():
            self._stopped = "opt_out"

    def _is_opted_out(self) -> bool:
        name = b"x-robots-tag"
        return self._head.has(name) and is_refused(self._head.values(name), self._limits.agent_name)

    def _write(self, chunk: bytes) -> int:
        """Take decoded bytes of the body; a number other than theirs stops the transfer.

        libcurl would print what is raised here, and go on: it is kept for `end`.
        """
        try:
            return self._take(chunk)
        except OSError as error:  # no room on disk
            self._error = error
            return 0

    def _take(self, chunk: bytes) -> int:
        is_redirect = self._head.status in _REDIRECTS
        room = (_MAX_REDIRECT_BODY if is_redirect else self._max_bytes) - self.body.size
        if len(chunk) > room:
            if is_redirect or self._part == "start":
                self._enough = True
                self.body.add(chunk[:room])
            else:
                self._stopped = "too_large"
            return 0
        self.body.add(chunk)
        return len(chunk)

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        """The socket for a connection, judged after name resolution, so that no later answer can lead elsewhere."""
        family, kind, protocol, place = address
        host = place[0].decode() if isinstance(place[0], bytes) else place[0]
        if family not in (socket.AF_INET, socket.AF_INET6) or not self._limits.may_connect(host):
            self._blocked = True
            return pycurl.SOCKET_BAD
        return _Lent(family, kind, protocol)


class _Lent(socket.socket):
    """A socket of which pycurl takes a duplicate: this one is closed as soon as it is let go."""

    def __del__(self) -> None:
        self.close()


def _bundled_authorities() -> str:
    """The certificate authorities that certifi brings, for a machine that has none of its own."""
    import certifi

    return str(certifi.where())
