"""A stage's config, a frozen keyword-only dataclass, as command-line options: each flag is written once, on its field."""

import argparse
import dataclasses
import enum
import math
import re
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from schemas.errors import UsageError

Config = TypeVar("Config")
MOST_WORKERS = 1024  # processes; far above any machine's use, far below what would exhaust it
_MISSING = dataclasses.MISSING


def option(
    help: str,
    default: Any = _MISSING,
    *,
    short: str | None = None,
    metavar: str | None = None,
    positional: bool = False,
    affects_output: bool = True,
) -> Any:
    """A config field: its help text, its default (none: required) and whether it changes what the stage writes.

    A field with affects_output=False (workers, progress) may differ between a run and its resumption.
    """
    metadata = {
        "help": help,
        "short": short,
        "metavar": metavar,
        "positional": positional,
        "affects_output": affects_output,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What every stage's config has besides its own fields."""

    workers: int = option("worker processes on this machine (with Spark, the cluster decides)", 1, affects_output=False)
    tolerate_failed: float = option(
        "share of inputs that may fail before the exit status is 1", 0.01, metavar="F", affects_output=False
    )

    def __post_init__(self) -> None:
        """Raises UsageError where an option is out of bounds. A stage's own checks call this first."""
        if not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(f"--workers {self.workers}: must be 1 to {MOST_WORKERS}")
        if not 0 <= self.tolerate_failed <= 1:
            raise UsageError(f"--tolerate-failed {self.tolerate_failed}: must be 0 to 1")


def add_options(parser: argparse.ArgumentParser, config_type: type) -> None:
    """Give `parser` one option per field of the dataclass `config_type`."""
    hints = get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        if "help" in field.metadata:
            _add_option(parser, field, hints[field.name])


def from_arguments(config_type: type[Config], arguments: argparse.Namespace) -> Config:
    """The config that parsed arguments describe."""
    names = [f.name for f in dataclasses.fields(config_type) if "help" in f.metadata]  # type: ignore[arg-type]
    values = {name: getattr(arguments, name) for name in names}
    return config_type(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def parse(config_type: type[Config], argv: Sequence[str], description: str) -> Config:
    """Parse a job's own command line. Exits with 2 and a usage line where it is wrong."""
    parser = argparse.ArgumentParser(description=description)
    add_options(parser, config_type)
    return from_arguments(config_type, parser.parse_args(with_dashes(argv)))


def with_dashes(argv: Sequence[str]) -> list[str]:
    """Option names with `_` written as `-`: --save_path and --save-path are one option. After `--` there are only values."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    named = [re.sub(r"^--[A-Za-z][\w-]*", lambda m: m[0].replace("_", "-"), word) for word in argv[:end]]
    return [*named, *argv[end:]]


def _add_option(parser: argparse.ArgumentParser, field: "dataclasses.Field[Any]", hint: Any) -> None:
    meta = field.metadata
    required = field.default is _MISSING
    settings: dict[str, Any] = {"help": _help(field, required), **_settings_of(hint)}
    if meta["metavar"] and settings.get("action") != "store_true":
        settings["metavar"] = meta["metavar"]
    if meta["positional"]:
        parser.add_argument(field.name, **settings)
        return
    flags = [f"--{field.name.replace('_', '-')}"]
    if meta["short"]:
        flags.insert(0, meta["short"])
    if required:
        settings["required"] = True
    else:
        settings["default"] = field.default
    parser.add_argument(*flags, dest=field.name, **settings)


def _help(field: "dataclasses.Field[Any]", required: bool) -> str:
    text = str(field.metadata["help"]).replace("%", "%%")
    if required or field.default in (None, False, ()):
        return text
    default = " ".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
    return f"{text} (default: {default.replace('%', '%%')})"


def _settings_of(hint: Any) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _settings_of(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        return {"nargs": "+", "type": _reader(arguments[0]), "action": _Gather}
    if origin is Literal:
        return {"choices": list(arguments), "type": type(arguments[0])}
    if hint is bool:
        return {"action": "store_true"}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"choices": list(hint), "type": hint}
    return {"type": _reader(hint)}


class _Gather(argparse.Action):
    """Values of an option that may be given several times: the first time they take the place of the default."""

    def __call__(self, _parser: Any, namespace: argparse.Namespace, values: Any, _option: str | None = None) -> None:
        given = vars(namespace).setdefault("_gathered", set())
        before = getattr(namespace, self.dest) if self.dest in given else []
        setattr(namespace, self.dest, [*before, *values])
        given.add(self.dest)


def _reader(kind: Any) -> typing.Callable[[str], Any]:
    if kind is str:
        return _text
    if kind is float:
        return _number
    if kind is int:
        return _whole
    raise UsageError(f"a config field of type {kind} cannot be an option: use str, int, float, bool, Literal or a tuple")


def _text(word: str) -> str:
    """A word as it stands. No option means anything by an empty one: it comes from an unset variable in a script."""
    if not word:
        raise argparse.ArgumentTypeError("is empty")
    return word


def _whole(word: str) -> int:
    """An int that NumPy, torch and Spark take, too."""
    value = int(word)
    if abs(value) >= 2**63:
        raise argparse.ArgumentTypeError(f"{word}: must fit 64 bits")
    return value


def _number(word: str) -> float:
    """A float that comparisons hold for: NaN passes every bound."""
    value = float(word)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{word}: must be a finite number")
    return value


_whole.__name__, _number.__name__ = "int", "float"  # argparse names them: invalid float value
