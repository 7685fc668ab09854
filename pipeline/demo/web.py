"""The demo's web as a plan: pages on some dozens of hosts, the image links on them, and what answers at each image URL.

`plan_web` makes it all from a count and a seed, without rendering a picture; html.py writes the pages, site.py the bytes.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import urljoin

from pipeline.demo.defects import Answer, Pair, make_pairs
from pipeline.demo.pictures import Picture

_TOPICS = {
    "shop": ("products", "sale", "catalog"),
    "travel": ("destinations", "stories", "guides"),
    "garden": ("plants", "tips", "journal"),
    "news": ("local", "culture", "2023/11"),
    "toys": ("all", "wooden", "gifts"),
    "blog": ("2019/05", "2021/08", "posts"),
    "photos": ("album", "tags", "u/anna"),
    "museum": ("collection", "exhibitions", "visit"),
}
_HOSTS_PER_TOPIC = 6
_CDNS = tuple(f"cdn-{i}.example" for i in range(1, 5))
_FIRST_NAMES = ("anna", "ben", "carla", "dmitri", "emi", "farid", "greta")
_LICENCES = (
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by-sa/3.0/",
    "http://creativecommons.org/publicdomain/zero/1.0/",
)


@dataclass(frozen=True, kw_only=True)
class Link:
    """An image on a page: its attributes as written, and which pair (by index) it is. `url` is what src resolves to."""

    pair: int
    kind: str
    src: str
    alt: str | None
    url: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page before it is HTML. `lang` is its language, `declared_lang` what <html lang> says ("" : nothing)."""

    url: str
    title: str
    lang: str
    declared_lang: str
    base: str = ""
    licence: str = ""
    content_language: str = ""
    robots_header: tuple[str, ...] = ()
    robots_meta: str = ""
    tdm_reservation: str = ""
    links: tuple[Link, ...] = ()

    @property
    def opted_out(self) -> bool:
        """Whether the page reserves its content from use for AI."""
        said = ",".join((*self.robots_header, self.robots_meta)).lower()
        return "noai" in said or "noimageai" in said or "noindex" in said or self.tdm_reservation == "1"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What answers at an image URL: a picture, whole or damaged, or something else; `target` where a redirect leads."""

    url: str
    picture: Picture
    answer: Answer
    target: str = ""


@dataclass(frozen=True, kw_only=True)
class Web:
    """Pages in crawl order and the resources behind their images, by URL, each once."""

    seed: int
    pages: tuple[Page, ...]
    resources: tuple[Resource, ...]


@dataclass
class _Planner:
    """State while pairs find their pages: random numbers, resources so far and where each pair's image stands."""

    rng: Random
    pairs: list[Pair]
    resources: dict[str, Resource] = field(default_factory=dict)
    url_of_pair: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note which pairs have copies."""
        self.copied = {pair.copy_of for pair in self.pairs if pair.copy_of >= 0}


def plan_web(pairs: int, seed: int) -> Web:
    """A web of `pairs` image links on about `pairs` / 9 pages."""
    planner = _Planner(rng=Random(f"web {seed}"), pairs=make_pairs(pairs, seed))
    groups = _group(planner)
    planner.rng.shuffle(groups)
    pages = [_plan_page(planner, number, group) for number, group in enumerate(groups)]
    return Web(seed=seed, pages=tuple(pages), resources=tuple(planner.resources.values()))


def _group(planner: _Planner) -> list[list[int]]:
    """Pairs (by index) that share a page: 4 to 14 of one language."""
    by_language: dict[str, list[int]] = defaultdict(list)
    for index, pair in enumerate(planner.pairs):
        by_language[pair.lang].append(index)
    groups = []
    for _, members in sorted(by_language.items()):
        while members:
            size = planner.rng.randint(4, 14)
            groups.append(members[:size])
            del members[:size]
    return groups


def _plan_page(planner: _Planner, number: int, group: list[int]) -> Page:
    rng = planner.rng
    topic = rng.choice(tuple(_TOPICS))
    host = f"{'www.' if rng.random() < 0.3 else ''}{topic}-{rng.randint(1, _HOSTS_PER_TOPIC)}.example"
    section = rng.choice(_TOPICS[topic])
    lang = planner.pairs[group[0]].lang
    page = Page(
        url=f"http://{host}/{section}/{rng.choice(_FIRST_NAMES)}-{number}{rng.choice(('', '/', '.html', '/index.php?page=1'))}",
        title=f"{topic.title()} {section} no. {number}",
        lang=lang,
        declared_lang=rng.choice((lang, lang, lang, lang, f"{lang}-{'US' if lang == 'en' else lang.upper()}", "")),
        base=f"http://{rng.choice(_CDNS)}/{host}/" if rng.random() < 0.07 else "",
        licence=rng.choice(_LICENCES) if rng.random() < 0.06 else "",
        content_language=lang if rng.random() < 0.2 else "",
        **_policy(planner, group),
    )
    return replace(page, links=tuple(_plan_link(planner, page, index) for index in group))


def _policy(planner: _Planner, group: list[int]) -> dict[str, Any]:
    """What the page says of robots and text mining: about one in twenty opts out, others say harmless things.

    Pages with originals of copies or copies never opt out: an opt-out on one page would speak for the other's pair too.
    """
    rng = planner.rng
    harmless = rng.random()
    free = all(planner.pairs[index].copy_of < 0 and index not in planner.copied for index in group)
    if free and rng.random() < 0.1:
        return rng.choice(
            (
                {"robots_header": ("noai, noimageai",)},
                {"robots_header": ("noarchive", "noai")},  # the header comes twice,
                {"robots_meta": "noai, noimageai"},
                {"robots_meta": "NOAI"},
                {"robots_meta": "noindex, nofollow"},
                {"tdm_reservation": "1"},
            )
        )
    if harmless < 0.12:
        return {"robots_meta": rng.choice(("index, follow", "max-image-preview:large", "noarchive"))}
    return {"tdm_reservation": "0"} if harmless < 0.13 else {}


def _plan_link(planner: _Planner, page: Page, index: int) -> Link:
    pair = planner.pairs[index]
    if pair.src is not None:
        return Link(pair=index, kind=pair.kind, src=pair.src, alt=pair.alt, url=pair.src)
    if pair.kind == "duplicate_exact" and pair.copy_of >= 0:
        url = _url_of(planner, page, pair.copy_of)
        return Link(pair=index, kind=pair.kind, src=url, alt=pair.alt, url=url)
    url = _url_of(planner, page, index)
    src = _written(planner.rng, page, url)
    return Link(pair=index, kind=pair.kind, src=src, alt=pair.alt, url=urljoin(page.base or page.url, src.strip()))


def _url_of(planner: _Planner, page: Page, index: int) -> str:
    """The URL of a pair's image, made up (and its resource noted) when first asked for."""
    if index in planner.url_of_pair:
        return planner.url_of_pair[index]
    rng, pair = planner.rng, planner.pairs[index]
    host = page.url.split("/")[2]
    root = page.base or f"http://{rng.choice((host, host, host, 'img.' + host.removeprefix('www.'), rng.choice(_CDNS)))}/"
    url = planner.url_of_pair[index] = root + _path(rng, index, pair)
    target = ""
    if pair.answer.startswith("redirect"):
        target = f"{root}moved/{index:x}.{pair.picture.suffix}"
        answer: Answer = "image" if pair.answer == "redirect" else "not_found"
        planner.resources[target] = Resource(url=target, picture=pair.picture, answer=answer)
    planner.resources[url] = Resource(url=url, picture=pair.picture, answer=pair.answer, target=target)
    return url


def _path(rng: Random, index: int, pair: Pair) -> str:
    """A path of one of the shapes that content systems make; the index makes it the only one."""
    suffix, main, picture = pair.picture.suffix, pair.picture.scene.main, pair.picture
    year, month = rng.randint(2008, 2024), rng.randint(1, 12)
    return rng.choice(
        (
            f"wp-content/uploads/{year}/{month:02d}/IMG_{index:04d}-{picture.width_px}x{picture.height_px}.{suffix}",
            f"images/{main.colour}-{main.shape}-{index}.{suffix}",
            f"media/catalog/product/cache/1/{index % 16:x}/{index:06x}{rng.getrandbits(32):08x}.{suffix}",
            f"img?id={index}&w={picture.width_px}&fmt={suffix}",
            f"uploads/{year}/photo%20{index}.{suffix}",
            f"assets/{index:x}/{rng.getrandbits(64):016x}.{suffix.upper()}",
            f"files/{year}/{month}/{main.shape}_{index}.{suffix}?itok={rng.getrandbits(24):x}",
        )
    )


def _written(rng: Random, page: Page, url: str) -> str:
    """The URL as the page's author wrote it: absolute, relative in one of several ways, or oddly spelled."""
    scheme, _, host, path = url.split("/", 3)
    draw = rng.random()
    if draw < 0.04:
        return f"HTTP://{host}/{path}"
    if draw < 0.06:
        return f" {url} "
    if draw < 0.16:
        return f"//{host}/{path}"
    start = page.base or page.url
    if draw < 0.8 and start.split("/")[2] == host:
        if start == page.base and draw < 0.6:
            return url.removeprefix(page.base)
        depth = start.split("?")[0].count("/") - 3
        return f"/{path}" if draw < 0.55 or start == page.base else "../" * depth + path
    return f"{scheme}//{host}/{path}"
