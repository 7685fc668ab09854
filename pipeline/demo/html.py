"""A planned page as the HTML that its host serves: head with what the page declares, a menu, figures, text, a footer."""

import hashlib
from html import escape
from random import Random

from pipeline.demo import texts
from pipeline.demo.web import Link, Page


def render(page: Page) -> bytes:
    """The page in UTF-8. Every value is escaped where it stands; the same page gives the same bytes."""
    rng = Random(page.url)
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="{escape(page.declared_lang)}">' if page.declared_lang else "<html>",
        *_head(page),
        "<body>",
        *_menu(page),
        f"<main><h1>{escape(page.title)}</h1>",
    ]
    for number, link in enumerate(page.links):
        parts.append(f"<p>{escape(texts.unrelated(rng))}</p>")
        parts.append(_figure(link, number))
    return "\n".join([*parts, "</main>", *_footer(page), "</body>", "</html>", ""]).encode()


def headers(page: Page, length: int) -> list[tuple[str, str]]:
    """The HTTP headers the page is served with, for a body of `length` bytes."""
    said = [("X-Robots-Tag", value) for value in page.robots_header]
    if page.content_language:
        said.append(("Content-Language", page.content_language))
    return [("Content-Type", "text/html; charset=utf-8"), ("Server", "nginx"), *said, ("Content-Length", str(length))]


def _head(page: Page) -> list[str]:
    metas = [("viewport", "width=device-width, initial-scale=1"), ("description", f"{page.title}: pictures & stories")]
    if page.robots_meta:
        metas.append(("robots", page.robots_meta))
    if page.tdm_reservation:
        metas.append(("tdm-reservation", page.tdm_reservation))
    lines = ["<head>", '<meta charset="utf-8">', f"<title>{escape(page.title)}</title>"]
    lines += [f'<meta name="{name}" content="{escape(content)}">' for name, content in metas]
    lines.append(f'<meta property="og:title" content="{escape(page.title)}">')
    if page.base:
        lines.append(f'<base href="{escape(page.base)}">')
    lines.append(f'<link rel="canonical" href="{escape(page.url)}">')
    lines.append('<link rel="stylesheet" type="text/css" href="/assets/site.css">')
    # Half of the licences stand in the head, half in the footer.
    if page.licence and _in_head(page):
        lines.append(f'<link rel="license" href="{escape(page.licence)}">')
    return [*lines, '<script type="text/javascript" src="/assets/site.js"></script>', "</head>"]


def _in_head(page: Page) -> bool:
    return hashlib.md5(page.url.encode(), usedforsecurity=False).digest()[0] % 2 == 0


def _menu(page: Page) -> list[str]:
    host = page.url.split("/")[2]
    entries = [("/", host), ("/about", "About us"), ("/archive?sort=new", "Archive")]
    return ["<nav>", *(f'<a href="{escape(url)}" title="{escape(text)}">{escape(text)}</a>' for url, text in entries), "</nav>"]


def _figure(link: Link, number: int) -> str:
    alt = "" if link.alt is None else f' alt="{escape(link.alt)}"'
    title = f' title="{escape(link.alt)}"' if link.alt and number % 5 == 4 and len(link.alt) < 200 else ""
    image = f'<img src="{escape(link.src)}"{alt}{title}>'
    if number % 4 == 1:
        return f'<a href="/picture/{link.pair}" target="_blank" rel="nofollow">{image} show it</a>'
    return f"<figure>{image}</figure>" if number % 4 else f'<div class="card">{image}</div>'


def _footer(page: Page) -> list[str]:
    lines = ["<footer>"]
    if page.licence and not _in_head(page):
        lines.append(f'<a rel="license" href="{escape(page.licence)}">Some rights reserved</a>')
    lines.append('<form action="/search" method="get"><input name="q"></form>')
    return [*lines, "<p>© the authors</p>", "</footer>"]
