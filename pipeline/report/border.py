"""A filter of several rules → pairs on its border: those that one rule alone drops, and which rule that is.

The rules are made again from the subset's account. Where one cannot be (it was learnt from the whole pool), there is no answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from filters.compose import answers
from filters.contract import Filter, columns_of, is_costly
from filters.describe import describe
from filters.registry import Context, build
from pipeline import io
from pipeline.metadata.files import MetadataFile, columns_at_hand, metadata_files
from pipeline.metadata.read import read_batches
from pipeline.report.read import FOLDERS, Root, Subset
from schemas.errors import UserError

MOST_ROWS = 20_000  # that rules are asked about: a border's examples need no more
_BESIDE = ("dedup", "decontaminate", "measure")


@dataclass(frozen=True, kw_only=True)
class Lone:
    """A pair that only this rule drops."""

    uid: str
    rule: str


def dropped_by_one(root: Root, subset: Subset, pairs: int) -> tuple[Lone, ...]:
    """At most `pairs` that one of the filter's rules drops and every other keeps: of each rule in turn, the smallest uids first.

    Among the first MOST_ROWS rows. None for a filter of one rule, and where rules or their columns cannot be had.
    """
    told = subset.made.get("waterfall")
    described = [row.get("rule") for row in told if isinstance(row, dict)] if isinstance(told, list) else []
    if len(described) < 2 or not pairs:
        return ()
    try:
        files = _files(root)
        rules = [_rule(each, Context(columns=columns_at_hand(files))) for each in described]
        found = _lone(files, rules)
    except (
        UserError,
        ValueError,
        TypeError,
        pa.ArrowException,
    ):  # of a rule, its parameters or its columns: nothing is shown of it then
        return ()
    return tuple(_in_turn(found, pairs))


def _files(root: Root) -> list[MetadataFile]:
    """The scores, with those folders of columns beside them that have a file for each of theirs."""
    scores = io.join(root.path, FOLDERS["score"])
    stems = {io.stem(path) for path in root.score_files}
    beside = [io.join(root.path, folder) for folder, manifest in root.folders.items() if manifest.stage in _BESIDE]
    whole = [folder for folder in beside if stems <= {io.stem(path) for path in io.list_files(folder, ".parquet")}]
    return metadata_files(scores, whole)


def _rule(described: Any, context: Context) -> Filter:
    """The rule as it was. Raises UserError where what can be made is another: a rule that was resolved over the pool."""
    if not isinstance(described, dict) or not isinstance(described.get("filter"), str):
        raise UserError(f"{described!r}: not a rule")
    rule = build(described["filter"], {key: value for key, value in described.items() if key != "filter"}, context)
    if not isinstance(rule, Filter) or describe(rule) != described:
        raise UserError(f"{described['filter']}: cannot be made again from its account")
    return rule


def _lone(files: Sequence[MetadataFile], rules: Sequence[Filter]) -> dict[str, list[str]]:
    """Rule → the uids that it alone drops, ascending."""
    columns = tuple(dict.fromkeys(("uid", *columns_of(*rules))))
    found: dict[str, list[str]] = {rule.name: [] for rule in rules}
    order = sorted(range(len(rules)), key=lambda i: is_costly(rules[i]))
    left = MOST_ROWS
    for file in files:
        for whole in read_batches(file, columns, rows=MOST_ROWS):
            batch = whole.slice(0, left)
            left -= batch.num_rows
            drops, by = np.zeros(batch.num_rows, np.int64), np.full(batch.num_rows, -1)
            for i in order:
                asked = drops < 2
                dropped = np.zeros_like(asked)
                dropped[asked] = ~answers(rules[i], batch, asked)
                drops += dropped
                by[dropped] = i
            for i, rule in enumerate(rules):
                mine = np.flatnonzero((drops == 1) & (by == i))
                found[rule.name] += batch["uid"].take(mine).to_pylist()
            if left <= 0:
                return {name: sorted(uids) for name, uids in found.items()}
    return {name: sorted(uids) for name, uids in found.items()}


def _in_turn(found: dict[str, list[str]], pairs: int) -> list[Lone]:
    """One of each rule, then a second of each, and so on."""
    rounds = max(map(len, found.values()), default=0)
    lone = (Lone(uid=uids[n], rule=name) for n in range(rounds) for name, uids in found.items() if n < len(uids))
    return [each for each, _ in zip(lone, range(pairs), strict=False)]
