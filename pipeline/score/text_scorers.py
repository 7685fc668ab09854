"""Text scorers: what makes columns of captions, one built in (lang), others the user's own.

In: [[text]] tables of a TOML file, each with a name or `package.module:factory`, and texts. Out: columns, checked against what
each scorer declares, so that nothing it returns can spoil the table.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from pipeline import io
from pipeline.pool.language import identify
from pipeline.samples import clean
from schemas.columns import column, doc_of, unit_of
from schemas.errors import UsageError, UserError
from schemas.scores import SCORES, is_clip_column

GROUP = "webpairs.text_scorers"  # entry points by which installed packages offer scorers

# No unsigned integers and no float16: see schemas.columns. No float64: scores are compared, not added up.
_TYPES = (kinds.is_string, kinds.is_boolean, kinds.is_signed_integer, kinds.is_float32)
_COPY_BYTES = 2**20


class TextScorer(Protocol):
    """What a factory makes. One object scores all that a process scores, one batch after another."""

    columns: pa.Schema  # the fields it adds: string, bool, int8 to int64 or float32

    def score(self, texts: Sequence[str]) -> Mapping[str, Sequence[Any]] | pa.RecordBatch:
        """Its columns, a value per text, in order; None where a text has none. `texts` is never empty."""

    def identity(self) -> Mapping[str, Any]:
        """What its scores depend on, as JSON values: versions, the sha256 of models."""


@dataclass(frozen=True, kw_only=True)
class ScorerSpec:
    """A scorer that a run asks for, by name or `package.module:factory`, and the options that its factory is called with."""

    scorer: str
    options_json: str = "{}"  # as text, so that specs can be compared, hashed and sent to other processes

    @property
    def name(self) -> str:
        """What it is called where runs are accounted for."""
        return self.scorer

    def load(self) -> "LoadedScorer":
        """The scorer, made once per process. Raises UserError naming the reference and what failed."""
        return _loaded(self)

    def identity(self) -> dict[str, Any]:
        """What decides its columns, for the manifest: JSON values. Raises UserError where it cannot be loaded."""
        return self.load().identity()


def scorer_specs(tables: Sequence[Mapping[str, Any]]) -> tuple[ScorerSpec, ...]:
    """The [[text]] tables of a TOML file: `scorer`, and beside it its options. Raises UsageError naming what will not do.

    Nothing is imported yet: that, and whether the factory takes the options, `load` tells.
    """
    specs = []
    for number, table in enumerate(tables, 1):
        if not isinstance(table, Mapping):
            raise UsageError(f'[[text]] {number}: is {table!r}; write it as a table, with scorer = "lang"')
        options = dict(table)
        scorer = options.pop("scorer", None)
        if scorer is None:
            known = f"; it has {', '.join(options)}" if options else ""
            raise UsageError(f'[[text]] {number}: scorer missing{known}; give scorer = "lang" or "package.module:factory"')
        if not isinstance(scorer, str) or not re.fullmatch(r"[\w-]+|[\w.]+:[\w.]+", scorer):
            raise UsageError(f"[[text]] {number}: scorer = {scorer!r} is neither a name nor package.module:factory")
        try:
            text = json.dumps(options, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:  # dates and times, NaN, infinity
            raise UsageError(f"[[text]] {number} ({scorer}): {error}; give texts, numbers, true, false, lists, tables") from error
        specs.append(ScorerSpec(scorer=scorer, options_json=text))
    for name in (names := [spec.name for spec in specs]):
        if names.count(name) > 1:
            raise UsageError(f"[[text]]: {name} is asked for {names.count(name)} times; once will do")
    return tuple(specs)


def require_distinct(specs: Sequence[ScorerSpec], taken: Sequence[str] = ()) -> None:
    """Load the scorers. Raises UserError where two add a column of the same name, or one adds a column that is `taken`."""
    owner = dict.fromkeys(taken, "something else")
    for spec in specs:
        for name in spec.load().columns.names:
            if name in owner:
                raise UserError(f"text scorer {spec.name}: adds {name}, and so does {owner[name]}; leave one out")
            owner[name] = spec.name


class LoadedScorer:
    """A scorer whose answers are checked."""

    def __init__(self, spec: ScorerSpec, scorer: TextScorer, package: str) -> None:
        self.reference = spec.scorer
        self.columns = _fields(self.reference, scorer.columns)
        self._spec, self._scorer, self._package = spec, scorer, package

    def columns_of(self, texts: Sequence[str]) -> dict[pa.Field, pa.Array]:
        """Its columns, a row per text. Raises UserError where the scorer fails, or answers otherwise than it declared."""
        if not texts:
            return {field: pa.array([], field.type) for field in self.columns}
        try:
            answer = self._scorer.score(list(texts))
        except Exception as error:  # it is not ours
            raise UserError(f"text scorer {self.reference}: failed on {len(texts)} texts ({_told(error)})") from error
        values = dict(zip(answer.schema.names, answer.columns, strict=True)) if isinstance(answer, pa.RecordBatch) else answer
        if not isinstance(values, Mapping):
            raise self._wrong(f"returned a {type(answer).__name__}, not a dict of columns or a RecordBatch")
        if set(values) != set(self.columns.names):
            raise self._wrong(f"returned the columns {sorted(map(str, values))}, and declares {self.columns.names}")
        return {field: self._array(field, values[field.name], len(texts)) for field in self.columns}

    def identity(self) -> dict[str, Any]:
        """What its columns depend on, for the manifest: JSON values."""
        try:
            own = json.loads(json.dumps(dict(self._scorer.identity()), allow_nan=False))
        except Exception as error:  # it is not ours
            raise UserError(f"text scorer {self.reference}: identity() is no dict of JSON values ({_told(error)})") from error
        package = {"package": self._package} if self._package else {}
        columns = {field.name: str(field.type) for field in self.columns}
        asked = {"scorer": self.reference, "options": json.loads(self._spec.options_json)}
        return {**asked, **package, "columns": columns, "is": own}

    def _array(self, field: pa.Field, values: Any, rows: int) -> pa.Array:
        if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
            raise self._wrong(f"returned a {type(values).__name__} for {field.name}; a list or array is expected")
        if len(values) != rows:
            raise self._wrong(f"returned {len(values)} values of {field.name} for {rows} texts")
        try:
            array = _to_arrow(values, field.type)
        except Exception as error:  # Arrow raises many kinds, and a sequence may be the user's own
            raise self._wrong(f"returned what is no {field.type} for {field.name} ({_told(error)})") from error
        if array.null_count and not field.nullable:
            raise self._wrong(f"returned {array.null_count} nulls for {field.name}, and declares that it has none")
        return array

    def _wrong(self, what: str) -> UserError:
        return UserError(f"text scorer {self.reference}: {what}; it must be mended")


def _to_arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """Of that type; NaN becomes null. Raises TypeError or what Arrow raises for values of another type."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        if values.type != kind:
            raise TypeError(f"a column of {values.type}")
        values.validate(full=True)  # UTF-8 too: Arrow does not look on its own
        values = values.to_pylist()
    if kinds.is_string(kind):
        values = [clean(value) if isinstance(value, str) else value for value in values]
        if odd := [value for value in values if not isinstance(value, str | None)]:  # Arrow takes bytes for strings
            raise TypeError(f"{type(odd[0]).__name__} {odd[0]!r:.40}")
    if kinds.is_integer(kind) and not kinds.is_integer((found := pa.array(values)).type) and found.null_count < len(found):
        raise TypeError(f"a column of {found.type}")  # Arrow cuts 1.5 to 1
    array = pa.array(values, kind)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return pc.if_else(pc.is_nan(array), None, array) if kinds.is_float32(kind) else array


def _fields(reference: str, declared: pa.Schema) -> pa.Schema:
    """The declared fields as this project's columns. Raises UserError for a name or a type that the table cannot have."""
    if not len(declared) or len(set(declared.names)) < len(declared):
        raise UserError(
            f"text scorer {reference}: declares the columns {declared.names}; one or more, all different, are expected"
        )
    for field in declared:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", field.name):
            raise UserError(f"text scorer {reference}: declares the column {field.name!r}; a name has a-z, 0-9 and _ only")
        if field.name in SCORES.names or is_clip_column(field.name):
            raise UserError(f"text scorer {reference}: declares the column {field.name}, which scores have already; rename it")
        if not any(fits(field.type) for fits in _TYPES):
            known = "string, bool, int8 to int64 and float32"
            raise UserError(f"text scorer {reference}: declares {field.name} as {field.type}; {known} are possible")
    told = [(field, doc_of(field) or f"by the text scorer {reference}") for field in declared]
    return pa.schema([column(f.name, f.type, doc, unit_of(f)).with_nullable(f.nullable) for f, doc in told])


@cache
def _loaded(spec: ScorerSpec) -> LoadedScorer:
    factory, package = _factory(spec.scorer)
    try:
        scorer = factory(**json.loads(spec.options_json))
    except Exception as error:  # it is not ours
        said = error if isinstance(error, UserError) else f"could not be made of its options ({_told(error)})"
        raise UserError(f"text scorer {spec.scorer}: {said}") from error
    methods = [getattr(scorer, name, None) for name in ("score", "identity")]
    if not isinstance(getattr(scorer, "columns", None), pa.Schema) or not all(map(callable, methods)):
        has = "`columns` (a pyarrow schema), `score` and `identity`"
        raise UserError(f"text scorer {spec.scorer}: what was made, a {type(scorer).__name__}, has not all of {has}")
    return LoadedScorer(spec, scorer, package)


def _factory(reference: str) -> tuple[Callable[..., Any], str]:
    """The factory, and which package offers it where that is known. Built-in names go first."""
    if reference in _BUILT_IN:
        return _BUILT_IN[reference], ""
    point, package = metadata.EntryPoint(reference, reference, GROUP), ""
    if ":" not in reference:
        point, package = _offered(reference)
    try:
        found = point.load()
    except Exception as error:  # a module may raise anything while it is imported
        failed = f"{point.value} cannot be imported ({_told(error)})"
        raise UserError(f"text scorer {reference}: {failed}; install it, or set PYTHONPATH") from error
    if not callable(found):
        raise UserError(f"text scorer {reference}: {point.value} is a {type(found).__name__}, not a factory")
    return found, package


def _offered(name: str) -> tuple[metadata.EntryPoint, str]:
    """The entry point of that name, and the package that it is of."""
    points = metadata.entry_points(group=GROUP)
    found = {(point.value, _package(point)): point for point in points if point.name == name}
    if not found:
        known = ", ".join(sorted({*_BUILT_IN, *points.names}))
        raise UserError(f"text scorer {name}: no such; there is {known}, or give package.module:factory")
    if len(found) > 1:
        packages = " and ".join(sorted(package for _, package in found))
        raise UserError(f"text scorer {name}: is offered by {packages}; give package.module:factory instead")
    ((_, package),) = found
    return found.popitem()[1], package


def _package(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"


class Lang:
    """The language of the text that is scored, as `pool` tells it of the text that is downloaded. Texts may have changed since.

    `model`: path or URL of a fastText model such as lid.176.bin; without it py3langid's, which needs no file.
    """

    columns = pa.schema(
        [
            column(
                "text_lang", pa.string(), "ISO 639 code of the text's most likely language; null where nothing was recognised"
            ),
            column("text_lang_prob", pa.float32(), "probability of text_lang, 0 to 1"),
        ]
    )

    def __init__(self, model: str = "") -> None:
        if not isinstance(model, str):
            raise UserError(f"model = {model!r} must be a path or URL")
        self._model, self._sha256 = _loaded_model(model) if model else ("", "")

    def score(self, texts: Sequence[str]) -> dict[str, Sequence[Any]]:
        """Per text: code and probability."""
        langs, probabilities = identify(texts, self._model)
        return {"text_lang": langs, "text_lang_prob": probabilities}

    def identity(self) -> dict[str, str]:
        """The model, and the version of the library that asks it."""
        if not self._sha256:
            return {"model": "py3langid", "py3langid": metadata.version("py3langid")}
        return {"model": f"sha256:{self._sha256}", "fasttext-predict": metadata.version("fasttext-predict")}


def _loaded_model(path: str) -> tuple[str, str]:
    """The name under which `identify` keeps the fastText model of this file loaded, and the file's sha256.

    It is loaded from a copy in a folder of its own: if the file at a path is replaced, `identify` would go on with the old one.
    """
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix="webpairs-") as folder:
        local = f"{folder}/model"
        with io.open_read(path) as file, open(local, "wb") as copy:
            while data := file.read(_COPY_BYTES):
                digest.update(data)
                copy.write(data)
        try:
            identify([], local)
        except UserError as error:
            raise UserError(f"{path}: {error}; give fastText's lid.176.bin or another of its kind") from error
    return local, digest.hexdigest()


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip()[:300]}".rstrip(": ")


_BUILT_IN: dict[str, Callable[..., TextScorer]] = {"lang": Lang}
