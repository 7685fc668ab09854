"""URLs: whether one can be fetched at all, whose it is, and the form in which two spellings of one address are equal.

Only syntax is judged here: which addresses may be connected to is `download`'s question, asked after DNS.
"""

import ipaddress
import re
import unicodedata
from functools import cache, lru_cache
from typing import Any
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

_HOSTS_REMEMBERED = 100_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BREAKS = re.compile(r"[\t\r\n]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMERIC_END = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
# RFC 3986's characters of path and query, and %: what a browser leaves as it stands.
_SAFE = "!$&'()*+,;=:@/?%~"


def host_of(url: str) -> str | None:
    """The host of an http(s) URL in ASCII lower case (punycode, IPv6 in brackets); None where the URL is not valid."""
    parts = _split(url)
    return None if parts is None else _host(parts)


def normalise(url: str) -> str | None:
    """The key by which spellings of one address are equal (RFC 3986, 6.2): without scheme, default port and fragment.

    The scheme is left out on purpose: who asks to have https://a/b removed means http://a/b too. None where it is not valid.
    """
    parts = _split(url)
    host = _host(parts) if parts is not None else None
    if parts is None or host is None:
        return None
    port = parts.port
    authority = host if port is None or port == _PORTS[parts.scheme.lower()] else f"{host}:{port}"
    query = f"?{_same_escapes(parts.query)}" if parts.query else ""
    return f"{authority}{_without_dots(_same_escapes(parts.path)) or '/'}{query}"


@lru_cache(_HOSTS_REMEMBERED)
def domain_of(host: str) -> str:
    """The registrable domain of a host by the public suffix list (the bundled snapshot), or the host itself."""
    return str(_extractor()(host).top_domain_under_public_suffix) or host


@lru_cache(_HOSTS_REMEMBERED)
def ascii_host(host: str) -> str | None:
    """A host as it stands in a DNS query: lower case, punycode; None where it cannot be one."""
    if ":" in host:
        return _ipv6(host)
    host = unicodedata.normalize("NFKC", host).lower().removesuffix(".")
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    if _NUMERIC_END.search(name):
        return _ipv4(name)
    dotted = "." in name or name == "localhost"
    return name if dotted and len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.split(".")) else None


def _split(url: str) -> SplitResult | None:
    url = _BREAKS.sub("", url).strip()  # as browsers do
    if _CONTROL.search(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is not a number below 65536
    except ValueError:
        return None
    return parts if parts.scheme in _PORTS and parts.port != 0 else None


def _host(parts: SplitResult) -> str | None:
    return ascii_host(parts.hostname) if parts.hostname else None


def _ipv4(name: str) -> str | None:
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        return None


def _ipv6(name: str) -> str | None:
    try:
        return f"[{ipaddress.IPv6Address(name)}]"
    except ValueError:
        return None


def _same_escapes(text: str) -> str:
    """Escapes in upper case, none where it is not needed, one where it is."""
    return _ESCAPE.sub(_same_escape, quote(text, safe=_SAFE))


def _same_escape(match: "re.Match[str]") -> str:
    byte = unquote_to_bytes(match[0])
    return byte.decode() if _UNRESERVED.fullmatch(byte) else match[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4 on an absolute path."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


@cache
def _extractor() -> Any:
    import tldextract

    # No list is fetched and no cache is written: the snapshot in the package decides, so that a pool can be made again.
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
