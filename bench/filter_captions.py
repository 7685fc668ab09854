"""Captions for the filter benchmark: drawn words, as many and as mixed as alt texts have; the same from the same seed.

English words are WordNet's, often or seldom as its texts have them (Zipf's tail of invented words behind them), plain, inflected,
capitalised or with a comma; other languages have short lists of words and endings. Some captions are file names and numbers.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

_COUNTS = "nltk_data/corpora/wordnet/cntlist.rev"  # per line: sense%…, its number, how often WordNet's tagged texts have it
_FUNCTION_WORDS = "the of and a in with for to on by from at is - & your new free best photo image"
_INVENTED = 60_000
_FORMS = (("{}", 0.76), ("{}s", 0.08), ("{},", 0.06), ("{}.", 0.02), ("{}ing", 0.02), ("title", 0.06))
_LANGUAGES = {  # share of all captions, words, endings
    "de": (
        0.08,
        "Haus Garten Tisch Baum Schuh Kleid Küche Brücke Straße Vogel Hund Bild mit und der die das für von",
        " er en chen",
    ),
    "fr": (
        0.07,
        "maison jardin table arbre robe cuisine pont rue oiseau chien image rouge avec et le la les pour de",
        " s e eux",
    ),
    "es": (
        0.08,
        "casa jardín mesa árbol vestido cocina puente calle pájaro perro foto rojo con y el la los para de",
        " s ito illa",
    ),
    "ru": (0.06, "дом сад стол дерево платье кухня мост улица птица собака фото красный и в на с для из", " а ы ов"),
    "zh": (0.05, "房子 花园 桌子 树 裙子 厨房 桥 街道 鸟 狗 图片 红色 和 在 的 新", " 店 家"),
    "pt": (0.03, "casa mesa árvore vestido cozinha ponte rua pássaro cachorro vermelho com e o a os para de", " s inho"),
    "pl": (0.03, "dom ogród stół drzewo sukienka kuchnia most ulica ptak pies zdjęcie czerwony i w na z dla", " a y owy"),
    "ja": (0.03, "家 庭 テーブル 木 ドレス 台所 橋 通り 鳥 犬 写真 赤い と の を", " の が"),
}
_NO_LANGUAGE = 0.12  # share of captions that are file names, numbers, codes
_WORDS_LOG_MEAN, _WORDS_LOG_SD, _MOST_WORDS = 1.75, 0.8, 90  # median 6 words, mean 8


@dataclass(frozen=True)
class Vocabulary:
    """Tokens as (n,) object, and (n,) float64, the chance to draw one of them or of those before it."""

    tokens: np.ndarray
    up_to: np.ndarray

    @classmethod
    def zipf(cls, words: Sequence[str], forms: Sequence[tuple[str, float]]) -> "Vocabulary":
        """Words of falling frequency, each in several forms with their shares."""
        tokens = [word.title() if form == "title" else form.format(word) for word in words for form, _ in forms]
        weights = np.outer(1 / np.arange(2, len(words) + 2), [share for _, share in forms]).ravel()
        return cls(np.array(tokens, dtype=object), np.cumsum(weights) / weights.sum())

    def draw(self, chance: np.random.Generator, count: int) -> np.ndarray:
        """(count,) tokens."""
        drawn: np.ndarray = self.tokens[
            np.searchsorted(self.up_to, chance.random(count), side="right").clip(max=len(self.tokens) - 1)
        ]
        return drawn


def captions(chance: np.random.Generator, count: int, wordnet: Path) -> list[str]:
    """`count` captions; `wordnet` is the archive with WordNet's files."""
    names = ["none", *_LANGUAGES, "en"]
    shares = [_NO_LANGUAGE, *(share for share, _, _ in _LANGUAGES.values())]
    picked = chance.choice(len(names), count, p=[*shares, 1 - sum(shares)])
    lengths = np.exp(chance.normal(_WORDS_LOG_MEAN, _WORDS_LOG_SD, count)).round().clip(1, _MOST_WORDS).astype(int)
    found = np.empty(count, dtype=object)
    for number, name in enumerate(names):
        rows = np.flatnonzero(picked == number)
        made = _codes(chance, len(rows)) if name == "none" else _sentences(chance, lengths[rows], _vocabulary(name, wordnet))
        found[rows] = list(made)
    _disturb(chance, found)
    return found.tolist()


def _sentences(chance: np.random.Generator, lengths: np.ndarray, vocabulary: Vocabulary) -> Iterator[str]:
    tokens = vocabulary.draw(chance, int(lengths.sum())).tolist()
    at = 0
    for length in lengths.tolist():
        yield " ".join(tokens[at : at + length])
        at += length


def _codes(chance: np.random.Generator, count: int) -> Iterator[str]:
    forms = ("IMG_{0}.jpg", "{0}x{1}", "DSC{0:05d}", "SKU {0}-{1}", "product-{0}_{1}_large.png", "{0}", "p{0:x}{1:x}")
    kinds, first, second = chance.integers(0, [[len(forms)], [100_000], [2_000]], (3, count)).tolist()
    yield from (forms[kind].format(a, b) for kind, a, b in zip(kinds, first, second, strict=True))


def _disturb(chance: np.random.Generator, found: np.ndarray) -> None:
    """What else alt texts have: line breaks and no-break spaces between words, and nothing but white space."""
    what = chance.random(len(found))
    for row in np.flatnonzero(what < 0.03).tolist():
        found[row] = found[row].replace(" ", "\n" if what[row] < 0.02 else "\u00a0", 1)
    blank = np.flatnonzero(what > 0.998)
    found[blank] = np.resize(np.array(["", " ", "\n"], dtype=object), len(blank))


@cache
def _vocabulary(language: str, wordnet: Path) -> Vocabulary:
    if language == "en":
        return Vocabulary.zipf([*_FUNCTION_WORDS.split(), *english_words(wordnet), *_invented_words()], _FORMS)
    _, words, endings = _LANGUAGES[language]
    forms = endings.split(" ")  # the first one is none
    shares = [0.7] + [0.3 / (len(forms) - 1)] * (len(forms) - 1)
    return Vocabulary.zipf(words.split(), [("{}" + form, share) for form, share in zip(forms, shares, strict=True)])


@cache
def english_words(wordnet: Path) -> tuple[str, ...]:
    """WordNet's single words, the most frequent ones of its tagged texts first."""
    counts: Counter[str] = Counter()
    with tarfile.open(wordnet) as archive:
        file = archive.extractfile(_COUNTS)
        assert file is not None
        for line in file.read().decode().splitlines():
            sense, _, count = line.split(" ")
            counts[sense.partition("%")[0]] += int(count)
    return tuple(word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if word.isalpha())


def _invented_words() -> list[str]:
    """Names of brands and places, say: no dictionary has them."""
    chance = np.random.default_rng(3)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "io", "u", "ax", "ell", "o")]
    drawn = chance.integers(0, len(syllables), (_INVENTED, 3)).tolist()
    return ["".join(syllables[at] for at in row) for row in drawn]
