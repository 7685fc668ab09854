"""One request through libcurl: its options, its limits, and how it ended, as one of the named outcomes."""

import errno
import io
import socket
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import pycurl

from pipeline.download.outcomes import http_status
from pipeline.optout import is_refused

_MAX_REDIRECTS = 10
# Bodies beyond this wait on disk, so that many large ones in flight do not fill memory, bytes.
_IN_MEMORY = 2**20
_BY_CODE = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "unsupported_scheme",
    pycurl.E_URL_MALFORMAT: "invalid_url",
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_TOO_MANY_REDIRECTS: "too_many_redirects",
    pycurl.E_FILESIZE_EXCEEDED: "too_large",
    pycurl.E_BAD_CONTENT_ENCODING: "bad_encoding",
    pycurl.E_GOT_NOTHING: "reset",
    pycurl.E_PARTIAL_FILE: "reset",
    pycurl.E_RECV_ERROR: "reset",
    pycurl.E_SEND_ERROR: "reset",
    pycurl.E_HTTP2: "bad_response",
    92: "reset",  # CURLE_HTTP2_STREAM, which pycurl does not name
    pycurl.E_FTP_WEIRD_SERVER_REPLY: "bad_response",  # for HTTP as well
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CIPHER: "tls",
}


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """What every request is held to. `may_connect` is asked about each numeric address before it is connected."""

    timeout_s: float
    max_bytes: int
    user_agent: str
    may_connect: Callable[[str], bool]
    proxy: str | None = None
    retries: int = 0

    @property
    def agent_name(self) -> str:
        """The name by which X-Robots-Tag may address us: the User-Agent's first word, without its version."""
        return self.user_agent.split("/")[0].split(" ")[0].lower()


class Transfer:
    """A reusable libcurl handle and the state of the request that it is on."""

    def __init__(self, limits: FetchLimits) -> None:
        self.curl = pycurl.Curl()
        self.number = 0
        self.url = ""
        self.attempt = 0
        self.body: IO[bytes] = io.BytesIO()
        self._limits = limits
        self._received = 0
        self._status = 0
        self._robots: list[str] = []
        self._stopped: str | None = None
        self._blocked = False
        self._configure()

    def begin(self, number: int, url: str, attempt: int) -> None:
        """Make ready for one more request."""
        self.number, self.url, self.attempt = number, url, attempt
        self.body = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by whoever takes it
        self._received, self._status, self._robots, self._stopped, self._blocked = 0, 0, [], None, False
        self.curl.setopt(pycurl.URL, url)

    def outcome(self, code: int) -> str | None:
        """Why the request failed, None where the body is whole; `code` is libcurl's, 0 for a request that went through."""
        if self._stopped:
            return self._stopped
        if code == pycurl.E_COULDNT_CONNECT:
            return self._connect_failure()
        if code == pycurl.E_HTTP_RETURNED_ERROR or (code == 0 and not 200 <= self._status < 300):
            return http_status(self.curl.getinfo(pycurl.RESPONSE_CODE))
        return None if code == 0 else _BY_CODE.get(code, "transfer_error")

    def _connect_failure(self) -> str:
        if self._blocked:
            return "blocked_address"
        return "refused" if self.curl.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED else "unreachable"

    def _configure(self) -> None:
        limits = self._limits
        options = {
            pycurl.NOSIGNAL: 1,
            pycurl.FAILONERROR: 1,
            pycurl.FOLLOWLOCATION: 1,
            pycurl.MAXREDIRS: _MAX_REDIRECTS,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.REDIR_PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.TIMEOUT_MS: max(1, round(limits.timeout_s * 1000)),
            pycurl.CONNECTTIMEOUT_MS: max(1, round(limits.timeout_s * 1000)),
            pycurl.MAXFILESIZE_LARGE: limits.max_bytes,
            pycurl.BUFFERSIZE: 2**17,
            pycurl.USERAGENT: limits.user_agent,
            # Images do not compress: none is asked for, but what a server encodes all the same is decoded.
            pycurl.ACCEPT_ENCODING: "gzip, deflate, br",
            pycurl.HTTPHEADER: ["Accept-Encoding: identity"],
            # Only --proxy decides: an empty string keeps libcurl from reading http_proxy and no_proxy.
            pycurl.PROXY: limits.proxy or "",
            pycurl.NOPROXY: "",
            pycurl.CAINFO: ssl.get_default_verify_paths().cafile or _bundled_authorities(),
            pycurl.WRITEFUNCTION: self._write,
            pycurl.HEADERFUNCTION: self._header,
            pycurl.OPENSOCKETFUNCTION: self._open_socket,
        }
        for name, value in options.items():
            self.curl.setopt(name, value)

    def _write(self, chunk: bytes) -> int:
        """Take decoded bytes of the body; 0 stops the transfer."""
        self._received += len(chunk)
        if self._received > self._limits.max_bytes:
            self._stopped = "too_large"
            return 0
        self.body.write(chunk)
        return len(chunk)

    def _header(self, line: bytes) -> int:
        """Watch the response's headers; redirects and interim responses bring several sets, the last one counts."""
        if line.startswith(b"HTTP/"):
            digits = line[line.find(b" ") :].strip()[:3]
            self._status = int(digits) if digits.isdigit() else 0
            self._robots.clear()
        elif line[:13].lower() == b"x-robots-tag:":
            self._robots.append(line[13:].decode("latin-1").strip())
        elif line in (b"\r\n", b"\n") and 200 <= self._status < 300 and is_refused(self._robots, self._limits.agent_name):
            self._stopped = "opt_out"
            return 0
        return len(line)

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
