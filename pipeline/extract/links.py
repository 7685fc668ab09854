"""Page → its images with alt text, resolved; whatever is left out is counted by reason."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.extract.pages import Page
from pipeline.extract.urls import UnusableError, resolve

_IMAGE = "IMG@/src"


class Image(NamedTuple):
    """An absolute image URL and its alt text."""

    url: str
    text: str


def images_of(page: Page, tally: Counter[str]) -> Iterator[Image]:
    """The usable images of `page` in order, repeats included.

    Counts in `tally`: `rows_in` (links from <img src>), `dropped_REASON` for those left out, `mended_REASON` for those kept
    with another URL than cc2dataset's.
    """
    links = [link for link in page.links if link.get("path") == _IMAGE]
    tally["rows_in"] += len(links)
    for link in links:
        text, src = link.get("alt"), link.get("url")
        if not isinstance(text, str) or not text:
            tally["dropped_no_alt"] += 1
            continue
        try:
            url, mended = resolve(src if isinstance(src, str) else "", page.base_url)
        except UnusableError as unusable:
            tally[f"dropped_{unusable.reason}"] += 1
            continue
        for reason in mended:
            tally[f"mended_{reason}"] += 1
        yield Image(url, text)
