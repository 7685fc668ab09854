"""The host of a URL: whether it can be one at all, and the one form that all its spellings have in a request."""

import ipaddress
import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

_REMEMBERED = 100_000
_USUAL = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f#/:<>?@\[\\\]^|%]")  # URL Standard, forbidden domain code points
_MAX_NAME_CHARS = 253  # RFC 1035
_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)")


@lru_cache(_REMEMBERED)
def ascii_host(host: str) -> str | None:
    """A host (no user, port or brackets) as it is requested: lower case, punycode, IPv4 dotted, IPv6 in brackets.

    None where it cannot be a host (URL Standard, host parsing; RFC 1035 for lengths).
    """
    if ":" in host:
        return _ipv6(host)
    lowered = host.lower().removesuffix(".")
    if len(lowered) <= _MAX_NAME_CHARS and _USUAL.fullmatch(lowered):
        return lowered
    try:
        name = (
            unicodedata.normalize("NFKC", unquote(lowered, errors="strict") if "%" in lowered else lowered)
            .lower()
            .removesuffix(".")
        )
        if len(name) > _MAX_NAME_CHARS:
            return None
        name = name if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = name.split(".")
    if _FORBIDDEN.search(name) or len(name) > _MAX_NAME_CHARS or not all(0 < len(label) <= 63 for label in labels):
        return None
    return _ipv4(labels) if _NUMBER.fullmatch(labels[-1]) else name


def _ipv4(labels: list[str]) -> str | None:
    """The address that numbers name: fewer than four let the last fill the rest, 0x is hexadecimal, a leading 0 octal."""
    if len(labels) > 4 or not all(_NUMBER.fullmatch(label) for label in labels):
        return None
    try:
        numbers = [_number(label) for label in labels]
    except ValueError:
        return None
    rest = 256 ** (5 - len(numbers))
    if numbers[-1] >= rest or any(number > 255 for number in numbers[:-1]):
        return None
    return str(ipaddress.IPv4Address(sum(number << 8 * (3 - place) for place, number in enumerate(numbers[:-1])) + numbers[-1]))


def _number(label: str) -> int:
    if label[:2].lower() == "0x":
        return int(label[2:] or "0", 16)
    return int(label, 8) if len(label) > 1 and label[0] == "0" else int(label)


def _ipv6(host: str) -> str | None:
    try:
        return None if "%" in host else f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        return None
