"""The language model that py3langid brings (Lui and Baldwin 2012, langid.py), asked about many texts at once.

In: texts. Out: what py3langid's `classify` answers with norm_probs, a label and a probability each; several times as fast: all
texts walk through its automaton in step, a numpy operation per byte, and one product of sparse counts and weights scores them.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_AT_ONCE = 8192  # texts: bounds memory


class Bundled:
    """The model as arrays: the automaton's next states and features, weights (features, labels) float32, prior (labels,)."""

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._next_state = np.asarray(model.tk_nextmove)
        self._row = np.asarray(model._rowbase, np.int64)
        self._feature = np.asarray(model.tk_output, np.int64)
        self._weights = np.asarray(model.nb_ptc, np.float32)
        self._prior = np.asarray(model.nb_pc, np.float32)
        self._labels = list(model.nb_classes)
        self._aliases = list(model._alias_pairs)
        # What py3langid gives its best label where it sees no feature: all are equally likely, two columns may be one label.
        self._chance = 1.001 * (2 if self._aliases else 1) / len(self._labels)

    def classify(self, texts: Sequence[str]) -> Iterator[tuple[str | None, float]]:
        """(label, probability) of each text in order; no label where that is as good as chance."""
        for start in range(0, len(texts), _AT_ONCE):
            yield from self._classify([_encoded(text) for text in texts[start : start + _AT_ONCE]])

    def _classify(self, texts: Sequence[bytes]) -> Iterator[tuple[str | None, float]]:
        counts = self._counts(texts)
        known = np.diff(counts.indptr) > 0  # some feature
        counts.data = np.log1p(counts.data)
        scores = counts @ self._weights + self._prior  # (texts, labels) float32
        # As py3langid: the square root of the length in bytes keeps probabilities comparable across lengths.
        scores /= np.sqrt(np.array([[max(len(text), 1)] for text in texts], np.float32))
        np.exp(scores - scores.max(axis=1, keepdims=True), out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        for first, other in self._aliases:  # two columns of one label
            scores[:, first] += scores[:, other]
            scores[:, other] = 0
        best = scores.argmax(axis=1)
        for place, label, probability in zip(known.tolist(), best.tolist(), scores.max(axis=1).tolist(), strict=True):
            yield (self._labels[label] if place and probability > self._chance else None, probability)

    def _counts(self, texts: Sequence[bytes]) -> Any:
        """How often each text meets each feature: (texts, features) float32, sparse by rows."""
        from scipy.sparse import csr_array

        sizes = np.array([len(text) for text in texts])
        order = np.argsort(-sizes, kind="stable")  # the longest first: those still on their way stand in front
        starts = (np.cumsum(sizes) - sizes)[order]
        left = np.searchsorted(-sizes[order], -np.arange(int(sizes.max(initial=0))))  # texts longer than each step
        data = np.frombuffer(b"".join(texts), np.uint8)
        states = np.zeros(len(texts), np.int64)
        rows, features = [], []
        for step, count in enumerate(left.tolist()):
            states[:count] = self._next_state[self._row[states[:count]] + data[starts[:count] + step]]
            met = self._feature[states[:count]]
            rows.append(order[:count][met >= 0])
            features.append(met[met >= 0])
        where = (np.concatenate([order[:0], *rows]), np.concatenate([order[:0], *features]))
        return csr_array((np.ones(len(where[0]), np.float32), where), shape=(len(texts), len(self._weights)))


def _encoded(text: str) -> bytes:
    """As py3langid reads it."""
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode("utf-8", "surrogatepass")
