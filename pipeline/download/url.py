"""A URL as a browser would request it: blanks trimmed, non-ASCII quoted, the host in its ASCII form."""

import re
from urllib.parse import quote, urlsplit, urlunsplit

from pipeline.hosts import ascii_host

_SAFE = "!#$%&'()*+,/:;=?@[]~"  # reserved characters, and % so that what is quoted stays so


def request_url(url: str) -> str | None:
    """The ASCII form of an http or https URL, without its fragment; None where it is not a URL with a host (RFC 3986)."""
    try:
        parts = urlsplit(re.sub(r"[\t\r\n]", "", url).strip(" \x00"))
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host:
        return None
    name = ascii_host(host)
    if name is None:
        return None
    place = name if port is None else f"{name}:{port}"
    path, query = quote(parts.path, safe=_SAFE), quote(parts.query, safe=_SAFE)
    return urlunsplit((parts.scheme.lower(), place, path or "/", query, ""))


def scheme_of(url: str) -> str:
    """The scheme in lower case, "" where there is none."""
    return url.strip().partition(":")[0].lower() if ":" in url else ""
