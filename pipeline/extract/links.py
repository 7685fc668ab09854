"""Candidates of a page → its images with a text, resolved; whatever is left out is counted by reason."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pipeline.extract.urls import UnusableError, resolve


class Candidate(NamedTuple):
    """What may be an image: its src and its text, as the page's JSON has them, and where they stand (one of others.SOURCES)."""

    src: Any
    text: Any
    source: str


class Image(NamedTuple):
    """An absolute image URL, its text, and where they stand."""

    url: str
    text: str
    source: str


def images_of(candidates: Iterable[Candidate], base_url: str, tally: Counter[str]) -> Iterator[Image]:
    """The usable images among the `candidates` of a page in order, repeats included.

    Counts in `tally`: `rows_in` (candidates), `dropped_REASON` for those left out, `mended_REASON` for those kept with another
    URL than cc2dataset's.
    """
    for src, text, source in candidates:
        tally["rows_in"] += 1
        if not isinstance(text, str) or not text:
            tally["dropped_no_alt"] += 1
            continue
        url = url_of(src if isinstance(src, str) else "", base_url, tally)
        if url is not None:
            yield Image(url, text, source)


def url_of(src: str, base_url: str, tally: Counter[str]) -> str | None:
    """The absolute URL of a src; None where it has none, counted as `images_of` does."""
    try:
        url, mended = resolve(src, base_url)
    except UnusableError as unusable:
        tally[f"dropped_{unusable.reason}"] += 1
        return None
    for reason in mended:
        tally[f"mended_{reason}"] += 1
    return url
