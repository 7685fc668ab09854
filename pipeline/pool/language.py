"""Which language an alt text is in: by the model that py3langid brings (Lui and Baldwin 2012), or by a fastText model's file.

In: texts. Out: per text an ISO 639 code and a probability. Nothing is fetched; models are loaded once per process.
"""

import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from pipeline import io
from pipeline.nearby import near
from schemas.errors import UserError

_LONGEST_CHARS = 1000  # to the bundled model more text does not change the answer, only the time
_TEXTS_REMEMBERED = 100_000  # alt texts repeat: names of products, sites, buttons
_LABEL = "__label__"
_NO_MODEL = "not a fastText model that tells languages"
_MAGIC = 793712314
_HEAD = struct.Struct("<iii52x8xi")  # magic, version, dim, then among others the number of labels
_SHAPE = struct.Struct("<qq")

Answer = tuple[str | None, float | None]


def identify(texts: Sequence[str], model: str = "") -> tuple[list[str | None], list[float | None]]:
    """Per text: ISO 639 code and probability, 0 to 1; null where the model sees nothing it knows (digits, say).

    `model`: a fastText model as `nearby.published` put it, "" for the bundled one. No text is asked about twice.
    """
    distinct = list(dict.fromkeys(texts))
    answers = dict(zip(distinct, _model(model)(distinct), strict=True))
    return [answers[text][0] for text in texts], [answers[text][1] for text in texts]


@contextmanager
def local_model(path: str) -> Iterator[str]:
    """A local file with the fastText model at a path or URL, for the block. Raises UserError where there is none that works."""
    with tempfile.TemporaryDirectory(prefix="webpairs-") as folder, io.open_read(path) as file:
        local = io.absolute(path)
        if not io.is_local(path):
            local = str(Path(folder) / path.rsplit("/", 1)[-1])
            with open(local, "wb") as copy:
                shutil.copyfileobj(file, copy)
        try:
            load_fasttext(local)
        except UserError as error:
            raise UserError(f"--language-model {path}: {error}; give fastText's lid.176.bin or another of its kind") from error
        yield local


def load_fasttext(path: str) -> Any:
    """The fastText model at a local path. Raises UserError where it is none, none that tells languages, or cut short."""
    import fasttext

    _require_whole(path)
    try:
        model = fasttext.load_model(path)
        labels, probabilities = model.predict("a red cat on a roof")
    except Exception as error:  # the library raises ValueError or RuntimeError, by the kind of damage
        raise UserError(f"{_NO_MODEL} ({error})") from error
    if not labels or not str(labels[0]).startswith(_LABEL) or not 0 <= probabilities[0] < 1.01:
        raise UserError(_NO_MODEL)
    return model


def _require_whole(path: str) -> None:
    """The library takes a file that was cut short for a model, and answers nonsense.

    A model (version 12) begins with 64 bytes of magic number, version and arguments, dim the first of these, and the dictionary's
    head; it ends with the output layer: rows and columns as int64, then labels x dim float32.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise UserError(_NO_MODEL)
        magic, _version, dim, labels = _HEAD.unpack(head)
        if magic != _MAGIC:
            raise UserError(_NO_MODEL)
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 4 * dim * labels - _SHAPE.size))
        shape = file.read(_SHAPE.size)
    if len(shape) < _SHAPE.size or _SHAPE.unpack(shape) != (labels, dim):
        raise UserError(f"{_NO_MODEL}, or one that is cut short or has a quantised output layer")


@cache
def _model(model: str) -> Callable[[Sequence[str]], list[Answer]]:
    """Loaded once per process."""
    if model:
        return partial(_ask_fasttext, load_fasttext(near(model)))
    return _ask_bundled


def _ask_bundled(texts: Sequence[str]) -> list[Answer]:
    return [_classify(text[:_LONGEST_CHARS]) for text in texts]


@lru_cache(_TEXTS_REMEMBERED)
def _classify(text: str) -> Answer:
    identifier, at_chance = _identifier()
    lang, probability = identifier.classify(text)
    return (lang, round(probability, 4)) if probability > at_chance else (None, None)


@cache
def _identifier() -> tuple[Any, float]:
    """The model, and just above the probability that it gives every language where it sees no feature at all."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier, identifier.classify("")[1] * 1.001


def _ask_fasttext(model: Any, texts: Sequence[str]) -> list[Answer]:
    """The top label on each whole text, newlines as spaces (fastText refuses them): as DataComp asks it."""
    found = (model.predict(text.replace("\n", " ")) for text in texts)
    return [
        (str(labels[0]).removeprefix(_LABEL), round(min(float(probabilities[0]), 1.0), 4)) if labels else (None, None)
        for labels, probabilities in found
    ]
