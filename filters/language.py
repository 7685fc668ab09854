"""Filters on the language of the alt text: by a fastText model, or by the stored column."""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.assets import ASSETS, cached
from filters.registry import Context, Entry, parameter
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
    costly: ClassVar[int] = 2

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the top label is that of the language."""
        texts = batch["text"].dictionary_encode()  # a caption that many pages have is asked once
        top = _top_labels(load_lid(self.model_path), texts.dictionary.to_pylist())
        keeps = np.array([label == f"__label__{self.code}" for label in top], bool)
        return pc.fill_null(pc.take(pa.array(keeps), texts.indices), False)


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
        load_lid(lid_model)  # now, so that a bad path is told before any work
        return FastTextLanguage(code, lid_model)
    if "lang" in context.columns:
        return StoredLanguage(code)
    if found := cached("fasttext", assets):
        load_lid(found)
        return FastTextLanguage(code, found)
    raise UserError(
        f"{asker}: the metadata has no column `lang`; give --lid-model PATH of fastText's lid.176.bin, published at "
        f"{ASSETS['fasttext'].url} (looked for in the folder of --assets, and in {ASSETS['fasttext'].cached})"
    )


@functools.cache
def load_lid(path: str) -> Any:
    """The fastText model at a local path, loaded once per process. Raises UserError where it cannot be."""
    import fasttext

    if not os.path.isfile(path):
        raise UserError(f"--lid-model {path}: no such file; give fastText's lid.176.bin or another language-id model")
    try:
        return fasttext.load_model(path)
    except Exception as error:  # the library raises ValueError or RuntimeError, by the kind of damage
        raise UserError(f"--lid-model {path}: not a fastText model ({error})") from error


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
