"""src attribute + page → absolute image URL, joined as cc2dataset does (urllib's urljoin); unusable ones say why.

Differs from cc2dataset where that keeps what cannot be fetched or loses what can: blank src, surrounding white space,
schemes in upper case, impossible hosts. Each is counted by name.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urljoin

from pipeline.hosts import ascii_host

LONGEST_URL_CHARS = 8192  # RFC 9110 (4.1) asks servers for 8,000 bytes; a page's URL is repeated in each of its rows
_WEB = ("http://", "https://")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY = re.compile(r"https?://([^/?#\\]*)")
_LONGEST_REMEMBERED = 1024  # characters
_REFUSED_SCHEMES = {"data": "data_url", "javascript": "javascript_url"}


class UnusableError(ValueError):
    """A src that names no image on the web; `reason` is the name it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Resolved(NamedTuple):
    """An absolute http(s) URL, and the names of what had to be mended."""

    url: str
    mended: tuple[str, ...] = ()


def resolve(src: str, base: str) -> Resolved:
    """The absolute URL of `src` on a page whose base URL is `base`.

    Raises UnusableError with reason blank_src, data_url, javascript_url, other_scheme, src_too_long, invalid_host or
    invalid_port.
    """
    stripped = src.strip()
    if not stripped:
        raise UnusableError("blank_src")
    mended = () if stripped == src else ("stripped_src",)
    url = stripped
    if not url.startswith(_WEB):
        _refuse_scheme(url)
    if len(url) > LONGEST_URL_CHARS:
        raise UnusableError("src_too_long")
    if not url.startswith(_WEB):
        try:
            url = urljoin(base, url)
        except ValueError as error:  # urllib raises for brackets that hold no IPv6 address
            raise UnusableError("invalid_host") from error
        if not url.startswith(_WEB):
            url = _with_lower_scheme(url)
    authority = _AUTHORITY.match(url)
    problem = problem_of(authority[1]) if authority else "invalid_host"
    if problem:
        raise UnusableError(problem)
    if stripped[:8].lower().startswith(_WEB) and not stripped.startswith(_WEB):
        mended = (*mended, "upper_case_scheme")
    return Resolved(url, mended)


def base_of(page_url: str, base_href: object) -> str:
    """The URL that a page's links are relative to: <base href> resolved against the page, or the page where it is none."""
    if not isinstance(base_href, str) or len(base_href) > LONGEST_URL_CHARS:
        return page_url
    try:
        return urljoin(page_url, base_href.strip())
    except ValueError:
        return page_url


def _refuse_scheme(url: str) -> None:
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() not in ("http", "https"):
        raise UnusableError(_REFUSED_SCHEMES.get(scheme[1].lower(), "other_scheme"))


def _with_lower_scheme(url: str) -> str:
    scheme = url.partition(":")[0]
    lowered = scheme.lower() + url[len(scheme) :]
    if lowered.startswith(_WEB):
        return lowered
    # http:/x and http:x of another scheme than the page's name no host.
    raise UnusableError("invalid_host" if scheme.lower() in ("http", "https") else "other_scheme")


def problem_of(authority: str) -> str:
    """Why nothing can be fetched from an authority ([user@]host[:port]); "" where something might."""
    return _problem_of(authority) if len(authority) <= _LONGEST_REMEMBERED else _problem_of.__wrapped__(authority)


@lru_cache(maxsize=65536)
def _problem_of(authority: str) -> str:
    host_port = re.sub(r"[\t\r\n]", "", authority).rpartition("@")[2]
    if host_port.startswith("["):
        host, closed, port = host_port[1:].partition("]")
        if not closed or ":" not in host or ascii_host(host) is None or (port and not port.startswith(":")):
            return "invalid_host"
        port = port[1:]
    else:
        host, _, port = host_port.partition(":")
        if ascii_host(host) is None:
            return "invalid_host"
    if port and not (port.isascii() and port.isdigit() and len(port.lstrip("0")) <= 5 and int(port) <= 65535):
        return "invalid_port"
    return ""
