"""A URL as a browser would request it: blanks trimmed, non-ASCII quoted, the host in its ASCII form."""

import re
from urllib.parse import quote, urlsplit, urlunsplit

_SAFE = "!#$%&'()*+,/:;=?@[]~"  # reserved characters, and % so that what is quoted stays so
_NAME = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=-]+")  # RFC 3986 reg-name, not percent-encoded
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")


def request_url(url: str) -> str | None:
    """The ASCII form of an http or https URL, without its fragment; None where it is not a URL with a host (RFC 3986)."""
    try:
        parts = urlsplit(re.sub(r"[\t\r\n]", "", url).strip(" \x00"))
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host:
        return None
    ascii_host = _ascii_host(host)
    if ascii_host is None:
        return None
    place = ascii_host if port is None else f"{ascii_host}:{port}"
    path, query = quote(parts.path, safe=_SAFE), quote(parts.query, safe=_SAFE)
    return urlunsplit((parts.scheme.lower(), place, path or "/", query, ""))


def scheme_of(url: str) -> str:
    """The scheme in lower case, "" where there is none."""
    return url.strip().partition(":")[0].lower() if ":" in url else ""


def _ascii_host(host: str) -> str | None:
    if ":" in host:
        return f"[{host}]" if _IPV6.fullmatch(host) else None
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    return name if _NAME.fullmatch(name) else None
