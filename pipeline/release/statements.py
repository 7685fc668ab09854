"""What is to be said of a release in words: how it was collected, what it is biased to, what it is not fit for.

Card, datasheet and Croissant say the same. In these sentences stand numbers and names that a pattern admits, nothing else from
the data: they need no escaping anywhere.
"""

import re
from collections import Counter
from dataclasses import dataclass

from pipeline.release.census import Census
from pipeline.release.layout import Release
from pipeline.report.text import share

_CRAWL = re.compile(r"[A-Z0-9-]{1,40}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_NO_LANGUAGE = {"zxx", "und", "mul", "mis"}  # ISO 639's codes for what is no language, or not one
_LANGUAGES_TOLD = 8


@dataclass(frozen=True, kw_only=True)
class Statements:
    """Sentences, by what they are about."""

    summary: str
    collection: tuple[str, ...]
    biases: tuple[str, ...]
    limitations: tuple[str, ...]
    sensitive: tuple[str, ...]
    uses: tuple[str, ...]
    impact: str
    maintenance: str
    missing: str


def statements(release: Release) -> Statements:
    """All sentences of a release."""
    census = Census.of(release.census)
    return Statements(
        summary=_summary(release, census),
        collection=_collection(release, census),
        biases=_biases(census),
        limitations=_limitations(release),
        sensitive=_SENSITIVE,
        uses=_USES,
        impact=(
            "Models trained on such pairs reproduce what the web shows and says of people, and what it leaves out. Whoever "
            "trains one is responsible for filtering to their purpose, and for telling what they filtered by."
        ),
        maintenance=(
            "Removals are published as further revisions: `webpairs revise` takes out listed URLs, domains, uids and images, "
            "keeps untouched files bit-identical, and adds a ledger of hashes by which holders of an earlier one find them, too."
        ),
        missing=(
            "A column is null where the page, the server or the model told nothing; columns without any value are left out."
        ),
    )


def languages(census: Census) -> list[tuple[str, int]]:
    """Languages of the texts, most rows first, as far as their codes are codes."""
    counts = census.values.get("lang", Counter())
    codes = ((code, n) for code, n in counts.items() if _LANGUAGE.fullmatch(code) and code not in _NO_LANGUAGE)
    return sorted(codes, key=lambda item: (-item[1], item[0]))


def crawls(census: Census) -> list[str]:
    """The crawls that the pairs were found in, as far as their names are such names."""
    return sorted(name for name in census.values.get("crawl", {}) if _CRAWL.fullmatch(name))


def _summary(release: Release, census: Census) -> str:
    what = "downloaded and scored" if "original_width" in census.filled else "found on web pages, not downloaded"
    return (
        f"{release.rows:,} pairs of an image's address and its alternative text, {what}, from {census.n_domains:,} domains: "
        "metadata only, no image is in it."
    )


def _collection(release: Release, census: Census) -> tuple[str, ...]:
    found = []
    named = crawls(census)
    if named:
        found.append(f"Links to images with alternative text were extracted from Common Crawl's WAT files ({', '.join(named)}).")
    else:
        found.append("Links to images with alternative text were taken from web pages, or from metadata that others collected.")
    if census.first:
        found.append(f"The pages were crawled from {census.first} to {census.last}.")
    stages = {told.get("stage") for told in release.stages.values() if isinstance(told, dict)}
    if "pool" in stages:
        found.append(
            "Copies of a pair, invalid URLs and blank texts were dropped, and pages that opt out were honoured or flagged."
        )
    if "download" in stages:
        found.append(
            "Images were downloaded once from the addresses told; pairs whose image could not be had are not in the release."
        )
    if "score" in stages:
        found.append(
            "Similarity of image and text was computed by the models that the columns name; no person annotated anything."
        )
    return tuple(found)


def _biases(census: Census) -> tuple[str, ...]:
    found = [
        "The web over-represents some countries, languages, ages, trades and points of view, and so do these pairs.",
        "Alternative texts are written for shops, search engines and templates as often as for readers: many do not describe.",
        "Scores of CLIP models prefer what these models have seen: English text, Western settings, writing in pictures.",
    ]
    counted = languages(census)
    told = sum(census.values.get("lang", {}).values())
    if counted:
        shown = ", ".join(f"{code} {share(n, told)}" for code, n in counted[:_LANGUAGES_TOLD])
        found.append(f"Languages of the texts, as a model sees them: {shown}; short texts are often mistaken.")
    if census.domains and census.rows:
        largest = sum(sorted(census.domains.values(), reverse=True)[:10])
        found.append(f"The ten largest domains hold {share(largest, census.rows)} of the rows.")
    return tuple(found)


def _limitations(release: Release) -> tuple[str, ...]:
    found = [
        "Images behind the addresses change and vanish: what is downloaded later may not be what was scored; compare sha256.",
        "Opt-outs are those that pages declared when they were crawled; later ones must be asked for anew.",
        "Unsafe, illegal or hateful material may be behind any address: filter by your own means before anyone sees images.",
    ]
    if not any(column["name"] == "eval_set" for column in release.columns):
        found.append("The pairs were not compared with evaluation sets: benchmarks may be contaminated.")
    if not any(column["name"] == "dup_of" for column in release.columns):
        found.append("Near copies of images were not marked.")
    return tuple(found)


_SENSITIVE = (
    "Addresses and texts may name or describe people, and images behind them may show them; nothing was done to tell who.",
    "Texts may reveal origin, belief, health or opinion of persons. They are published as they stood on public pages.",
    "No account, e-mail address or identifier was collected on purpose; where one stands in a text or URL, ask for its removal.",
)
_USES = (
    "Comparing filters of image-text data by the models trained on what they keep.",
    "Training and evaluating image-text models for research.",
    "Studying what the web's alternative texts are like.",
)
