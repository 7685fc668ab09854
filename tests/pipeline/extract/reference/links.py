"""The links of a page → its images: absolute URLs and alt texts, or why not."""

import ipaddress
import re
import unicodedata
from collections import Counter
from typing import Any
from urllib.parse import unquote, urljoin

LONGEST = 8192  # characters of a URL
REASONS = {"data": "data_url", "javascript": "javascript_url"}


def images_in(page: dict[str, Any], counts: Counter[str]) -> list[tuple[str, str, str]]:
    """URL, text and source of every usable image, in order."""
    images = []
    for src, text, source in page["images"]:
        counts["rows_in"] += 1
        if not isinstance(text, str) or text == "":
            counts["dropped_no_alt"] += 1
            continue
        url, reason, mends = resolved(src if isinstance(src, str) else "", page["base"])
        if reason:
            counts[f"dropped_{reason}"] += 1
            continue
        counts.update(f"mended_{mend}" for mend in mends)
        images.append((url, text, source))
    return images


def resolved(src: str, base: str) -> tuple[str, str, list[str]]:
    """The absolute URL, why there is none, and what was mended."""
    reference = src.strip()
    if not reference:
        return "", "blank_src", []
    mends = ["stripped_src"] if reference != src else []
    scheme = re.match("([A-Za-z][A-Za-z0-9+.-]*):", reference)
    if scheme and scheme[1].lower() not in ("http", "https"):
        return "", REASONS.get(scheme[1].lower(), "other_scheme"), []
    if len(reference) > LONGEST:
        return "", "src_too_long", []
    if re.match("(?i)https?://", reference) and not re.match("https?://", reference):
        mends.append("upper_case_scheme")
    url = reference if reference.startswith(("http://", "https://")) else joined(base, reference)
    if url is None:
        return "", "invalid_host", []
    scheme_of_url = url.partition(":")[0].lower()
    if scheme_of_url not in ("http", "https"):
        return "", "other_scheme", []
    url = scheme_of_url + url[len(scheme_of_url) :]
    authority = re.match(r"https?://([^/?#\\]*)", url)
    return url, problem_of(authority[1]) if authority else "invalid_host", mends


def joined(base: str, reference: str) -> str | None:
    """RFC 3986 as urllib does it, white space around the reference left out; None where urllib refuses."""
    try:
        return urljoin(base, reference.strip())
    except ValueError:
        return None


def problem_of(authority: str) -> str:
    """Why nothing can be fetched from [user@]host[:port] (URL Standard; a URL parser ignores tabs and line ends)."""
    place = re.sub("[\t\r\n]", "", authority).split("@")[-1]
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(.*))?", place, re.DOTALL)
    if not found or not is_host(found[1]):
        return "invalid_host"
    port = found[2] or ""
    return "" if port == "" or (re.fullmatch("0*[0-9]{1,5}", port) and int(port) < 65536) else "invalid_port"


def is_host(host: str) -> bool:
    """Whether the URL Standard's host parser takes `host` and DNS could look it up (RFC 1035)."""
    if host.startswith("["):
        try:
            return "%" not in host and ipaddress.IPv6Address(host[1:-1]) is not None
        except ValueError:
            return False
    try:
        name = unicodedata.normalize("NFKC", unquote(host.lower(), errors="strict")).lower()
        name = name if name.isascii() else name.removesuffix(".").encode("idna").decode().lower()
    except UnicodeError:
        return False
    name = name.removesuffix(".")
    labels = name.split(".")
    if re.search(r"[\x00-\x20\x7f#/:<>?@\[\\\]^|%]", name) or len(name) > 253 or not all(0 < len(label) < 64 for label in labels):
        return False
    return is_ipv4(labels) if re.fullmatch("0[xX][0-9A-Fa-f]*|[0-9]+", labels[-1]) else True


def is_ipv4(labels: list[str]) -> bool:
    """Whether the numbers are an IPv4 address: at most four, the last one fills the bytes that are left."""
    numbers = []
    for label in labels:
        if re.fullmatch("0[xX][0-9A-Fa-f]*", label):
            numbers.append(int(label[2:] or "0", 16))
        elif re.fullmatch("0[0-7]*", label):
            numbers.append(int(label, 8))
        elif re.fullmatch("[1-9][0-9]*", label):
            numbers.append(int(label))
        else:
            return False
    return len(numbers) <= 4 and all(number < 256 for number in numbers[:-1]) and numbers[-1] < 256 ** (5 - len(numbers))
