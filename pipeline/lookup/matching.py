"""What is sought, as conditions on rows: what SQL can judge surely, and what must be read as `pipeline.addresses` reads it.

A URL that is written plainly (lower-case host of letters, digits and hyphens, no port) is of a host where its text says so. Any
other (capitals, escapes, punycode, user, port, numbers for an address) is a candidate, and judged by its normal form. So
nothing is missed for the way it is written, and few URLs are taken apart one by one.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.addresses import host_of, normalise
from pipeline.lookup.sought import Sought

_PLAIN = r"^https?://(?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]*(?:[/?#]|$)"
_BEFORE = r"^https?://(?:[a-z0-9_-]+\.)*"
_ESCAPE = re.compile("%[0-9A-F]{2}")
_RUN = re.compile("[A-Za-z0-9]+")

_OF_HOST = "(contains({0}, $host) AND regexp_matches({0}, $below))"
_ODD = "coalesce(NOT regexp_matches({0}, $plain), false)"
# An address is spelled with its longest run of letters and digits, or with an escape, or with a sign that browsers drop.
_MAY_BE = (
    "((contains({0}, $run) OR contains({0}, '%') OR contains({0}, chr(9)) OR contains({0}, chr(10)) OR contains({0}, chr(13)))"
    " AND (contains({0}, $host) OR NOT regexp_matches({0}, $plain)))"
)


@dataclass(frozen=True)
class Conditions:
    """SQL over a release's rows, without any value in it, and the values. `by` names the column for a sure row."""

    sure: str
    by: str
    candidate: str
    values: dict[str, Any]


def conditions(sought: Sought, columns: Collection[str], domains: Sequence[str], *, pages: bool) -> Conditions:
    """Which rows are meant. With `pages` also those that stand elsewhere but on a page that is meant.

    `domains` are those of the release's that a host could be of, or that lie below it.
    """
    if sought.kind == "uid":
        return Conditions("uid = $key", "'uid'", "false", {"key": sought.key})
    above = [domain for domain in domains if domain in sought.domains[1:]]
    values = {
        "near": list(sought.domains) if sought.kind == "url" else above,
        "whole": [sought.host, *(domain for domain in domains if is_below(domain, sought.host))],
        "host": sought.host,
        "plain": _PLAIN,
        "below": f"{_BEFORE}{re.escape(sought.host)}(?:[/?#]|$)",
        "run": _longest_run(sought.key[len(sought.host) :]),
    }
    near = "true" if "domain" not in columns else "list_contains($near, domain)" if values["near"] else "false"
    whole = "list_contains($whole, domain)" if "domain" in columns else "false"
    if sought.kind == "url":
        return Conditions("false", "'url'", _address(near, pages=pages, has_pages="page_url" in columns), values)
    sure = whole if near == "false" else f"({whole} OR ({near} AND {_OF_HOST.format('url')}))"
    odd = "false" if near == "false" else f"({near} AND {_ODD.format('url')})"
    if not (pages and "page_url" in columns):
        candidate = odd if odd == "false" else f"{odd} AND NOT coalesce({sure}, false)"
        return Conditions(sure, "'url'", candidate, values)
    either = f"({sure} OR {_OF_HOST.format('page_url')})"
    candidate = f"({odd} OR {_ODD.format('page_url')}) AND NOT coalesce({either}, false)"
    return Conditions(either, f"CASE WHEN {sure} THEN 'url' ELSE 'page_url' END", candidate, values)


def _address(near: str, *, pages: bool, has_pages: bool) -> str:
    """Which rows can have an address."""
    url, page = _MAY_BE.format("url"), _MAY_BE.format("page_url") if has_pages else "false"
    return f"({near} AND {url}) OR {page}" if pages else f"{near} AND ({url} OR {page})"


def found_by(sought: Sought, url: str | None, page_url: str | None, *, pages: bool) -> str:
    """By which of its columns a candidate is meant; "" where it is not."""
    if _is_meant(sought, url):
        return "url"
    return "page_url" if (pages or sought.kind == "url") and _is_meant(sought, page_url) else ""


def _is_meant(sought: Sought, url: str | None) -> bool:
    if url is None:
        return False
    return is_below(host_of(url), sought.host) if sought.kind == "host" else normalise(url) == sought.key


def is_below(host: str | None, other: str) -> bool:
    """Whether a host is the other or lies below it: a.example is not below example.com, nor aa.example below a.example."""
    return host is not None and (host == other or host.endswith(f".{other}"))


def _longest_run(rest: str) -> str:
    """Signs of path and query that stand in every spelling of it that has no escape; "" if there are none."""
    return max(_RUN.findall(_ESCAPE.sub("/", rest)), key=len, default="")
