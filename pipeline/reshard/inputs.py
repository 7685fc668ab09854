"""Which shards of the input folder are meant, and which numbers are missing among them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline import io
from pipeline.manifest import hash_of
from pipeline.stage import require_complete
from schemas.errors import UsageError, UserError


@dataclass(frozen=True, kw_only=True)
class InputShard:
    """A tar of the input folder. `expected`: samples that the table of sizes says it has; `stats`: the file that else says so."""

    path: str
    number: int
    expected: int | None = None
    stats: str = ""
    sidecar: str = ""

    @property
    def name(self) -> str:
        """The file's name, without folder."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """The name less .tar. Only that: of shards named part.000, part.001 the number is no suffix to be dropped."""
        return self.name.removesuffix(".tar")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The shards in order of their numbers, the missing numbers as ranges, how many those are, and a hash of what is there."""

    shards: tuple[InputShard, ...]
    missing: tuple[str, ...]
    n_missing: int
    content: str


def find(folder: str, *, first: int, count: int | None, form: str | None, stats_form: str | None, table: str) -> Inputs:
    """The shards number `first` to `first + count` of a folder, or all from `first` on; without `form`, of all .tar files.

    Raises UserError where there are none, or the stage that makes the folder has not finished.
    """
    require_complete(folder)
    sizes = io.sizes(folder)
    numbers = _numbers(sizes, form)
    end = first + count if count else max([*numbers.values(), first - 1]) + 1
    chosen = sorted((number, name) for name, number in numbers.items() if first <= number < end)
    if not chosen:
        what = f"named like {form.format(first)}" if form else "ending in .tar"
        raise UserError(f"{folder}: no shards {what}, numbered {first} or more; check --input-dir, --first-shard, --shard-format")
    known = _table(folder, table)
    shards = []
    for number, name in chosen:
        stats, sidecar = _stats_name(stats_form, number, name), f"{name.removesuffix('.tar')}.parquet"
        shards.append(
            InputShard(
                path=io.join(folder, name),
                number=number,
                expected=known.get(name),
                stats=io.join(folder, stats) if stats in sizes else "",
                sidecar=io.join(folder, sidecar) if sidecar in sizes else "",
            )
        )
    missing, n_missing = _gaps([number for number, _ in chosen], first, end)
    content = hash_of({"files": [(shard.name, sizes[shard.name], bool(shard.sidecar)) for shard in shards]})
    return Inputs(shards=tuple(shards), missing=missing, n_missing=n_missing, content=content)


def checked_format(form: str, option: str) -> str:
    """A format that makes visible file names which differ with the number. Raises UsageError."""
    try:
        names = [form.format(number) for number in (0, 1)]
    except (ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{option} {form}: not a format of a number ({error}); give one such as {{:08d}}.tar") from error
    if names[0] == names[1] or "/" in form or names[0].startswith(("_", ".")):
        raise UsageError(f"{option} {form}: must make a file name of each number, such as {{:08d}}.tar, in the folder itself")
    return form


def _numbers(names: Mapping[str, int], form: str | None) -> dict[str, int]:
    """File name → its number. Without a format the last digits of a .tar's name; for names that have none their order."""
    if form is not None:
        found = {}
        for name in names:
            candidates = (int(digits) for digits in re.findall(r"\d+", name) if len(digits) < 19)
            number = next((number for number in candidates if form.format(number) == name), None)
            if number is not None:
                found[name] = number
        return found
    tars = sorted(name for name in names if name.endswith(".tar"))
    digits = [re.findall(r"\d+", io.stem(name)) for name in tars]
    if not all(digits) or any(len(each[-1]) > 18 for each in digits):
        return {name: place for place, name in enumerate(tars)}
    return {name: int(each[-1]) for name, each in zip(tars, digits, strict=True)}


def _stats_name(form: str | None, number: int, name: str) -> str:
    return form.format(number) if form else f"{name.removesuffix('.tar')}_stats.json"


def _gaps(numbers: list[int], first: int, end: int) -> tuple[tuple[str, ...], int]:
    named, count, expected = [], 0, first
    for number in [*numbers, end]:
        if number > expected:
            count += number - expected
            named.append(f"{expected}" if number == expected + 1 else f"{expected}-{number - 1}")
        expected = number + 1
    return tuple(named), count


def _table(folder: str, table: str) -> dict[str, int]:
    path = table if "://" in table or table.startswith("/") else io.join(folder, table)
    if not io.exists(path):
        return {}
    try:
        found = json.loads(io.read_bytes(path))
        return {str(name): int(size) for name, size in found.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not a table of shard sizes ({error}); correct it, or give another --shard-table") from error
