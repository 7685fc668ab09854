"""A recipe: filters composed in a TOML file → one filter, and how often what it keeps is seen.

    name = "ours"
    source = "where it is from"
    sample = { filter = "soft_cap", … }        # optional: of the kept rows, how often each is seen

    [keep]                                     # a filter with its parameters, or one of all, any, not, then
    all = [
        { filter = "clip_score", arch = "l14", fraction = 0.3 },
        { not = { filter = "licence", allow = ["cc-by-nc"] } },
    ]

A fraction is that of the whole pool, wherever it stands; the members of `then` see only what those before them keep. An option
or --param on the command line is for every filter of the recipe that takes it, and goes before what the recipe says.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from filters.compose import All, Not, Then
from filters.compose import Any as AnyOf
from filters.contract import Filter, Rule, Sampler, Selector
from filters.no_filter import NoFilter
from filters.registry import Context, Entry, build, files_of, find, takes
from pipeline import io
from pipeline.nearby import fetched, sha256_of
from pipeline.subset_file import read_subset
from schemas.errors import UsageError, UserError

_GROUPS: dict[str, Callable[[tuple[Rule, ...]], Rule]] = {"all": All, "any": AnyOf, "then": Then}
_KEYS = ("name", "source", "description", "keep", "sample")
_DEEPEST = 32
_FOLDER = "assets"  # a parameter whose value is a path, but of a folder
_MOST_BYTES = 1 << 16  # of a recipe
_MOST_DOTS = 1000  # in a line: the parser's time grows with the square of the parts of a name
OURS = ("laion_2b_en", "datacomp_1b", "dfn", "webpairs")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a recipe comes to: a name, the filter, the sampler if there is one, and the files that filters read: path → sha256."""

    name: str
    keep: Rule
    sample: Sampler | None = None
    source: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Cook:
    """Builds filters from tables; `given` are parameters from the command line, which take the place of the tables' own."""

    context: Context
    given: Mapping[str, Any]
    folder: str  # paths in the recipe are relative to it
    files: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def rule(self, table: Any, where: str, depth: int = 0) -> Rule:
        built = self.part(table, where, depth)
        if isinstance(built, Sampler):
            raise UsageError(f"{where}: {built.name} says how often rows are seen, not which: write it as `sample = {{…}}`")
        return built

    def part(self, table: Any, where: str, depth: int = 0) -> Filter | Selector | Sampler:
        if not isinstance(table, Mapping) or sum(key in table for key in (*_GROUPS, "not", "filter")) != 1:
            raise UsageError(f"{where}: a table with exactly one of filter, {', '.join(_GROUPS)}, not; found {_found(table)}")
        if depth > _DEEPEST:
            raise UsageError(f"{where}: nested more than {_DEEPEST} deep")
        if "filter" in table:
            return self.leaf(table, where)
        if len(table) > 1:
            raise UsageError(f"{where}: {_found(table)}; parameters belong to a filter, not to a group of them")
        if "not" in table:
            return Not(self.rule(table["not"], f"{where}.not", depth + 1))
        key, members = next(iter(table.items()))
        if not isinstance(members, list) or not members:
            raise UsageError(f"{where}.{key}: a list of filters that is not empty")
        return _GROUPS[key](tuple(self.rule(one, f"{where}.{key}[{at}]", depth + 1) for at, one in enumerate(members)))

    def leaf(self, table: Mapping[str, Any], where: str) -> Filter | Selector | Sampler:
        name = table["filter"]
        if not isinstance(name, str):
            raise UsageError(f"{where}: filter = {name!r} must be a name")
        try:
            entry = find(name)
            known = takes(entry)
            values = {key: value for key, value in table.items() if key != "filter"}
            values.update({key: self.given[key] for key in known if key in self.given})
            if "rows" in self.given and "rows" in known:  # in place of the table's, which is that of its `like`
                values.pop("like", None)
            self.used.update(known)
            if isinstance(values.get("like"), str) and "rows" in known and "rows" not in values:
                values["rows"] = len(read_subset(self.resolved(values.pop("like"))))
            for key in (*files_of(entry), _FOLDER):
                if key in values and key not in self.given:
                    values[key] = _each(self.resolved, values[key])
            local, digests = files_of_parameters(entry, values)
            self.files.update(digests)
            return build(name, local, self.context)
        except UserError as error:
            raise type(error)(f"{where}: {error}" if where else str(error)) from error

    def resolved(self, path: str) -> str:
        return path if "://" in path or os.path.isabs(path) or not self.folder else io.join(self.folder, path)


def named(name: str, given: Mapping[str, Any], context: Context) -> Recipe:
    """A single filter by name. Raises UsageError for parameters that it does not take."""
    cook = _Cook(context, {}, "")
    built = cook.leaf({"filter": name, **given}, "")
    if isinstance(built, Sampler):
        return Recipe(name=name, keep=NoFilter(), sample=built, source=find(name).source, files=cook.files)
    return Recipe(name=name, keep=built, source=find(name).source, files=cook.files)


def read_recipe(path: str, given: Mapping[str, Any], context: Context) -> Recipe:
    """The recipe in a TOML file, or of that name among ours. Raises UserError naming the file and the place that is wrong."""
    try:
        table = tomllib.loads(_text_of(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not TOML ({error})") from error
    try:
        if unknown := sorted(set(table) - set(_KEYS)):
            raise UsageError(f"unknown {', '.join(unknown)}; a recipe has {', '.join(_KEYS)}")
        if "keep" not in table:
            raise UsageError("no [keep]: it says which rows are kept")
        cook = _Cook(context, given, path.rpartition("/")[0])
        keep = cook.rule(table["keep"], "keep")
        sample = cook.part(table["sample"], "sample") if "sample" in table else None
        if sample is not None and not isinstance(sample, Sampler):
            raise UsageError(f"sample: {sample.name} says which rows are kept, not how often: write it into [keep]")
        if unused := sorted(set(given) - cook.used):
            raise UsageError(f"--{unused[0].replace('_', '-')}: no filter of the recipe takes it")
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error
    told = {key: table[key] for key in ("name", "source") if isinstance(table.get(key), str)}
    return Recipe(keep=keep, sample=sample, files=cook.files, **{"name": io.stem(path), **told})


def _text_of(path: str) -> str:
    """What a file holds, or the recipe of ours that has this name."""
    if not re.fullmatch("[A-Za-z0-9_-]+", path):
        with io.open_read(path) as source:
            read = source.read(_MOST_BYTES + 1)
        if len(read) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes, so no recipe")
        if max(line.count(b".") for line in read.split(b"\n")) > _MOST_DOTS:
            raise ValueError(f"a line with more than {_MOST_DOTS} dots")
        return read.decode()
    # In a wheel and in the cluster's zip they are beside this code, in a checkout in the folder of their own.
    for folder in (resources.files("pipeline") / "recipes", resources.files("pipeline") / ".." / "recipes"):
        if (file := folder / f"{path}.toml").is_file():
            return file.read_text("utf-8")
    raise UsageError(f"neither a .toml file nor one of {', '.join(OURS)}")


def files_of_parameters(entry: Entry, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters with local paths in place of URLs, and what decides: the sha256 of every file. Raises UserError."""
    digests: dict[str, str] = {}

    def local(path: str) -> str:
        if not io.exists(path):
            raise UserError(f"{entry.name}: {path}: no such file")
        digests[path] = sha256_of(path)
        return path if io.is_local(path) else fetched(path)

    named = files_of(entry)
    return {key: _each(local, value) if key in named else value for key, value in values.items()}, digests


def _each(change: Callable[[str], str], value: Any) -> Any:
    """A path changed, or every one of a list; what is neither is left to be refused."""
    if isinstance(value, list | tuple):
        return [_each(change, one) for one in value]
    return change(value) if isinstance(value, str) else value


def parameters_from(words: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE words as values: numbers, true, false and lists as TOML writes them, everything else as text.

    Raises UsageError for a word that is none, and for a key that stands there twice.
    """
    found: dict[str, Any] = {}
    for word in words:
        found = merged(found, dict([_parameter(word)]))
    return found


def merged(some: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Both. Raises UsageError for a key of both: one of two values would be forgotten."""
    if twice := sorted(some.keys() & others.keys()):
        raise UsageError(f"{twice[0]}: given twice, as {some[twice[0]]!r} and as {others[twice[0]]!r}; give it once")
    return {**some, **others}


def _parameter(word: str) -> tuple[str, Any]:
    key, sign, text = word.partition("=")
    if not sign or not key.isidentifier():
        raise UsageError(f"--param {word}: write KEY=VALUE")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return key, text


def _found(table: Any) -> str:
    return ", ".join(map(str, table)) or "none" if isinstance(table, Mapping) else repr(table)[:80]


def members_of(recipe: Recipe) -> Iterator[Filter | Selector | Sampler]:
    """Everything of a recipe that reads columns."""
    yield recipe.keep
    if recipe.sample is not None:
        yield recipe.sample
