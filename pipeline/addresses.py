"""URLs: whether one can be fetched at all, whose it is, and the form in which two spellings of one address are equal.

In: a URL or a host as text. Out: the host, the registrable domain, or the normalised form; None for what is not valid. Only
syntax is judged here: which addresses may be connected to is `download`'s question, asked after DNS.
"""

import re
from functools import cache, lru_cache
from typing import Any, Literal
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from pipeline.hosts import ascii_host

_HOSTS_REMEMBERED = 100_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BREAKS = re.compile(r"[\t\r\n]")
_PORTS = {"http": 80, "https": 443}
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
# RFC 3986's characters of path and query, and %: what a browser leaves as it stands.
_SAFE = "!$&'()*+,;=:@/?%~"
# What nearly all URLs look like (host, path and query): nothing in them needs to be rewritten but a dot segment.
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PCHARS = r"A-Za-z0-9._~!$&'()*+,;=:@/-"
_PLAIN = re.compile(rf"https?://((?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?)(/[{_PCHARS}]*)?(\?[{_PCHARS}?]*)?", re.ASCII)
_MAX_HOST_CHARS = 253  # RFC 1035


def host_of(url: str) -> str | None:
    """The host of an http(s) URL in ASCII lower case (punycode, IPv6 in brackets); None where the URL is not valid."""
    plain = _PLAIN.fullmatch(url)
    if plain is not None and len(plain[1]) <= _MAX_HOST_CHARS:
        return plain[1]
    parts = _split(url)
    return None if parts is None else public_host(parts.hostname or "")


def normalise(url: str) -> str | None:
    """The key by which spellings of one address are equal (RFC 3986, 6.2): without scheme, default port and fragment.

    The scheme is left out on purpose: who asks to have https://a/b removed means http://a/b too. None where it is not valid.
    """
    plain = _PLAIN.fullmatch(url)
    if plain is not None and len(plain[1]) <= _MAX_HOST_CHARS and "/." not in (path := plain[2] or "/"):
        return f"{plain[1]}{path}{plain[3]}" if plain[3] and plain[3] != "?" else plain[1] + path
    return _rewritten(url)


def _rewritten(url: str) -> str | None:
    """What `normalise` answers, for any URL."""
    parts = _split(url)
    host = public_host(parts.hostname or "") if parts is not None else None
    if parts is None or host is None:
        return None
    port = parts.port
    authority = host if port is None or port == _PORTS[parts.scheme.lower()] else f"{host}:{port}"
    query = f"?{_same_escapes(parts.query)}" if parts.query else ""
    return f"{authority}{_without_dots(_same_escapes(parts.path)) or '/'}{query}"


def public_host(host: str) -> str | None:
    """The ASCII form of a host that can stand on the public web (a name with a dot, an address) or is localhost, else None."""
    name = ascii_host(host)
    return name if name and ("." in name or name.startswith("[") or name == "localhost") else None


@lru_cache(_HOSTS_REMEMBERED)
def domain_of(host: str) -> str:
    """The registrable domain of a host by the public suffix list (the bundled snapshot), or the host itself."""
    return str(_extractor()(host).top_domain_under_public_suffix) or host


def public_suffix(host: str) -> Literal["icann", "private"] | None:
    """Which section of the public suffix list `host` stands in: itself a suffix, below which others register their names.

    icann: a registry's (co.uk, com); private: a company's, whose customers have their sites below it (github.io).
    """
    found = _extractor()(host, include_psl_private_domains=True)
    if found.domain or not found.suffix:
        return None
    return "private" if found.is_private else "icann"


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
