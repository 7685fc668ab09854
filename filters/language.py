"""Filters on the language of the alt text: by a fastText model, or by the stored column.

The language is what the fastText library says. Its model is run by compiled code here, with the same arithmetic, since the
library's call for one text takes 12 to 16 µs, which is 15 s for a million rows and most of what DataComp's basic filtering costs.
Compiled code takes about 2 µs with a small model, and half of the library's time with one of lid.176.bin's size, for whose rows
both wait. It answers only where the best label leads the second by more than rounding could account for. The library is asked
about all other texts (12 of 200,000 captions with a model of 7 languages, 142 of 100,000 with one of 176 labels and random
weights), and about all texts where the model is of a kind that the code does not read.
"""

import functools
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.files.assets import ASSETS, cached
from filters.files.fasttext_model import read_model
from filters.registry import Context, Entry, parameter
from filters.texts.text_bytes import plain_texts, present
from schemas.errors import UserError


@dataclass(frozen=True)
class FastTextLanguage:
    """Keeps texts whose most likely language, by the fastText model at `model_path`, is `code`. Drops null.

    As DataComp asks it: newlines become spaces (fastText refuses them), then the top label.
    """

    code: str
    model_path: str
    name: ClassVar[str] = "language"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def costly(self) -> int:
        """Less, where compiled code reads the model."""
        return 2 if read_model(self.model_path) is None else 1

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the top label is that of the language."""
        texts, label, model = plain_texts(batch["text"]), f"__label__{self.code}", read_model(self.model_path)
        there = present(texts)
        keeps, sure = np.zeros((2, len(texts)), bool) if model is None else model.has_label(texts, label)
        if len(asked := np.flatnonzero(there & ~sure)):
            keeps[asked] = _library_has_label(self.model_path, texts.take(pa.array(asked)), label)
        return pa.array(keeps & there)


@dataclass(frozen=True)
class StoredLanguage:
    """Keeps rows whose stored language (column `lang`) is `code`. Drops null."""

    code: str
    name: ClassVar[str] = "language"
    reads: ClassVar[tuple[str, ...]] = ("lang",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the column says that language."""
        return pc.fill_null(pc.equal(batch["lang"], self.code), False)


def language(
    code: str, lid_model: str | None, context: Context, asker: str, assets: str | None = None
) -> "FastTextLanguage | StoredLanguage":
    """The filter for a language: by a given fastText model, else by the stored column, else by the model that is found.

    It is looked for in the folder `assets`, and where DataComp's scripts keep it: their metadata has no such column. Raises
    UserError where there is none of these.
    """
    if lid_model is not None:
        _require_lid(lid_model)
        return FastTextLanguage(code, lid_model)
    if "lang" in context.columns:
        return StoredLanguage(code)
    if found := cached("fasttext", assets):
        _require_lid(found)
        return FastTextLanguage(code, found)
    raise UserError(
        f"{asker}: the metadata has no column `lang`; give --lid-model PATH of fastText's lid.176.bin, published at "
        f"{ASSETS['fasttext'].url} (looked for in the folder of --assets, and in {ASSETS['fasttext'].cached})"
    )


def _require_lid(path: str) -> None:
    """Raises UserError where there is no model, now, so that a bad path is told before any work."""
    if read_model(path) is None:
        load_lid(path)


def load_lid(path: str) -> Any:
    """The library's fastText model at a local path, loaded once per process. Raises UserError where it cannot be."""
    with _LOADING:  # a large model is not loaded by several threads at once
        return _load_lid(path)


_LOADING = threading.Lock()


@functools.cache
def _load_lid(path: str) -> Any:
    import fasttext

    if not os.path.isfile(path):
        raise UserError(f"--lid-model {path}: no such file; give fastText's lid.176.bin or another language-id model")
    try:
        return fasttext.load_model(path)
    except Exception as error:  # the library raises ValueError or RuntimeError, by the kind of damage
        raise UserError(f"--lid-model {path}: not a fastText model ({error})") from error


def _library_has_label(path: str, column: pa.Array, label: str) -> np.ndarray:
    """(n,) bool: whether `label` is the most likely one of each of n texts, by the library."""
    texts = column.dictionary_encode()  # a caption that many pages have is asked once
    top = _top_labels(load_lid(path), texts.dictionary.to_pylist())
    has: np.ndarray = np.array([one == label for one in top], bool)[texts.indices.to_numpy()]
    return has


def _top_labels(model: Any, texts: Sequence[str]) -> list[str | None]:
    """The most likely label of each text, None where the model gives none."""
    predict = model.f.predict  # what model.predict wraps: it gives [(probability, label)] of a line with its end
    found = (predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict") for text in texts)
    return [answer[0][1] if answer else None for answer in found]


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What language is told."""

    code: str = parameter("the language, as the model or the column names it", "en")
    lid_model: str | None = parameter("fastText's lid.176.bin; without it the stored column `lang` decides", None, file=True)
    assets: str | None = parameter("folder with lid.176.bin, which decides where no column `lang` does", None)


def _build(asked: Parameters, context: Context) -> FastTextLanguage | StoredLanguage:
    return language(asked.code, asked.lid_model, context, "language", asked.assets)


ENTRY = Entry(
    name="language",
    summary="texts in one language, by a fastText model or by the stored column",
    source="Joulin et al. 2016, Bag of tricks for efficient text classification",
    parameters=Parameters,
    build=_build,
)
