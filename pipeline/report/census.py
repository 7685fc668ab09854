"""Candidates and pool → how many pairs opt out, what licences their pages declare, and the languages of their texts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import Markup

from filters.licence import families
from filters.opt_out import NotRefused
from pipeline import io
from pipeline.report.download_charts import counted_bars
from pipeline.report.read import FOLDERS, Root
from schemas.errors import UserError

# More rows than this are sampled: every k-th row group is counted. A report is drawn on one machine, of a pool of any size.
MOST_ROWS = 20_000_000
MOST_LANGUAGES = 14  # that have a bar of their own

ROBOTS, RESERVED, EITHER, SILENT = "robots directive", "TDM reservation", "either", "neither"
NO_LICENCE, OTHER_LICENCE = "no licence declared", "another link"
UNKNOWN_LANGUAGE, OTHER_LANGUAGES = "not recognised", "other languages"

_STAGES = {"candidates": "extract", "pool": "pool"}
_COLUMNS = {"robots": pa.list_(pa.string()), "tdm_reserved": pa.bool_(), "license_url": pa.string(), "lang": pa.string()}


@dataclass(frozen=True, kw_only=True)
class Census:
    """One table's counts of pairs by answer; a question whose column is not there has no answers."""

    name: str
    rows: int
    counted: int  # fewer than rows: a sample
    opt_outs: Mapping[str, int] = field(default_factory=dict)
    licences: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)


def census(root: Root, most_rows: int = MOST_ROWS) -> tuple[Census, ...]:
    """Of candidates and pool, those that stand. Memory: one batch of rows. Raises UserError for a file that is no table."""
    found = []
    for name, stage in _STAGES.items():
        folder = io.join(root.path, FOLDERS[stage])
        files = io.list_files(folder, ".parquet") if io.exists(folder) else []
        if files:
            found.append(_counted(name, files, most_rows))
    return tuple(found)


def shown(found: Sequence[Census]) -> dict[str, Any]:
    """What the page shows: a table of opt-outs, one of licences, and the languages of the last table that tells them."""
    told = next((each for each in reversed(found) if each.languages), None)
    return {
        "tables": found,
        "opt_outs": _lines([(each, each.opt_outs) for each in found], (ROBOTS, RESERVED, EITHER, SILENT)),
        "licences": _lines([(each, each.licences) for each in found], ()),
        "languages_of": told.name if told else None,
        "languages": _language_bars(told) if told else None,
    }


def _lines(counts: Sequence[tuple[Census, Mapping[str, int]]], order: Sequence[str]) -> list[dict[str, Any]]:
    """One line per answer: its pairs, and all pairs, of each table; in `order`, or most frequent first."""
    told = [(each, answers) for each, answers in counts if answers]
    frequency: Counter[str] = Counter()
    for _, answers in told:
        frequency.update(answers)
    names = order if order else sorted(frequency, key=lambda name: (-frequency[name], name))
    lines = [{"name": name, "cells": [(e.name, answers.get(name, 0), e.counted) for e, answers in told]} for name in names]
    return lines if told else []


def _language_bars(told: Census) -> Markup:
    ranked = sorted(told.languages.items(), key=lambda item: (item[0] == UNKNOWN_LANGUAGE, -item[1], item[0]))
    named, rest = ranked[:MOST_LANGUAGES], ranked[MOST_LANGUAGES:]
    if rest:
        named.append((OTHER_LANGUAGES, sum(pairs for _, pairs in rest)))
    return counted_bars(named, f"pairs of the {told.name} by language", muted=(UNKNOWN_LANGUAGE, OTHER_LANGUAGES))


def _counted(name: str, files: Sequence[str], most_rows: int) -> Census:
    opt_outs, licences, languages = Counter[str](), Counter[str](), Counter[str]()
    step = max(1, -(-(rows := sum(map(_rows_of, files))) // most_rows))
    counted = 0
    for batch in _batches(files, step):
        counted += batch.num_rows
        opt_outs.update(_opt_outs(batch))
        licences.update(_licences(batch))
        languages.update(_languages(batch))
    return Census(name=name, rows=rows, counted=counted, opt_outs=opt_outs, licences=licences, languages=languages)


def _opt_outs(batch: pa.RecordBatch) -> dict[str, int]:
    """Pairs whose page refuses by a directive of schemas.refusals, reserves its rights (TDMRep), does either, or neither."""
    at_hand = tuple(column for column in ("robots", "tdm_reserved") if column in batch.schema.names)
    if not at_hand:
        return {}
    by = {column: ~np.asarray(NotRefused(reads=(column,), unknown="keep").keep(batch)) for column in at_hand}
    either = np.logical_or.reduce(list(by.values()))
    none = np.zeros(batch.num_rows, bool)
    counts = {ROBOTS: by.get("robots", none), RESERVED: by.get("tdm_reserved", none), EITHER: either, SILENT: ~either}
    return {name: int(chosen.sum()) for name, chosen in counts.items()}


def _licences(batch: pa.RecordBatch) -> dict[str, int]:
    if "license_url" not in batch.schema.names:
        return {}
    links = batch["license_url"]
    declared = pc.not_equal(pc.ascii_trim_whitespace(pc.fill_null(links, "")), "")
    found = pc.if_else(declared, pc.fill_null(families(links), OTHER_LICENCE), NO_LICENCE)
    return _tally(found)


def _languages(batch: pa.RecordBatch) -> dict[str, int]:
    return _tally(pc.fill_null(batch["lang"], UNKNOWN_LANGUAGE)) if "lang" in batch.schema.names else {}


def _tally(values: pa.Array) -> dict[str, int]:
    counts = pc.value_counts(values)
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))


def _rows_of(path: str) -> int:
    with ExitStack() as stack:
        return int(_opened(path, stack).metadata.num_rows)


def _batches(files: Sequence[str], step: int) -> Iterator[pa.RecordBatch]:
    """The rows of every `step`-th row group, counted over all files."""
    at = 0
    for path in files:
        with ExitStack() as stack:
            parquet = _opened(path, stack)
            groups = [group for group in range(parquet.num_row_groups) if (at + group) % step == 0]
            at += parquet.num_row_groups
            names = [name for name in _COLUMNS if name in parquet.schema_arrow.names]
            try:
                for batch in parquet.iter_batches(columns=names, row_groups=groups) if groups and names else ():
                    columns = [batch[name].cast(_COLUMNS[name]) for name in names]
                    yield pa.RecordBatch.from_arrays(columns, names)
            except (pa.ArrowException, OSError) as error:
                raise UserError(f"{path}: cannot be read ({error}); run the stage that made it again") from error


def _opened(path: str, stack: ExitStack) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(stack.enter_context(io.open_read(path)))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the stage that made it again") from error
