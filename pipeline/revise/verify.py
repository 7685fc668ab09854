"""The proof that nothing on the lists, and nothing that a ledger names, is left in a release; nothing is written.

Every file is compared with SHA256SUMS, every row with lists and ledgers, every subset and, where they are given, every shard;
with the revision before also that this one has all the rest of it. What is wrong is told file by file, then counted.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline import io
from pipeline.lease import FOLDER as RUNNING
from pipeline.ledger import reports_of
from pipeline.manifest import PARTS_FOLDER, InputReport, Manifest, PartReport
from pipeline.nearby import sha256_of
from pipeline.release.layout import DESCRIPTION, SUMS
from pipeline.revise.finding import not_compared, require_addresses, require_images
from pipeline.revise.given import Given, by_ledgers
from pipeline.revise.gone import Gone
from pipeline.revise.ledger import ledger_name, ledger_names, read_ledger
from pipeline.revise.listed import REASONS, Listed, without_images
from pipeline.revise.parentage import differences
from pipeline.revise.scan import FilePart, batches, columns_of
from pipeline.revise.shards import ShardPart, judged, shard_parts
from pipeline.revise.source import Old, file_parts
from pipeline.revise.subsets import going
from pipeline.stage import Part, PartFolder, run_stage
from schemas.errors import UserError

_MOST_NAMED = 50
_ACCOUNTS, _OF_ACCOUNTS = (PARTS_FOLDER, RUNNING), (".json", ".jsonl", ".lock")
_REMAINS, _BY_LEDGER = "remains_by_", "ledger"


@dataclass
class Findings:
    """What was looked at, what remains by reason, and what is wrong, in words that begin with the file's name."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)  # kinds of hashes that images could not be compared with

    def take(self, told: dict[str, Any]) -> None:
        """Add what a part found."""
        self.counts.update(told["counts"])
        self.wrong += told["wrong"]
        self.unknown |= set(told["unknown"])


def verify(what: Given) -> Manifest:
    """Look at everything. Raises UserError where anything remains, or is not what the release says of itself."""
    run, old, found = what.run, what.old, Findings()
    require_addresses(what)
    require_images(what)
    _files(old, found)
    names = _ledgers(old, found)
    gone = by_ledgers(what, names) if names else Gone()
    _parts(what, "rows", file_parts(old), partial(_look_at_file, what.listed, gone), found)
    paths = [(name, old.path(name), entries) for name, entries in old.release.subsets.items()]
    for subset in [*paths, *((path, path, -1) for path in what.config.subsets)]:
        _subset(subset, gone, what.listed, found)
    if what.config.shards:
        _parts(what, "shards", shard_parts(what.config.shards), partial(_look_at_shard, what.listed, gone), found)
    if what.config.parent:
        last = by_ledgers(what, [ledger_name(old.release.revision)]) if old.release.revision > 1 and names else Gone()
        found.wrong += differences(old, what.config.parent, last)
    _tell(old, found)
    return run.manifest(counts=dict(sorted(found.counts.items())), inputs=(), parts=(), facts={})


def _tell(old: Old, found: Findings) -> None:
    """Print what was found. Raises UserError where it is not nothing."""
    for line in found.wrong[:_MOST_NAMED]:
        print(f"verify: {line}", flush=True)
    if len(found.wrong) > _MOST_NAMED:
        print(f"verify: and {len(found.wrong) - _MOST_NAMED:,} files more", flush=True)
    for kind in sorted(found.unknown):
        print(f"verify: {not_compared(kind)}", flush=True)
    by_reason = {name.removeprefix(_REMAINS): n for name, n in sorted(found.counts.items()) if n and name.startswith(_REMAINS)}
    remains = sum(by_reason.values())
    said = f"{remains:,} of {found.counts['looked_at']:,} rows, samples and subset entries are on the lists or in a ledger"
    if remains or found.wrong:
        listed = ", ".join(f"{count:,} by {reason}" for reason, count in by_reason.items())
        by = f" ({listed})" if listed else ""
        raise UserError(f"{old.folder}: {said}{by}; {len(found.wrong):,} findings; do not publish it")
    print(f"verify: {said}; every file is as {SUMS} says", flush=True)


def _files(old: Old, found: Findings) -> None:
    """Whether the files that are no data files are as SHA256SUMS has them, and whether it has all that are there."""
    data = {path for part in file_parts(old) for path in part.sums}
    for name, expected in old.sums.items():
        path = old.path(name)
        if not io.exists(path):
            found.wrong.append(f"{name}: is not there, but in {SUMS}")
        elif path not in data and sha256_of(path) != expected:
            found.wrong.append(f"{name}: not as {SUMS} has it")
    found.wrong += [f"{name}: is not in {SUMS}" for name in io.names_below(old.folder) if not _is_known(name, old)]
    if DESCRIPTION not in old.sums:
        found.wrong.append(f"{DESCRIPTION}: is not in {SUMS}")
    if sum(old.release.data.values()) != old.release.rows:
        found.wrong.append(f"{DESCRIPTION}: its files have {sum(old.release.data.values()):,} rows, it says {old.release.rows:,}")


def _is_known(name: str, old: Old) -> bool:
    """Whether a file is the release's, or an account that a stage keeps. Who uploads the folder uploads all that is in it."""
    if name == SUMS or name in old.sums:
        return True
    *folders, last = name.split("/")
    if any(each.startswith(".") for each in (*folders, last)):
        return True
    accounts = any(each in _ACCOUNTS for each in folders) or last.startswith("_")
    return accounts and last.endswith(_OF_ACCOUNTS)


def _ledgers(old: Old, found: Findings) -> list[str]:
    """The ledgers' names; whether there is one of each revision since the first, sorted, as release.json has counted it."""
    names = ledger_names(old.release)
    if names != [ledger_name(number) for number in range(2, old.release.revision + 1)]:
        found.wrong.append(f"{DESCRIPTION}: revision {old.release.revision}, but it tells of {len(names)} removals")
    there = []
    for name, told in zip(names, old.release.removed, strict=True):
        if not io.exists(old.path(name)):
            found.wrong.append(f"{name}: is not there")
            continue
        there.append(name)
        table = read_ledger(old.path(name))
        uids = table["uid_sha256"].combine_chunks()
        if not pc.all(pc.less(uids[:-1], uids[1:]), min_count=0).as_py():
            found.wrong.append(f"{name}: not sorted, or names a pair twice")
        counted = dict(sorted(Counter(table["reason"].to_pylist()).items()))
        if counted != told.get("by_reason"):
            found.wrong.append(f"{name}: has {counted}, {DESCRIPTION} says {told.get('by_reason')}")
    return there


def _subset(subset: tuple[str, str, int], gone: Gone, listed: Listed, found: Findings) -> None:
    """A subset: its name, where it is, and how many entries it should have, -1 where nobody says."""
    name, path, entries = subset
    uids, to_go = going(path, gone, listed)
    found.counts["looked_at"] += len(uids)
    if entries not in (-1, len(uids)):
        found.wrong.append(f"{name}: has {len(uids):,} entries, {DESCRIPTION} says {entries:,}")
    if count := int(to_go.sum()):
        by_ledger = int((to_go & gone.has(uids)).sum())
        found.counts.update({_REMAINS + _BY_LEDGER: by_ledger, f"{_REMAINS}uid": count - by_ledger})
        found.wrong.append(f"{name}: {count:,} of {len(uids):,} entries remain")


def _parts(what: Given, name: str, parts: Any, look: Any, found: Findings) -> None:
    """Look at parts by worker processes; what they tell is kept in the scratch folder."""
    out = str(Path(what.scratch) / name)
    manifest = run_stage("verify", what.recorded, parts, look, out=out)
    for failure in manifest.failed_inputs:
        error = failure.error.removeprefix(f"{failure.path}: ")
        found.wrong.append(f"{failure.path}: {error}")
    for report in reports_of(out, [part.name for part in parts]).values():
        found.take(report.facts["_found"])


def _look_at_file(listed: Listed, gone: Gone, _config: Any, part: Part, _folder: PartFolder) -> PartReport:
    """A data file: its sums, its rows."""
    assert isinstance(part, FilePart)  # noqa: S101 - the stage plans no other parts
    wrong = [f"{_name(path)}: not as {SUMS} has it" for path in part.inputs if sha256_of(path) != part.sums[path]]
    source, counts, rows = part.inputs[0], Counter[str](), 0
    for batch in batches(source, listed):
        rows += len(batch)
        counts.update(_remaining(listed.judge(batch)[0], gone.rows(batch["uid"])))
    if part.rows not in (-1, rows):
        wrong.append(f"{_name(source)}: has {rows:,} rows, {DESCRIPTION} says {part.rows:,}")
    wrong += _told(_name(source), rows, counts)
    return _report(part, {**counts, "looked_at": rows}, wrong, without_images(listed, columns_of(source)))


def _look_at_shard(listed: Listed, gone: Gone, _config: Any, part: Part, _folder: PartFolder) -> PartReport:
    """A shard: its sidecar's rows, its tar's samples."""
    assert isinstance(part, ShardPart)  # noqa: S101 - the stage plans no other parts
    found = judged(listed, gone, part)
    rows, reasons = found.looked_at, found.gone.values()
    counts = Counter(_REMAINS + (reason if reason in REASONS else _BY_LEDGER) for reason in reasons)
    return _report(part, {**counts, "looked_at": rows}, _told(f"shard {part.name}", rows, counts), ())


def _remaining(codes: np.ndarray, by_ledger: np.ndarray) -> Iterator[str]:
    for row in np.flatnonzero((codes > 0) | by_ledger).tolist():
        yield _REMAINS + (REASONS[codes[row] - 1] if codes[row] else _BY_LEDGER)


def _told(name: str, rows: int, counts: Counter[str]) -> list[str]:
    """What remains of a file, in one line, if anything does."""
    reasons = ", ".join(f"{count:,} by {reason.removeprefix(_REMAINS)}" for reason, count in sorted(counts.items()))
    return [f"{name}: {counts.total():,} of {rows:,} remain: {reasons}"] if counts else []


def _report(part: Part, counts: Mapping[str, int], wrong: list[str], unknown: Iterable[str]) -> PartReport:
    told = {"counts": dict(counts), "wrong": wrong, "unknown": list(unknown)}
    return PartReport(name=part.name, inputs=tuple(InputReport(path=path) for path in part.inputs), facts={"_found": told})


def _name(path: str) -> str:
    """The last two pieces of a path: where it is in its release."""
    return "/".join(path.split("/")[-2:])
