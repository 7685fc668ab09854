"""A question about words, such as "does it name a synset?", asked once for each distinct word of many texts."""

from collections.abc import Callable

import numpy as np

MOST_WORDS, MOST_BYTES = 1 << 18, 1 << 22  # remembered; with their table about 9 MB, taken as words come
MOST_UNKNOWN = 1 << 13  # words asked about at a time


class KnownWords:
    """Finds texts with a word of which the answer is True, by compiled code that knows the answers so far. For one thread.

    Words are those of Python's str.split(). Of words that are long, or made for their hashes to collide, no answer is kept.
    """

    def __init__(self, ask: Callable[[str], bool], *, most_words: int = MOST_WORDS, most_unknown: int = MOST_UNKNOWN) -> None:
        """`ask` is the question; an answer is kept for `most_words` words, after which all are forgotten."""
        self._ask = ask
        self._slots = np.zeros(1 << (2 * most_words - 1).bit_length(), np.int32)
        self._words = np.zeros(MOST_BYTES, np.uint8)
        self._ends = np.zeros(most_words + 1, np.int64)
        self._answers = np.zeros(most_words, bool)
        self._sizes = np.zeros(2, np.int64)
        self._unknown = np.zeros((most_unknown, 3), np.int64)

    def some(self, data: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(n,) bool: whether some word of text i, data[places[i]:places[i + 1]] in UTF-8, is one of which the answer is True."""
        from filters.compiled.words import find_words

        has = np.zeros(len(places) - 1, bool)
        begun = (0, int(places[0]))
        while begun[0] < len(has):
            table = (self._slots, self._words, self._ends, self._answers)
            text, at, count = find_words(data, places, begun, *table, has, self._unknown)
            begun = (text, at)
            self._learn(data, self._unknown[:count], has)
        return has

    def _learn(self, data: np.ndarray, unknown: np.ndarray, has: np.ndarray) -> None:
        """Ask about the unknown words, (m, 3): text, begin, end; tell their texts, and remember."""
        from filters.compiled.words import remember_words

        view = data.data
        words = [bytes(view[begin:end]) for _, begin, end in unknown.tolist()]
        asked = {word: self._ask(word.decode()) for word in dict.fromkeys(words)}
        answers = np.array([asked[word] for word in words], bool)
        has[unknown[answers, 0]] = True
        if not remember_words(data, unknown, answers, self._slots, self._words, self._ends, self._answers, self._sizes):
            self._slots[:] = 0
            self._sizes[:] = 0
