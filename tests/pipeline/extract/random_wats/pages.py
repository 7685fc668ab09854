"""The JSON of pages and of other records, as values: regular, or odd in every way."""

from random import Random
from typing import Any

from .json_forms import Pairs
from .words import (
    BASES,
    DATES,
    FILES,
    HOSTS,
    LANGUAGES,
    LICENSES,
    MORE_KEYS,
    MORE_PAIRS,
    ODD_HOSTS,
    ODD_OPEN_GRAPH,
    ODD_VALUES,
    ODD_WORDS,
    OPEN_GRAPH,
    OTHER_LINKS,
    PAGES,
    PATHS,
    PORTS,
    RELATIVE,
    RELS,
    ROBOTS,
    SCHEMES,
    SPACES,
    USUAL,
    WORDS,
)


def page(rng: Random, *, odd: bool) -> Any:
    """The JSON of a page."""
    head = Pairs([("Metas", [meta(rng, odd=odd) for _ in range(rng.choice([0, 1, 2, 4]))])])
    if rng.random() < 0.4:
        head.append(("Title", word(rng, odd=odd)))
    if rng.random() < 0.3:
        head.append(("Base", rng.choice(BASES)))
    if rng.random() < 0.4:
        head.append(("Link", [other_link(rng, odd=odd, path="LINK@/href") for _ in range(rng.choice([1, 2]))]))
    head[0][1].extend(open_graph(rng, odd=odd) for _ in range(rng.choice([0, 0, 2, 5])))
    links = [link_of_any_kind(rng, odd=odd) for _ in range(rng.choice([1, 2, 3, 6]))]
    headers = Pairs([("Server", "nginx"), *(header(rng, odd=odd) for _ in range(rng.choice([0, 0, 1, 2])))])
    html = Pairs([("Head", shuffled(rng, head)), ("Links", links)])
    response = Pairs(
        [("Response-Message", Pairs([("Status", "200")])), ("Headers", headers), ("HTML-Metadata", html), ("Entity-Length", "7")]
    )
    payload = Pairs(
        [
            ("Actual-Content-Type", "application/http; msgtype=response"),
            ("HTTP-Response-Metadata", response),
            ("Trailing-Slop-Length", "4"),
        ]
    )
    warc = Pairs(
        [
            ("WARC-Type", "response"),
            ("WARC-Date", rng.choice(DATES if odd else DATES[:2])),
            ("WARC-Target-URI", page_url(rng, odd=odd)),
        ]
    )
    arc = Pairs([("Target-URI", page_url(rng, odd=odd)), ("Date", rng.choice(DATES))])
    named = ("ARC-Header-Metadata", arc) if rng.random() < 0.1 else ("WARC-Header-Metadata", warc)
    envelope = Pairs([("Payload-Metadata", payload), ("Format", "WARC/1.0"), named])
    record = Pairs([("Container", Pairs([("Filename", "x.warc.gz"), ("Offset", "0")])), ("Envelope", envelope)])
    for value in (html, response, payload, warc, envelope, record, headers, head):
        if odd and rng.random() < 0.15:
            make_odd(rng, value)
    return record


def make_odd(rng: Random, value: Pairs) -> None:
    """Changes an object: order, a key more, a key less, a key twice, a value of another kind."""
    which = rng.randint(0, len(value) - 1) if value else 0
    change = rng.choice(["reverse", "more", "twice", "less", "value"])
    if change == "reverse":
        value.reverse()
    elif change == "more" or not value:
        value.insert(rng.randint(0, len(value)), rng.choice([(rng.choice(MORE_KEYS), rng.choice(ODD_VALUES)), *MORE_PAIRS]))
    elif change == "twice":
        value.insert(rng.randint(0, len(value)), (value[which][0], rng.choice([rng.choice(ODD_VALUES), value[which][1]])))
    elif change == "less":
        del value[which]
    else:
        value[which] = (value[which][0], rng.choice(ODD_VALUES))


def about_crawl(rng: Random) -> Any:
    """The JSON of a record about a warcinfo record, or about an ARC's file description."""
    name = rng.choice(["CC-MAIN-2024-22", "x", "", None])
    info = Pairs([("WARC-Info-Metadata", Pairs([("isPartOf", name)]))])
    data = [Pairs([("Name", "dcterms:isPartOf"), ("Value", name)]), None, Pairs([("Name", "x")])]
    about = rng.choice([info, Pairs([("Filedesc-Metadata", Pairs([("Data", data)]))])])
    return Pairs([("Envelope", Pairs([("Payload-Metadata", about)]))])


def request(rng: Random) -> Any:
    """The JSON of a record about a request; its path may hold what looks like an image link."""
    message = Pairs([("Path", rng.choice(["/x", "/IMG@/src", "IMG@"]))])
    return Pairs([("Envelope", Pairs([("Payload-Metadata", Pairs([("HTTP-Request-Metadata", message)]))]))])


def link_of_any_kind(rng: Random, *, odd: bool) -> Any:
    """A link: most are images."""
    kind = rng.random()
    return image(rng, odd=odd) if kind < 0.65 else other_image(rng, odd=odd) if kind < 0.8 else other_link(rng, odd=odd)


def other_image(rng: Random, *, odd: bool) -> Any:
    """A link of <a> or <video> that may be an image; some are licences."""
    path = rng.choice(["A@/href", "A@/href", "VIDEO@/poster"])
    link = Pairs([("path", path), ("url", rng.choice(FILES if odd else FILES[:16]))])
    for key in ("text", "title", "alt"):
        if rng.random() < (0.7 if key == "text" else 0.2):
            link.append((key, word(rng, odd=odd)))
    if rng.random() < 0.1:
        link.append(("rel", rng.choice(RELS)))
    if odd and rng.random() < 0.15:
        make_odd(rng, link)
    return shuffled(rng, link) if odd else link


def open_graph(rng: Random, *, odd: bool) -> Any:
    """A <meta> of Open Graph."""
    name = rng.choice(ODD_OPEN_GRAPH if odd and rng.random() < 0.3 else OPEN_GRAPH)
    content = src(rng, odd=odd) if "image" in name else word(rng, odd=odd)
    found = Pairs([(rng.choice(["property", "property", "name"]), name), ("content", content)])
    if odd and rng.random() < 0.2:
        make_odd(rng, found)
    return shuffled(rng, found)


def image(rng: Random, *, odd: bool) -> Any:
    """A link of <img>."""
    if odd and rng.random() < 0.05:
        return rng.choice(ODD_VALUES)
    link = Pairs([("path", "IMG@/src"), ("url", src(rng, odd=odd))])
    if rng.random() < 0.85:
        link.append(("alt", word(rng, odd=odd)))
    if rng.random() < 0.2:
        link.append(("title", word(rng, odd=odd)))
    if odd and rng.random() < 0.1:
        link.append(("rel", rng.choice(RELS)))
    if odd and rng.random() < 0.15:
        make_odd(rng, link)
    return link


def other_link(rng: Random, *, odd: bool, path: str | None = None) -> Any:
    """A link of another kind; some are licences."""
    link = Pairs(
        [("path", path or rng.choice(OTHER_LINKS)), ("url", rng.choice(LICENSES) if rng.random() < 0.5 else src(rng, odd=odd))]
    )
    if rng.random() < 0.5:
        link.append(("rel", rng.choice(RELS)))
    if rng.random() < 0.5:
        link.append((rng.choice(["text", "alt", "type"]), word(rng, odd=odd)))
    if odd and rng.random() < 0.1:
        make_odd(rng, link)
    return link


def src(rng: Random, *, odd: bool) -> str:
    """A src, biased to the few that pages repeat."""
    kind = rng.random()
    if kind < (0.4 if odd else 0.7):
        return rng.choice(USUAL)
    if kind < (0.6 if odd else 0.85):
        return rng.choice(RELATIVE)
    host = rng.choice(HOSTS + ODD_HOSTS if odd or rng.random() < 0.3 else HOSTS)
    url = rng.choice(SCHEMES if odd else SCHEMES[:4]) + host + rng.choice(PORTS if odd else PORTS[:3]) + rng.choice(PATHS)
    url += of_any_length(rng) if rng.random() < 0.3 else ""
    return rng.choice(SPACES) + url + rng.choice(SPACES) if odd else url


def page_url(rng: Random, *, odd: bool) -> str:
    """A page's URL."""
    return rng.choice(PAGES if odd else PAGES[:5])


def word(rng: Random, *, odd: bool) -> str:
    """A text."""
    said = rng.choice(WORDS if rng.random() < 0.5 else WORDS[:3])
    if rng.random() < 0.3:
        said = of_any_length(rng) + said + of_any_length(rng)
    return said + (rng.choice(ODD_WORDS) + of_any_length(rng) if odd and rng.random() < 0.3 else "")


def of_any_length(rng: Random) -> str:
    """Plain text of up to 70 characters: what follows stands at any place in a machine word or an md5 block."""
    return "abcdefghij" * 7 if rng.random() < 0.1 else ("klmnopqrst" * 7)[: rng.randint(0, 69)]


def meta(rng: Random, *, odd: bool) -> Any:
    """A <meta> of the head."""
    key, content = rng.choice(
        [
            ("HTML@/lang", LANGUAGES),
            ("robots", ROBOTS),
            ("Robots", ROBOTS),
            ("description", WORDS),
            ("ccbot", ROBOTS),
            ("img2dataset", ROBOTS),
            ("webpairs", ROBOTS),
            ("googlebot", ROBOTS),
            ("tdm-reservation", ["1", "0", " 1 ", "2", ""]),
            ("TDM-Reservation", ["1", "0"]),
            ("content-language", LANGUAGES),
            ("x-robots-tag", ROBOTS),
            (" robots ", ROBOTS),
            ("html@/LANG", LANGUAGES),
            ("viewport", ["w"]),
        ]
    )
    found = Pairs(
        [
            (rng.choice(["name", "http-equiv", "property"]) if rng.random() < 0.3 else "name", key),
            ("content", rng.choice(content)),
        ]
    )
    if odd and rng.random() < 0.2:
        make_odd(rng, found)
    return shuffled(rng, found)


def header(rng: Random, *, odd: bool) -> tuple[str, Any]:
    """An HTTP header."""
    name, values = rng.choice(
        [("X-Robots-Tag", ROBOTS), ("Content-Language", LANGUAGES), ("tdm-reservation", ["1", "0", "", "1 "])]
    )
    name = rng.choice([name, name.lower(), name.upper()])
    if odd and rng.random() < 0.1:
        return name, rng.choice([1, 0, ["1", 1], [], 12345, None, True, {"a": 1}, [["noai"]], 1.5])
    return name, rng.choice(values) if rng.random() < 0.7 else [rng.choice(values) for _ in range(rng.choice([1, 2, 3]))]


def shuffled(rng: Random, value: Pairs) -> Pairs:
    """The object, its keys in another order half of the time."""
    if rng.random() < 0.5:
        value.reverse()
    return value
