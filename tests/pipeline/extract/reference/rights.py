"""A page → what it says of its use."""

import re
from typing import Any

from .links import LONGEST, joined

SPOKEN_TO = ("ccbot", "img2dataset", "webpairs")
WITH_VALUE = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")


def rights_of(head: Any, headers: Any, links: list[dict[str, Any]], base: str) -> dict[str, Any]:
    """The columns html_lang to tdm_reserved."""
    metas = []
    for meta in objects_at(head, "Metas"):
        name = meta.get("name") or meta.get("http-equiv")
        metas.append((name.strip().lower() if isinstance(name, str) else "", meta.get("content")))
    robots = [directive for value in in_headers(headers, "x-robots-tag") for directive in directives(as_text(value))]
    for name, content in metas:
        if isinstance(content, str) and name in ("robots", "x-robots-tag", *SPOKEN_TO):
            robots += directives(content, name if name in SPOKEN_TO else "")
    reservations = [as_text(v).strip() for v in [*in_headers(headers, "tdm-reservation"), *named(metas, "tdm-reservation")]]
    languages = [as_text(value) for value in in_headers(headers, "content-language")]
    return {
        "html_lang": first_text(named(metas, "html@/lang")),
        "content_language": first_text([*languages, *named(metas, "content-language")]),
        "license_url": license_in([*objects_at(head, "Link"), *links], base),
        "robots": sorted({directive for directive in robots if len(directive) <= 200}),  # of more than 100 see the tests by hand
        "tdm_reserved": True if "1" in reservations else False if "0" in reservations else None,
    }


def at(value: Any, *keys: str) -> Any:
    """What stands under `keys`, None where nothing does."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def objects_at(value: Any, *keys: str) -> list[dict[str, Any]]:
    """The objects in the list that stands under `keys`."""
    found = at(value, *keys)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def in_headers(headers: Any, name: str) -> list[Any]:
    """All values of an HTTP header, whatever case its name has."""
    values: list[Any] = []
    for key, value in headers.items() if isinstance(headers, dict) else ():
        if key.lower() == name:
            values += value if isinstance(value, list) else [value]
    return values


def as_text(value: Any) -> str:
    """A header's value: a text, or a number that an extractor did not write as one; anything else says nothing."""
    return str(value) if isinstance(value, str) or type(value) is int else ""


def named(metas: list[tuple[str, Any]], name: str) -> list[Any]:
    """The contents of the metas of that name."""
    return [content for found, content in metas if found == name]


def first_text(values: list[Any]) -> str | None:
    """The first value that is a text of 1 to 200 characters, without the white space around it."""
    return next((value.strip() for value in values if isinstance(value, str) and 0 < len(value.strip()) <= 200), None)


def directives(value: str, agent: str = "") -> list[str]:
    """The directives of one value: what stands before a colon is the agent that is spoken to until the next is named."""
    found = []
    for part in re.split("[,;]", value.lower()):
        words, colon, after = part.partition(":")
        if colon and words.strip() not in WITH_VALUE and len(words.split()) <= 1:
            agent = words.strip() if words.strip() not in ("*", "robots") else ""
            words, colon, after = after.partition(":")
        valued = colon and words.strip() in WITH_VALUE
        said = [f"{words.strip()}:{' '.join(after.split())}"] if valued else words.split()
        if "none" in said:
            said += ["noindex", "nofollow"]
        found += [f"{agent}:{directive}" if agent else directive for directive in said]
    return found


def license_in(links: list[dict[str, Any]], base: str) -> str | None:
    """The web page that the first usable rel=license link leads to."""
    for link in links:
        rel, target = link.get("rel"), link.get("url")
        if isinstance(rel, str) and "license" in rel.lower().split() and isinstance(target, str) and target.strip():
            url = joined(base, target)
            if url is not None and url.lower().startswith(("http://", "https://")) and len(url) <= LONGEST:
                return url
    return None
