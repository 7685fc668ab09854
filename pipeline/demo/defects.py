"""Clean pairs become web pairs: each with a kind, clean or one known defect, in shares like the real web's.

KINDS is the catalogue; `make_pairs` gives n pairs in exactly those shares, in random order, the same for the same seed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from pipeline.demo import texts
from pipeline.demo.captions import caption
from pipeline.demo.pictures import ENCODINGS, Picture
from pipeline.demo.scenes import Scene, sample_scene
from pipeline.demo.translations import LANGUAGES, caption_in

Answer = Literal[
    "image",
    "not_found",
    "server_error",
    "dropped",
    "corrupt",
    "truncated",
    "html",
    "redirect",
    "redirect_to_missing",
    "noai",
    "none",
]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of pair: its weight among all, whether it becomes a candidate, comes down as an image, and is worth keeping."""

    weight: float
    doc: str
    candidate: bool = True
    downloadable: bool = True
    good: bool = False


KINDS: dict[str, Kind] = {
    "clean": Kind(weight=36, doc="the text says what the picture shows", good=True),
    "redirected": Kind(weight=2, doc="clean, behind a redirect", good=True),
    "mismatched": Kind(weight=28, doc="the text belongs to another picture, or to none"),
    "non_english": Kind(weight=5, doc="a true caption in another language"),
    "boilerplate": Kind(weight=4, doc="logo, click to enlarge, image"),
    "file_name": Kind(weight=3.5, doc="the text is a file name"),
    "short_text": Kind(weight=2, doc="true, but one or two words"),
    "keyword_spam": Kind(weight=0.7, doc="keywords for a search engine, thousands of characters"),
    "very_long": Kind(weight=0.3, doc="tens of thousands of characters: more than pool takes", downloadable=False),
    "blank_text": Kind(weight=1, doc="the alt is white space", downloadable=False),
    "empty_alt": Kind(weight=3, doc='alt=""', candidate=False, downloadable=False),
    "no_alt": Kind(weight=1, doc="no alt attribute", candidate=False, downloadable=False),
    "duplicate_exact": Kind(weight=3, doc="the same image link and text again, on another page"),
    "duplicate_reencoded": Kind(weight=2, doc="the same picture and text at another URL, saved again"),
    "duplicate_cropped": Kind(weight=1.5, doc="the same picture and text at another URL, its edges cut off"),
    "icon": Kind(weight=2.5, doc="a page ornament of 16 to 64 px"),
    "thumbnail": Kind(weight=2.5, doc="a true caption, the picture under 200 px"),
    "banner": Kind(weight=2, doc="an advertisement many times wider than high"),
    "not_found": Kind(weight=8, doc="404", downloadable=False),
    "server_error": Kind(weight=1, doc="500", downloadable=False),
    "dropped": Kind(weight=0.5, doc="the connection ends in the middle of the body", downloadable=False),
    "corrupt": Kind(weight=1, doc="bytes that are no image, served as one", downloadable=False),
    "truncated": Kind(weight=1, doc="an image file of which the second half is missing", downloadable=False),
    "html_instead": Kind(weight=1, doc="a web page where the image should be", downloadable=False),
    "redirect_to_missing": Kind(weight=1, doc="a redirect that ends in 404", downloadable=False),
    "noai_image": Kind(weight=1.5, doc="the image is served with X-Robots-Tag: noai", downloadable=False),
    "data_src": Kind(weight=0.6, doc="src is a data: URL", candidate=False, downloadable=False),
    "script_src": Kind(weight=0.3, doc="src is javascript:", candidate=False, downloadable=False),
    "empty_src": Kind(weight=0.4, doc='src=""', candidate=False, downloadable=False),
}
_ANSWERS: dict[str, Answer] = {
    "not_found": "not_found",
    "server_error": "server_error",
    "dropped": "dropped",
    "corrupt": "corrupt",
    "truncated": "truncated",
    "html_instead": "html",
    "redirected": "redirect",
    "redirect_to_missing": "redirect_to_missing",
    "noai_image": "noai",
}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image and its text before they stand on a page. `src` is fixed only where the defect is in it.

    `alt` None: no attribute. `copy_of`: index of the pair that a duplicate repeats, -1 for an original.
    """

    kind: str
    alt: str | None
    picture: Picture
    answer: Answer = "image"
    src: str | None = None
    lang: str = "en"
    copy_of: int = -1


def make_pairs(count: int, seed: int) -> list[Pair]:
    """`count` pairs of all kinds in random order; copies refer to clean originals by index."""
    rng = Random(f"pairs {seed}")
    kinds = [kind for kind, share in _counts(count).items() for _ in range(share)]
    rng.shuffle(kinds)
    pairs = [_MAKERS.get(kind, _make_true)(kind, rng) for kind in kinds]
    originals = [i for i, pair in enumerate(pairs) if pair.kind == "clean"]
    if not originals:
        return pairs
    return [_copy(pair, pairs, originals, rng) if pair.kind.startswith("duplicate") else pair for pair in pairs]


def _counts(count: int) -> dict[str, int]:
    """Whole numbers that add up to `count`, in the kinds' weights (largest remainders get the rest)."""
    total = sum(kind.weight for kind in KINDS.values())
    exact = {name: count * kind.weight / total for name, kind in KINDS.items()}
    whole = {name: int(value) for name, value in exact.items()}
    rest = sorted(exact, key=lambda name: whole[name] - exact[name])[: count - sum(whole.values())]
    return {name: value + (name in rest) for name, value in whole.items()}


def sample_picture(scene: Scene, rng: Random) -> Picture:
    """A picture of usual web size, both sides 200 px or more, in a random format."""
    encoding = rng.choices(tuple(ENCODINGS), tuple(ENCODINGS.values()))[0]
    if encoding == "gray_jpeg":
        scene = _paint(scene, rng.choice(("black", "white")))
    elif encoding == "palette_alpha_png":
        scene = replace(scene, background="plain", second=None)
    short = rng.choice((200, 220, 240, 240, 256, 280, 300))
    aspect = rng.choice((1.0, 1.0, 4 / 3, 3 / 2, 16 / 9))
    width, height = round(short * aspect), short
    if rng.random() < 0.3:
        width, height = height, width
    return Picture(scene=scene, width_px=width, height_px=height, encoding=encoding, quality=rng.randint(72, 92))


def _paint(scene: Scene, colour: str) -> Scene:
    return replace(scene, main=replace(scene.main, colour=colour), second=None)


def _make_true(kind: str, rng: Random) -> Pair:
    """A pair whose text is true; what may be wrong with it is how the URL answers."""
    picture = sample_picture(sample_scene(rng), rng)
    return Pair(kind=kind, alt=caption(picture.scene, rng), picture=picture, answer=_ANSWERS.get(kind, "image"))


def _make_mismatched(kind: str, rng: Random) -> Pair:
    """Four in five carry the caption of a scene with another thing in another colour, the rest a sentence about nothing shown."""
    picture = sample_picture(sample_scene(rng), rng)
    if rng.random() < 0.2:
        return Pair(kind=kind, alt=texts.unrelated(rng), picture=picture)
    other = sample_scene(rng)
    while _share_something(picture.scene, other):
        other = sample_scene(rng)
    return Pair(kind=kind, alt=caption(other, rng), picture=picture)


def _share_something(shown: Scene, told: Scene) -> bool:
    """Whether a caption of one scene would be true of the other in part: same colour of the main thing, or the same thing."""
    things = [{scene.main.shape} | ({scene.second.shape} if scene.second else set()) for scene in (shown, told)]
    return shown.main.colour == told.main.colour or bool(things[0] & things[1])


def _make_non_english(kind: str, rng: Random) -> Pair:
    picture, language = sample_picture(sample_scene(rng), rng), rng.choice(LANGUAGES)
    return Pair(kind=kind, alt=caption_in(language, picture.scene, rng), picture=picture, lang=language.code)


def _with_text(write: Callable[[Scene, Random], str | None]) -> Callable[[str, Random], Pair]:
    """A maker of pairs with a usual picture and the alt that `write` gives."""

    def make(kind: str, rng: Random) -> Pair:
        picture = sample_picture(sample_scene(rng), rng)
        return Pair(kind=kind, alt=write(picture.scene, rng), picture=picture)

    return make


def _with_src(write: Callable[[Random], str]) -> Callable[[str, Random], Pair]:
    """A maker of true pairs whose src attribute leads nowhere."""
    return lambda kind, rng: replace(_make_true(kind, rng), src=write(rng), answer="none")


def _make_icon(kind: str, rng: Random) -> Pair:
    side = rng.choice((16, 24, 32, 48, 64))
    picture = Picture(scene=sample_scene(rng), width_px=side, height_px=side, encoding=rng.choice(("png", "gif")))
    return Pair(kind=kind, alt=texts.icon(rng), picture=picture)


def _make_thumbnail(kind: str, rng: Random) -> Pair:
    width, height = rng.choice(((100, 100), (120, 90), (150, 150), (150, 112), (180, 120), (199, 199)))
    picture = Picture(scene=sample_scene(rng), width_px=width, height_px=height, quality=rng.randint(60, 80))
    return Pair(kind=kind, alt=caption(picture.scene, rng), picture=picture)


def _make_banner(kind: str, rng: Random) -> Pair:
    width, height = rng.choice(((728, 90), (970, 120), (1200, 220), (900, 200), (120, 600), (160, 600)))
    picture = Picture(scene=sample_scene(rng), width_px=width, height_px=height)
    return Pair(kind=kind, alt=texts.advertisement(rng), picture=picture)


def _copy(pair: Pair, pairs: list[Pair], originals: list[int], rng: Random) -> Pair:
    """Replace a duplicate's picture and text by those of a clean original, changed as its kind says."""
    source = rng.choice(originals)
    picture, quality = pairs[source].picture, rng.randint(50, 70)
    if pair.kind == "duplicate_reencoded":
        picture = replace(picture, encoding="jpeg", quality=quality) if "alpha" not in picture.encoding else picture
    elif pair.kind == "duplicate_cropped":
        picture = replace(picture, quality=quality, kept_share=0.86)
    return replace(pair, alt=pairs[source].alt, picture=picture, copy_of=source)


_MAKERS: dict[str, Callable[[str, Random], Pair]] = {
    "mismatched": _make_mismatched,
    "non_english": _make_non_english,
    "boilerplate": _with_text(lambda _, rng: texts.boilerplate(rng)),
    "file_name": _with_text(texts.file_name),
    "short_text": _with_text(texts.short),
    "keyword_spam": _with_text(lambda _, rng: texts.spam(rng.choice((2_000, 5_000)), rng)),
    "very_long": _with_text(lambda _, rng: texts.spam(rng.choice((20_000, 60_000)), rng)),
    "blank_text": _with_text(lambda _, rng: rng.choice((" ", "  ", "\u00a0", "\n", " \t "))),
    "empty_alt": _with_text(lambda *_: ""),
    "no_alt": _with_text(lambda *_: None),
    "icon": _make_icon,
    "thumbnail": _make_thumbnail,
    "banner": _make_banner,
    "data_src": _with_src(lambda _: "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"),
    "script_src": _with_src(lambda rng: f"javascript:showImage({rng.randrange(1000)})"),
    "empty_src": _with_src(lambda _: ""),
}
