"""What a run adds to scores: models, heads and text scorers, from the command line or a TOML file, each with what decides it."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipeline import io
from pipeline.score.heads import HeadSpec, head_specs
from schemas.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.score.text_scorers import ScorerSpec

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
# The two models that DataComp's own columns stand for.
_DATACOMP = {("vit-b-32", "openai"): "b32", ("vit-l-14", "openai"): "l14"}
_MODEL_KEYS = ("name", "pretrained", "column", "precision")
_TABLES = ("model", "head", "text")


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model that a run asks for. Raises UsageError for a column that could not be one."""

    model: str  # open_clip's name
    pretrained: str  # a tag, or the path or URL of a checkpoint
    column: str  # NAME in clip_NAME_similarity_score, NAME_img, NAME_txt
    precision: str = "auto"
    sha256: str = ""  # of the checkpoint, once `pinned`; "" for a tag

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.column):
            raise UsageError(f"--column {self.column}: use letters, digits, _ and - only")
        if self.precision not in PRECISIONS:
            raise UsageError(f"model {self.column}: precision {self.precision!r}; choose {', '.join(PRECISIONS)}")

    def identity(self, preprocess: str) -> dict[str, Any]:
        """What decides the columns, as JSON values. Where a checkpoint lies does not."""
        weights = f"sha256 {self.sha256}" if self.sha256 else self.pretrained
        return {"model": self.model.replace("/", "-"), "weights": weights, "precision": self.precision, "preprocess": preprocess}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a run is to add."""

    models: tuple[ModelSpec, ...] = ()
    heads: tuple[HeadSpec, ...] = ()
    texts: "tuple[ScorerSpec, ...]" = ()
    names: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        """Raises UsageError where two would have one name."""
        names = (
            [spec.column for spec in self.models] + [head.column_name for head in self.heads] + [text.name for text in self.texts]
        )
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"{name}: asked for {names.count(name)} times; give each model, head and scorer a name of its own"
                )
        object.__setattr__(self, "names", tuple(names))

    def identities(self, preprocess: str) -> dict[str, Any]:
        """Name → what decides its columns."""
        models = {spec.column: spec.identity(preprocess) for spec in self.models}
        return {**models, **{h.column_name: h.identity() for h in self.heads}, **{t.name: t.identity() for t in self.texts}}

    def only(self, names: Sequence[str]) -> "Plan":
        """Those of these names."""
        return Plan(
            models=tuple(spec for spec in self.models if spec.column in names),
            heads=tuple(head for head in self.heads if head.column_name in names),
            texts=tuple(text for text in self.texts if text.name in names),
        )

    def pinned(self, *, on_gpu: bool) -> "Plan":
        """The same, bound to the files that stand now, every precision chosen. Raises UserError for a file that is not there."""
        models = (
            replace(spec, precision=_precision(spec.precision, on_gpu), sha256=_sha256(spec.pretrained)) for spec in self.models
        )
        return replace(self, models=tuple(models), heads=tuple(head.pinned() for head in self.heads))


def column_name(model: str, pretrained: str) -> str:
    """NAME where none is given: b32 or l14 for OpenAI's models, else from the model's name."""
    known = _DATACOMP.get((model.replace("/", "-").lower().removesuffix("-quickgelu"), pretrained))
    return known or re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")


def read_plan(path: str, *, precision: str) -> Plan:
    """The plan in a TOML file: tables [[model]], [[head]] and [[text]], as docs/score.md has them.

    `precision` is that of models that name none. Raises UserError naming the file and the table.
    """
    from pipeline.score.text_scorers import scorer_specs

    try:
        tables = tomllib.loads(io.read_bytes(path).decode())
    except ValueError as error:
        raise UserError(f"{path}: not TOML ({error})") from error
    try:
        if unknown := sorted(set(tables) - set(_TABLES)):
            raise UsageError(f"unknown {', '.join(unknown)}; its tables are [[model]], [[head]] and [[text]]")
        if not all(isinstance(tables.get(name, []), list) for name in _TABLES):
            raise UsageError("write tables with two brackets: [[model]], [[head]], [[text]]")
        if not any(tables.values()):
            raise UsageError("asks for nothing; its tables are [[model]], [[head]] and [[text]]")
        models = [_model(number, table, precision) for number, table in enumerate(tables.get("model", []), 1)]
        return Plan(models=tuple(models), heads=head_specs(tables.get("head", [])), texts=scorer_specs(tables.get("text", [])))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _model(number: int, table: Mapping[str, Any], precision: str) -> ModelSpec:
    where = f"[[model]] {number}"
    if not isinstance(table, Mapping) or not all(isinstance(value, str) and value for value in table.values()):
        raise UsageError(f"{where}: write it as a table of texts: {', '.join(_MODEL_KEYS)}")
    if unknown := sorted(set(table) - set(_MODEL_KEYS)):
        raise UsageError(f"{where}: unknown {', '.join(unknown)}; its keys are {', '.join(_MODEL_KEYS)}")
    if missing := [key for key in ("name", "pretrained") if key not in table]:
        raise UsageError(f"{where}: {' and '.join(missing)} missing")
    name, pretrained = table["name"], table["pretrained"]
    column = table.get("column") or column_name(name, pretrained)
    return ModelSpec(model=name, pretrained=pretrained, column=column, precision=table.get("precision", precision))


def _precision(asked: str, on_gpu: bool) -> str:
    from pipeline.clip import fast_precision

    return fast_precision(on_gpu=on_gpu) if asked == "auto" else asked


def _sha256(pretrained: str) -> str:
    from pipeline.clip import is_checkpoint
    from pipeline.nearby import sha256_of

    return sha256_of(pretrained) if is_checkpoint(pretrained) else ""
