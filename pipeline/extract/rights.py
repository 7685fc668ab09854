"""What a page says of its own use: robots directives, TDM reservation, licence, language."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urljoin

from pipeline.extract.pages import Page, objects_of
from pipeline.extract.urls import LONGEST_URL_CHARS
from pipeline.optout import COLLECTORS, directives_in, refusals

_LONGEST_TAG_CHARS, _LONGEST_DIRECTIVE_CHARS, _MOST_OTHER_DIRECTIVES = 200, 200, 100
_AGENT_METAS = frozenset(COLLECTORS)  # a meta may speak to an agent by its name


class Rights(NamedTuple):
    """The page-level columns of CANDIDATES that policy is made from."""

    html_lang: str | None
    content_language: str | None
    license_url: str | None
    robots: list[str]
    tdm_reserved: bool | None


def rights_of(page: Page) -> Rights:
    """All that `page` says, in its HTTP headers and in its <head>."""
    metas = objects_of(page.head.get("Metas"))
    named = [(_stripped(meta.get("name") or meta.get("http-equiv")).lower(), meta.get("content")) for meta in metas]
    return Rights(
        html_lang=_first_tag(content for name, content in named if name == "html@/lang"),
        content_language=_first_tag([*_header(page, "content-language"), *_contents(named, "content-language")]),
        license_url=_license_of(page),
        robots=_bounded({*_header_directives(page), *_meta_directives(named)}),
        tdm_reserved=_reservation([*_header(page, "tdm-reservation"), *_contents(named, "tdm-reservation")]),
    )


def _header_directives(page: Page) -> Iterator[str]:
    for value in _header(page, "x-robots-tag"):
        yield from directives_in(value)


def _meta_directives(named: list[tuple[str, Any]]) -> Iterator[str]:
    for name, content in named:
        if isinstance(content, str) and name in ("robots", "x-robots-tag"):
            yield from directives_in(content)
        elif isinstance(content, str) and name in _AGENT_METAS:
            yield from directives_in(content, agent=name)


def _header(page: Page, name: str) -> list[str]:
    """All values of an HTTP header: names come in any case, a repeated header is a list, a number stands for its digits."""
    values: list[str] = []
    for key, value in page.headers.items():
        if key.lower() == name:
            values += [str(v) for v in (value if isinstance(value, list) else [value]) if _speaks(v)]
    return values


def _speaks(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _contents(named: list[tuple[str, Any]], name: str) -> list[Any]:
    return [content for found, content in named if found == name]


def _bounded(directives: set[str]) -> list[str]:
    """In order, and no more than a page can mean: they are repeated in each of its rows. Those that refuse are always kept."""
    short = sorted(directive for directive in directives if len(directive) <= _LONGEST_DIRECTIVE_CHARS)
    spare = {*[directive for directive in short if directive not in refusals()][_MOST_OTHER_DIRECTIVES:]}
    return [directive for directive in short if directive not in spare]


def _first_tag(values: Iterable[Any]) -> str | None:
    """The first that may be a language tag, or a list of them."""
    return next((text for text in map(_stripped, values) if 0 < len(text) <= _LONGEST_TAG_CHARS), None)


def _stripped(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _reservation(values: list[Any]) -> bool | None:
    """TDMRep (W3C community group report, 2022): 1 reserved, 0 not, anything else says nothing. A reservation prevails."""
    said = {str(value).strip() for value in values}
    return True if "1" in said else (False if "0" in said else None)


def _license_of(page: Page) -> str | None:
    for link in (*objects_of(page.head.get("Link")), *page.links):
        rel = link.get("rel")
        if isinstance(rel, str) and "license" in rel.lower().split():
            target = _absolute(link.get("url"), page.base_url)
            if target is not None:
                return target
    return None


def _absolute(target: Any, base_url: str) -> str | None:
    """The web URL that an href names; None where it names none."""
    if not isinstance(target, str) or not target.strip():
        return None
    try:
        absolute = urljoin(base_url, target.strip())
    except ValueError:
        return None
    usable = absolute.lower().startswith(("http://", "https://")) and len(absolute) <= LONGEST_URL_CHARS
    return absolute if usable else None
