"""language_share: of every language the head, or the tail, by a score, where one threshold for all would favour some of them."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.clip_score import clip_column_of
from filters.contract import Filter, Pool
from filters.measured import Stored, threshold_at
from filters.needed import require_columns
from filters.registry import Context, Entry, parameter
from schemas.errors import UsageError


@dataclass(frozen=True)
class PerLanguage:
    """Keeps rows whose score in `column` is at least, and at most, that of their language; drops NaN and all other languages."""

    by: str
    column: str
    languages: tuple[str, ...]
    at_least: tuple[float, ...]  # per language
    at_most: tuple[float, ...]
    name: ClassVar[str] = "language_share"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.by, self.column)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the score lies between the bounds of the row's language."""
        scores = Stored(self.column).measure(batch)
        known = pc.index_in(batch[self.by].cast(pa.string()), value_set=pa.array(self.languages, pa.string()))
        place = pc.fill_null(known, -1).to_numpy(zero_copy_only=False)
        # The last entry is that of no known language: an interval without a score in it.
        least = np.array([*self.at_least, math.inf], scores.dtype)[place]
        most = np.array([*self.at_most, -math.inf], scores.dtype)[place]
        return pa.array((scores >= least) & (scores <= most))


@dataclass(frozen=True)
class LanguageShare:
    """Keeps of every language in column `by` the best `head` of its rows by `column`, or the worst `tail`, the other being None.

    Each language is cut by DataComp's rule (filters.measured.threshold_at): a row more than the fraction, and ties. Only
    `languages` where there are any, and only those of at least `least_rows` rows; the others, and rows without a language, are
    dropped. Head and tail are those of Wenzek et al. 2020, who cut thirds of each language by perplexity.
    """

    by: str
    column: str
    head: float | None
    tail: float | None
    languages: tuple[str, ...] = ()
    least_rows: int = 1
    name: ClassVar[str] = "language_share"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.by, self.column)

    def resolve(self, pool: Pool) -> Filter:
        """The bounds of every language, in one pass; 8 bytes of memory per row, three times that while they are sorted."""
        found = _scores_by_language(pool, self.by, self.column)
        chosen = sorted(
            language
            for language, scores in found.items()
            if len(scores) >= self.least_rows and (not self.languages or language in self.languages)
        )
        if self.head is not None:
            least = tuple(threshold_at([found[one]], self.head, one) for one in chosen)
            return PerLanguage(self.by, self.column, tuple(chosen), least, (math.inf,) * len(chosen))
        assert self.tail is not None  # noqa: S101 - for mypy
        most = tuple(-threshold_at([-found[one]], self.tail, one) for one in chosen)
        return PerLanguage(self.by, self.column, tuple(chosen), (-math.inf,) * len(chosen), most)


def _scores_by_language(pool: Pool, by: str, column: str) -> dict[str, np.ndarray]:
    """The scores of the rows of each language, NaN where a row has none. Rows without a language are left out."""
    places: dict[str, int] = {}
    codes, scores = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    for batch in pool((by, column)):
        encoded = batch[by].cast(pa.string()).dictionary_encode()
        here = [places.setdefault(language, len(places)) for language in encoded.dictionary.to_pylist()]
        code = np.array([*here, -1], np.int32)[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
        codes.append(code[code >= 0])
        scores.append(Stored(column).measure(batch)[code >= 0])
    code, score = np.concatenate(codes), np.concatenate(scores)
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code, minlength=len(places)))
    return dict(zip(places, np.split(score[order], ends[:-1]), strict=True)) if places else {}


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What language_share is told."""

    column: str | None = parameter("the column of scores, more is better", None)
    arch: str | None = parameter("instead: b32, l14 or another NAME with a column clip_NAME_similarity_score", None)
    head: float | None = parameter("the share of every language that is kept, best first, 0 to 1", None)
    tail: float | None = parameter("instead: the share that is kept, worst first", None)
    by: str = parameter("the column of languages, or of any other groups", "lang")
    languages: tuple[str, ...] = parameter("the only ones that are kept; none: all", ())
    least_rows: int = parameter("a language of fewer rows is dropped", 1)


def _build(asked: Parameters, context: Context) -> LanguageShare:
    if (asked.column is None) == (asked.arch is None):
        raise UsageError("language_share: give either --arch or --param column=NAME")
    if (asked.head is None) == (asked.tail is None):
        raise UsageError("language_share: give either head or tail, a share from 0 to 1")
    column = asked.column or clip_column_of(asked.arch or "", context)
    require_columns("language_share", (asked.by, column), context, "`webpairs pool` makes lang, `webpairs score` the scores")
    for key, share in (("head", asked.head), ("tail", asked.tail)):
        if share is not None and not 0 <= share <= 1:
            raise UsageError(f"language_share: {key} = {share}: must be from 0 to 1")
    return LanguageShare(asked.by, column, asked.head, asked.tail, asked.languages, asked.least_rows)


ENTRY = Entry(
    name="language_share",
    summary="of every language the best (head) or the worst (tail) share by a score",
    source="Wenzek et al. 2020, CCNet (head, middle and tail of each language)",
    parameters=Parameters,
    build=_build,
)
