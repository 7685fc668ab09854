"""Page → its images with alt text, resolved; whatever is left out is counted by reason."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.extract.pages import IMAGE, Page
from pipeline.extract.urls import UnusableError, resolve


class Image(NamedTuple):
    """An absolute image URL and its alt text."""

    url: str
    text: str


def images_of(page: Page, tally: Counter[str]) -> Iterator[Image]:
    """The usable images of `page` in order, repeats included.

    Counts in `tally`: `rows_in` (links from <img src>), `dropped_REASON` for those left out, `mended_REASON` for those kept
    with another URL than cc2dataset's.
    """
    links = [link for link in page.links if link.get("path") == IMAGE]
    tally["rows_in"] += len(links)
    for link in links:
        text, src = link.get("alt"), link.get("url")
        if not isinstance(text, str) or not text:
            tally["dropped_no_alt"] += 1
            continue
        url = url_of(src if isinstance(src, str) else "", page.base_url, tally)
        if url is not None:
            yield Image(url, text)


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
