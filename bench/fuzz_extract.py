"""Damages real WATs at random and extracts them: no exception escapes, nothing hangs, memory is bounded, no neighbour loses rows.

Rows are compared with those of a slow, obvious reader. Every input follows from the seed and its number; those with a finding
are kept in bench/.cache/fuzz, with what was found.
"""

import argparse
import importlib
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bench.fuzz_worker import Answer, Rows, Worker
from bench.mutations import MUTATIONS, damaged, packed
from bench.places import CACHE, REPOSITORY, shared
from bench.wat import records_of
from pipeline.extract import ExtractConfig
from pipeline.extract.inputs import parts_of
from pipeline.extract.wat import extract_wat
from pipeline.stage import part_folder
from schemas.errors import UserError

SOURCES = (
    "bench_base.warc.wat.gz",
    "site2008.warc.wat.gz",
    "site2008_arc.arc.wat.gz",
    "clueweb.warc.wat.gz",
    "small.warc.wat.gz",
)
REFERENCE = "tests.pipeline.extract.reference:extract"
FOLDER = CACHE / "fuzz"
_LIMIT_S, _LIMIT_MB, _REFERENCE_LIMIT_S = 20.0, 1000.0, 60.0
_KEPT_OF_A_KIND = 3
_MOST_RECORDS = 6
_LONGEST_RECORD = 200_000  # bytes

Reference = Callable[[bytes, str], tuple[Rows, Any]]  # content and path of a WAT → rows, counts


class Case(NamedTuple):
    """An input: the file, the records in it that nobody touched (none where the file itself is damaged), and what was done."""

    file: bytes
    intact: tuple[bytes, ...]
    how: str


def main() -> int:
    """Fuzz until the time is over; the exit status is 1 where something was found."""
    asked = _options().parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    corpus = [record for name in SOURCES for record in records_of(shared("wat", name)) if len(record) < _LONGEST_RECORD]
    reference = None if asked.alone else reference_named(asked.reference)
    print(f"{len(corpus):,} real records; rows compared with {asked.reference if reference else 'nothing'}", flush=True)
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as scratch:
        found, inputs = _fuzz(asked, corpus, reference, Path(scratch))
    for what, times in found.most_common():
        print(f"{times:6,} × {what}")
    print(f"seed {asked.seed}: {inputs:,} inputs, {found.total()} findings")
    return 1 if found else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz_extract", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--seed", type=int, default=0, help="what all inputs follow from (0)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first input, to see one again (0)")
    parser.add_argument("--count", type=int, default=sys.maxsize, metavar="N", help="stop after so many inputs")
    parser.add_argument(
        "--reference", default=REFERENCE, metavar="MODULE:FUNCTION", help=f"(content, path) → rows, counts ({REFERENCE})"
    )
    parser.add_argument("--alone", action="store_true", help="do not compare rows: several times as many inputs")
    return parser


def reference_named(name: str) -> Reference | None:
    """The function MODULE:FUNCTION, None where there is none yet."""
    module, _, function = name.partition(":")
    try:
        found: Reference | None = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError:
        return None
    return found


def _fuzz(asked: Any, corpus: list[bytes], reference: Reference | None, scratch: Path) -> tuple[Counter[str], int]:
    """What was found, how often, in how many inputs."""
    wat = scratch / "fuzz.wat"
    found: Counter[str] = Counter()
    wat.write_bytes(packed(corpus[:1], Random(0))[0])
    extracted(wat, scratch=scratch)  # compiles what has not been yet: no worker is to be taken for hung meanwhile
    ends, number, said = time.monotonic() + 60 * asked.minutes, asked.first, time.monotonic()
    with (
        Worker(partial(extracted, scratch=scratch), wat, limit_s=_LIMIT_S) as ours,
        Worker(partial(_referred, reference), wat, limit_s=_REFERENCE_LIMIT_S) as judge,
    ):
        alone: dict[bytes, set[str]] = {}
        while time.monotonic() < ends and number < asked.first + asked.count:
            case = case_of(asked.seed, number, corpus)
            finding = finding_in(case, ours, judge if reference else None, alone)
            if finding:
                found[_kind(finding)] += 1
            if finding and found[_kind(finding)] <= _KEPT_OF_A_KIND:
                _keep(f"seed{asked.seed}-{number}", case, finding)
            number += 1
            if time.monotonic() - said > 30:
                said = time.monotonic()
                took = f"slowest {ours.slowest_s:.1f} s, peak RSS {ours.peak_mb:.0f} MB"
                print(f"{number - asked.first:,} inputs, {found.total()} findings, {took}", flush=True)
    return found, number - asked.first


def case_of(seed: int, number: int, corpus: list[bytes]) -> Case:
    """The input `number` of `seed`: a few records, some of them mutated, in a file that may be damaged."""
    rng = Random(f"{seed} {number}")
    records = rng.sample(corpus, rng.randint(1, _MOST_RECORDS))
    touched, how = set(), []
    for _ in range(rng.randint(1, 3)):
        place, mutation = rng.randrange(len(records)), rng.choice(MUTATIONS)
        records[place] = mutation(records[place], rng, corpus) or b"\0"
        touched.add(place)
        how.append(mutation.__name__)
    file, apart = packed(records, rng)
    if rng.random() < 0.2:
        file, apart = damaged(file, rng), False
        how.append("damaged")
    intact = (record for place, record in enumerate(records) if place not in touched)
    return Case(file, tuple(intact) if apart else (), "+".join(how))


def finding_in(case: Case, ours: Worker, judge: Worker | None, alone: dict[bytes, set[str]]) -> str:
    """What is wrong with how the stage takes the file, "" where nothing is; `alone` remembers what records give alone."""
    answer = ours.answer(case.file)
    if answer.error:
        return answer.error
    if answer.rss_mb > _LIMIT_MB:
        ours.replace()
        return f"memory: {answer.rss_mb:.0f} MB is over {_LIMIT_MB:.0f} MB"
    for record in case.intact:
        if record not in alone:
            alone[record] = _uids(ours.answer(record))
        lost = alone[record] - _uids(answer)
        if lost:
            return f"neighbour's rows lost: {len(lost)} of {len(alone[record])} of a record that nobody touched"
    if judge is None:
        return ""
    right = judge.answer(case.file)
    if right.error:  # it is made to be obvious, not to stand everything
        return ""
    return "" if answer.rows == right.rows else f"rows differ: {_difference(answer.rows, right.rows)}"


def extracted(wat: Path, scratch: Path) -> Rows:
    """The rows that the stage's own work writes for the file, times as µs; none where a UserError says that it is no WAT."""
    config = ExtractConfig(out=str(scratch), wat=(str(wat),))
    (part,) = parts_of(config)
    try:
        with part_folder(config.out, part) as folder:
            extract_wat(config, part, folder)
            (name,) = folder.commit()
    except UserError:
        return []
    table = pq.read_table(scratch / name)
    at = table.schema.get_field_index("fetched_at")
    rows: Rows = table.set_column(at, "fetched_at", table["fetched_at"].cast(pa.int64())).to_pylist()
    return rows


def _referred(reference: Reference | None, wat: Path) -> Rows:
    return reference(wat.read_bytes(), str(wat))[0] if reference else []


def _uids(answer: Answer) -> set[str]:
    return {row["uid"] for row in answer.rows}


def _difference(rows: Rows, right: Rows) -> str:
    for number, (row, other) in enumerate(zip(rows, right, strict=False)):
        for name in row:
            if row[name] != other.get(name):
                return f"{name} of row {number}: '{str(row[name])[:200]}', right is '{str(other.get(name))[:200]}'"
    return f"{len(rows)} of {len(right)} rows"


def _kind(finding: str) -> str:
    """What findings are counted by: how many and which values they tell of does not matter."""
    return re.sub(r"\d+", "N", re.sub(r"'.*", "…", _short(finding)))


def _short(finding: str) -> str:
    return finding.strip().splitlines()[-1][:160]


def _keep(name: str, case: Case, finding: str) -> None:
    (FOLDER / f"{name}.wat").write_bytes(case.file)
    (FOLDER / f"{name}.txt").write_text(f"{case.how}\n{finding}\n", errors="backslashreplace")
    print(f"{(FOLDER / name).relative_to(REPOSITORY)}.wat ({case.how}): {_short(finding)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
