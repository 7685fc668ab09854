"""HTML → the HTML-Metadata object of a WAT record: the head's contents and every link, as Common Crawl's extractor lists them.

Read from the page's bytes with the standard library's parser, not from what the generator knows of the page.
"""

from html.parser import HTMLParser
from typing import Any

# Attributes that a link object carries, in the extractor's order.
_LINK_ATTRIBUTES = ("target", "alt", "title", "rel", "hreflang", "type", "method")
_SOURCES = {"img": ("src", "longdesc"), "iframe": ("src",), "form": ("action",), "video": ("src", "poster"), "area": ("href",)}
_META_ATTRIBUTES = ("name", "rel", "content", "http-equiv", "property")


def metadata_of(page: bytes) -> dict[str, Any]:
    """`{"Head": {...}, "Links": [...]}` of an HTML page in UTF-8; keys in order of first appearance, absent where empty."""
    parser = _Reader()
    parser.feed(page.decode("utf-8", "replace"))
    parser.close()
    found: dict[str, Any] = {"Head": parser.head} if parser.head else {}
    if parser.links:
        found["Links"] = parser.links
    return found


class _Reader(HTMLParser):
    """Collects the head's contents and the links. A link with text is listed where it ends, so after images inside it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.head: dict[str, Any] = {}
        self.links: list[dict[str, str]] = []
        self._text: list[str] | None = None
        self._anchor: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, str | None] = {}
        for name, value in attrs:
            given.setdefault(name, value)
        match tag:
            case "html" if "lang" in given:
                self._in_head("Metas", {"name": "HTML@/lang", "content": given["lang"] or ""})
            case "meta":
                self._in_head("Metas", _chosen(given, _META_ATTRIBUTES))
            case "base" if "href" in given:
                self.head.setdefault("Base", given["href"] or "")
            case "link" if "href" in given:
                self._in_head("Link", _link("LINK@/href", given["href"], given, ("rel", "type")))
            case "script" if "src" in given:
                self._in_head("Scripts", _link("SCRIPT@/src", given["src"], given, ("type",)))
            case "title":
                self._text = []
            case "a" if "href" in given:
                self._text, self._anchor = [], given
            case _:
                self._add_sources(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if self._text is None:
            return
        text = " ".join("".join(self._text).split())
        if tag == "title":
            self.head["Title"] = text
            self._text = None
        elif tag == "a":
            link = _link("A@/href", self._anchor["href"], self._anchor, _LINK_ATTRIBUTES)
            self.links.append(link | {"text": text} if text else link)
            self._text = None

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def _in_head(self, key: str, entry: dict[str, str]) -> None:
        self.head.setdefault(key, []).append(entry)

    def _add_sources(self, tag: str, given: dict[str, str | None]) -> None:
        for name in _SOURCES.get(tag, ()):
            if name in given:
                attributes = _LINK_ATTRIBUTES if name != "longdesc" else ()
                self.links.append(_link(f"{tag.upper()}@/{name}", given[name], given, attributes))


def _link(path: str, url: str | None, given: dict[str, str | None], attributes: tuple[str, ...]) -> dict[str, str]:
    return {"path": path, "url": url or "", **_chosen(given, attributes)}


def _chosen(given: dict[str, str | None], names: tuple[str, ...]) -> dict[str, str]:
    return {name: given[name] or "" for name in names if name in given}
