"""A URL as a browser would request it: blanks trimmed, non-ASCII quoted, the host in its ASCII form."""

import re
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from pipeline.hosts import ascii_host

_SAFE = "!#$%&'()*+,/:;=?@[]~"  # reserved characters, and % so that what is quoted stays so
_INVISIBLE = "".join(map(chr, range(33)))  # at both ends (URL Standard)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_CHARS = 2**16
# What nearly all URLs look like: nothing in them needs to be changed.
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_CHARS = r"A-Za-z0-9._~!$%&'()*+,/:;=@\[\]-"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PORT = "(?:[1-9][0-9]{1,3}|[1-5][0-9]{4})"  # 2 to 5 digits; those from 60,000 on are left to urlsplit
_PLAIN = re.compile(
    rf"https?://((?:{_LABEL}\.)+[a-z]{{2,63}}|{_BYTE}(?:\.{_BYTE}){{3}})(?::(?!80/|443/){_PORT})?/[{_CHARS}]*(?:\?[?{_CHARS}]+)?"
)


class Target(NamedTuple):
    """A URL that can be requested, in ASCII and without its fragment, and its host (no port)."""

    url: str
    host: str


def target_of(url: str) -> Target | None:
    """An http or https URL as it is requested; None where it is not a URL with a host (RFC 3986), or beyond 64 Ki characters."""
    if len(url) > _MAX_CHARS:
        return None
    plain = _PLAIN.fullmatch(url)
    if plain is not None and len(plain[1]) < 250 and "/." not in url and "/%2" not in url:
        return Target(url, plain[1])
    try:
        parts = urlsplit(_cleaned(url))
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    name = ascii_host(host) if host else None
    if name is None:
        return None
    scheme = parts.scheme.lower()
    place = name if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{name}:{port}"
    path, query = quote(_without_dots(parts.path), safe=_SAFE), quote(parts.query, safe=_SAFE)
    return Target(urlunsplit((scheme, place, path or "/", query, "")), name)


def joined(url: str, location: str) -> str:
    """Where a redirect from `url` leads; "" where that cannot be said."""
    try:
        return urljoin(url, _cleaned(location))
    except ValueError:
        return ""


def scheme_of(url: str) -> str:
    """The scheme in lower case, "" where there is none."""
    return url.strip().partition(":")[0].lower() if ":" in url else ""


def _cleaned(url: str) -> str:
    """Without what nobody sees, and with the slashes that a browser reads where backslashes stand."""
    seen = re.sub(r"[\t\r\n]", "", url).strip(_INVISIBLE)
    start = re.split("[?#]", seen, maxsplit=1)[0]
    return start.replace("\\", "/") + seen[len(start) :]


def _without_dots(path: str) -> str:
    """A path without its . and .. segments, so that it is judged as the place that it leads to (URL Standard, path state)."""
    if "/." not in path and "/%2" not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
    return "/" + "/".join(kept if plain not in (".", "..") else [*kept, ""])
