"""Metas and links of a page → images that stand elsewhere than in <img>, each with the text that goes with it.

Off by default: of those texts only a link's own was written for the image.
"""

import re
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

from pipeline.extract.compiled.sources import IMAGE_LINK, OG_IMAGE, VIDEO_POSTER
from pipeline.extract.links import Candidate

SOURCES = ("img", "og:image", "a", "video")  # the values of the column, in the order in which a page's rows stand
_, _OG_IMAGE, _A, _VIDEO = SOURCES
_IMAGE_NAMES = ("og:image", "og:image:url")  # one property under two names (ogp.me)
_NAMES = (*_IMAGE_NAMES, "og:title", "og:description")
_PATH = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://[^/?#]*)?([^?#]*)")
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif")
# A page's title goes to so many of its images and to no more: else a long one and a thousand og:images would make gigabytes.
MOST_SHARING = 64


def others_of(metas: list[dict[str, Any]], links: list[dict[str, Any]], wanted: int) -> list[Candidate]:
    """The images besides <img> that are `wanted` (bits of compiled.sources), in the order of SOURCES; a text may be missing.

    og:image: each distinct one, with the page's first og:title that is not blank, or else its first such og:description.
    a: each A@/href whose path ends as an image's does, with its own text. video: each VIDEO@/poster, with its own title or alt,
    or else what goes with og:image. What does not bear on these may be left out of `metas` and `links`.
    """
    tagged = [(_name_of(meta), _text_in(meta, "content")) for meta in metas]
    shared: Iterator[str] = chain(repeat(_title_in(tagged), MOST_SHARING), repeat(""))
    found: list[Candidate] = []
    if wanted & OG_IMAGE:
        distinct = dict.fromkeys(content for name, content in tagged if name in _IMAGE_NAMES)
        found += [Candidate(src, next(shared), _OG_IMAGE) for src in distinct]
    if wanted & IMAGE_LINK:
        targets = [link for link in links if link.get("path") == "A@/href" and _names_image(link.get("url"))]
        found += [Candidate(link["url"], link.get("text"), _A) for link in targets]
    if wanted & VIDEO_POSTER:
        posters = [link for link in links if link.get("path") == "VIDEO@/poster"]
        own = [_text_in(link, "title") or _text_in(link, "alt") for link in posters]
        found += [Candidate(link.get("url"), text or next(shared), _VIDEO) for link, text in zip(posters, own, strict=True)]
    return found


def _names_image(url: Any) -> bool:
    """Whether the path of a URL, absolute or relative, ends with an image's extension."""
    if not isinstance(url, str):
        return False
    found = _PATH.match(url.strip())
    return found is not None and found[1][-5:].lower().endswith(_EXTENSIONS)


def _name_of(meta: dict[str, Any]) -> str:
    """Which of the Open Graph properties that matter here a meta states; "" where none. Many pages write name for property."""
    for key in ("property", "name"):
        name = _text_in(meta, key).strip().lower()
        if name in _NAMES:
            return name
    return ""


def _title_in(tagged: list[tuple[str, str]]) -> str:
    for wanted in ("og:title", "og:description"):
        for name, content in tagged:
            if name == wanted and content.strip():
                return content
    return ""


def _text_in(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    return text if isinstance(text, str) else ""
