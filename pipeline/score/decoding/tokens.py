"""Captions → token ids, whatever the captions: they come from the web, and some are made to keep a tokenizer busy."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch

import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

# isort: split
import open_clip.tokenizer  # noqa: F401 - tokenizers arrive pickled: what they are made of is here before processes are forked

Tokenizer = Callable[[Sequence[str]], torch.Tensor]  # n texts → (n, L) int64

# A tokenizer's time grows with the square of a word's length, and a context is a few hundred tokens.
_MOST_CHARACTERS = 8192
_LONG_WORD = re.compile(r"(\S{1000})\S+")
_MOST_WORDS = 100_000


def tokens_of(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """(n, L) int32."""
    bounded = [_LONG_WORD.sub(r"\1", text[:_MOST_CHARACTERS]) for text in texts]
    tokens: np.ndarray = tokenizer(bounded or [""]).numpy().astype(np.int32)[: len(bounded)]
    words = getattr(tokenizer, "cache", {})  # open_clip's keeps every word that it has met; special ones stand for themselves
    if len(words) > _MOST_WORDS:
        for word in [word for word, pieces in words.items() if word != pieces]:
            del words[word]
    return tokens
