"""Which language an alt text is in: py3langid's bundled model, nothing fetched (Lui and Baldwin 2012, langid.py)."""

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

LONGEST_CHARS = 1000  # more text does not change the answer, only the time
_TEXTS_REMEMBERED = 100_000  # alt texts repeat: names of products, sites, buttons


def identify(texts: Iterable[str]) -> tuple[list[str | None], list[float | None]]:
    """Per text: ISO 639 code and probability, 0 to 1; null where the model sees nothing it knows (digits, say)."""
    pairs = [_identify(text[:LONGEST_CHARS]) for text in texts]
    return [lang for lang, _ in pairs], [probability for _, probability in pairs]


@lru_cache(_TEXTS_REMEMBERED)
def _identify(text: str) -> tuple[str | None, float | None]:
    identifier, at_chance = _identifier()
    lang, probability = identifier.classify(text)
    return (lang, round(probability, 4)) if probability > at_chance else (None, None)


@cache
def _identifier() -> tuple[Any, float]:
    """The model, and just above the probability that it gives every language where it sees no feature at all."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier, identifier.classify("")[1] * 1.001
