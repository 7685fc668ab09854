"""Real pairs → a pool like the web's: captions swapped, file names, boilerplate, other languages, copies, in known shares.

Every pair keeps note of what was done to it, so that a filter's choice can be held against the truth. The same for a seed.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from PIL import Image

from pipeline.demo.texts import boilerplate

# Of the pool's rows; the rest is clean. `foreign` counts the true captions in other languages that the real pairs bring.
SHARES = {"mismatched": 0.40, "file_name": 0.06, "boilerplate": 0.06, "foreign": 0.10, "duplicate": 0.06}
_CAMERAS = (
    "IMG_{:04d}.JPG",
    "DSC{:05d}.jpg",
    "P10{:05d}.JPG",
    "image{:d}.png",
    "photo-{:d}.jpeg",
    "{:08d}.jpg",
    "img ({:d}).png",
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A picture and its text. `group`: what the picture shows, where the source tells; "" where it does not."""

    url: str
    text: str
    lang: str
    group: str
    source: str
    path: str  # the image's file in the place that it comes from
    size_px: tuple[int, int]  # width and height as served
    image: bytes = field(repr=False)  # encoded
    kind: str = "clean"
    original_text: str = ""  # what it said before it was made wrong; "" where it was not
    copy_of: str = ""  # the URL of the picture that this one repeats

    @property
    def is_good(self) -> bool:
        """Whether an ideal filter for an English model keeps it: its own text, in English, and no copy."""
        return self.kind == "clean"


def counts_of(shares: dict[str, float], rows: int) -> dict[str, int]:
    """How many of `rows` are of each kind, to the nearest whole number. Raises ValueError for shares beyond 0 … 1 together."""
    if min(shares.values()) < 0 or sum(shares.values()) > 1:
        raise ValueError(f"shares {shares}: each must be at least 0, and all together at most 1")
    return {kind: round(share * rows) for kind, share in shares.items()}


def real_pairs_for(rows: int, shares: dict[str, float] = SHARES) -> int:
    """How many real pairs a pool of `rows` is made of: the rest of it are copies."""
    return rows - counts_of(shares, rows)["duplicate"]


def with_noise(
    pairs: Sequence[Pair], others: Sequence[str], *, rows: int, seed: int, shares: dict[str, float] = SHARES
) -> list[Pair]:
    """`rows` pairs of all kinds in random order, made of as many real ones as `real_pairs_for` says.

    `others`: texts in other languages, for pictures that they do not belong to. Raises ValueError where there are too few real
    pairs, or English ones among them.
    """
    counts, rng = counts_of(shares, rows), Random(f"noise {seed}")
    if len(pairs) != rows - counts["duplicate"]:
        raise ValueError(f"{len(pairs)} real pairs: a pool of {rows} is made of {rows - counts['duplicate']}")
    foreign = [replace(pair, kind="foreign") for pair in pairs if pair.lang != "en"]
    english = [pair for pair in pairs if pair.lang == "en"]
    rng.shuffle(english)
    spoiled = {kind: counts[kind] for kind in ("mismatched", "file_name", "boilerplate")}
    spoiled["foreign"] = max(0, counts["foreign"] - len(foreign))
    if len(english) <= sum(spoiled.values()):
        raise ValueError(f"{len(english)} English pairs: {sum(spoiled.values())} are to be spoiled, and some must be left")
    made, at = foreign, 0
    for kind, count in spoiled.items():
        made += _spoil(english[at : at + count], kind, others, rng)
        at += count
    clean = english[at:]
    made += clean + [_copy(rng.choice(clean), number, rng) for number in range(counts["duplicate"])]
    rng.shuffle(made)
    return made


def _spoil(pairs: Sequence[Pair], kind: str, others: Sequence[str], rng: Random) -> list[Pair]:
    texts = {
        "mismatched": lambda: _swapped(pairs, rng),
        "file_name": lambda: [_file_name(pair, rng) for pair in pairs],
        "boilerplate": lambda: [boilerplate(rng) for _ in pairs],
        "foreign": lambda: [rng.choice(others) for _ in pairs],
    }[kind]()
    return [replace(pair, kind=kind, text=text, original_text=pair.text) for pair, text in zip(pairs, texts, strict=True)]


def _swapped(pairs: Sequence[Pair], rng: Random) -> list[str]:
    """Each pair's text is another's, of a picture that shows something else as far as the source tells.

    Raises ValueError where that cannot be had, one group being more than half of all.
    """
    order = list(range(len(pairs)))
    rng.shuffle(order)
    for at in range(len(pairs)):
        tries = 0
        while _alike(pairs[at], pairs[order[at]]):
            other = rng.randrange(len(pairs))
            if not _alike(pairs[at], pairs[order[other]]) and not _alike(pairs[other], pairs[order[at]]):
                order[at], order[other] = order[other], order[at]
            tries += 1
            if tries > 1000 + 50 * len(pairs):
                raise ValueError(f"{len(pairs)} pairs: too many show the same for their captions to be swapped")
    return [pairs[i].text for i in order]


def _alike(one: Pair, other: Pair) -> bool:
    """Whether the text of one may be true of the other: the same pair, group or words."""
    return one is other or (one.group != "" and one.group == other.group) or one.text.lower() == other.text.lower()


def _file_name(pair: Pair, rng: Random) -> str:
    """The picture's own file name, or a camera's."""
    own = pair.path.rpartition("/")[2]
    return own if own and rng.random() < 0.5 else rng.choice(_CAMERAS).format(rng.randrange(1, 10_000))


def _copy(pair: Pair, number: int, rng: Random) -> Pair:
    """The pair again at another URL: one in four the same bytes, the others smaller and saved anew."""
    url = f"https://copies.example/{number}/{pair.path.rpartition('/')[2]}"
    image, scale = pair.image, 1.0
    if rng.random() >= 0.25:
        scale = rng.uniform(0.6, 1.0)
        image = saved_again(image, scale, rng.randint(50, 85))
    size = (max(1, round(pair.size_px[0] * scale)), max(1, round(pair.size_px[1] * scale)))
    return replace(pair, kind="duplicate", url=url, copy_of=pair.url, image=image, size_px=size)


def saved_again(content: bytes, scale: float, quality: int) -> bytes:
    """An encoded image as a JPEG of `scale` times its sides."""
    target = io.BytesIO()
    with Image.open(io.BytesIO(content)) as opened:
        image: Any = opened.convert("RGB")
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS)
    image.save(target, "JPEG", quality=quality)
    return target.getvalue()
