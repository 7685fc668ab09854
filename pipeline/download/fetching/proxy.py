"""The proxy that is asked for: told once where it will not do, before a whole pool fails through it and counts as tried."""

import socket
from urllib.parse import urlsplit

from schemas.errors import UsageError, UserError

_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")  # what libcurl speaks
_DEFAULT_PORT = {"https": 443}
_CURLS_PORT = 1080  # libcurl's own, where a proxy's URL names none
_TIMEOUT_S = 10.0


def proxy_address(proxy: str) -> tuple[str, int]:
    """Host and port of a proxy's URL. Raises UsageError where it is none."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--proxy {proxy}: not a URL ({error}); give http://HOST:PORT") from error
    if parts.scheme not in _SCHEMES or not host:
        raise UsageError(f"--proxy {proxy}: give http://HOST:PORT, or another of the schemes {', '.join(_SCHEMES)}")
    return host, port or _DEFAULT_PORT.get(parts.scheme, _CURLS_PORT)


def require_answering(proxy: str) -> None:
    """Raises UserError where nothing takes connections there."""
    try:
        socket.create_connection(proxy_address(proxy), timeout=_TIMEOUT_S).close()
    except OSError as error:
        raise UserError(f"--proxy {proxy}: does not answer ({error.strerror or error}); start it, or correct the URL") from error
